"""One record of a JSON file: which one is meant, and how it is put back with all else left byte for byte in its place.

The records of an array are its members, those of an object its values. A record that is there already is replaced from
its first byte to its last; a missing one gets the place between its neighbours that it had, and the file's own commas,
line ends and indentation around it. Its own bytes are those of the snapshot. Any field finds a record there, but which
one it is in the file says its id, if it has one: the field may be what changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from casstore.errors import CasError, UsageError
from casstore.recovery.document import Document, Member, NotRecords, alike
from casstore.values import dataclass

ID_FIELDS = ("id", "_id", "uuid", "key", "slug")  # what names a record, the first that does


class RecordMissing(CasError):
    """The snapshot does not hold that record."""

    hint = "`cas log PATH --record NAME=VALUE` tells which snapshots do."


class RecordAmbiguous(CasError):
    """More than one record answers to it."""

    hint = "Name another field that only one of them has so."


@dataclass(frozen=True, slots=True)
class Which:
    """Which record is meant: the one whose field has that value; "" is whatever names a record there."""

    field: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Which:
        """Read NAME=VALUE, or VALUE alone.

        Raises:
            UsageError: there is no value.
        """
        field, equals, value = text.partition("=")
        if not equals:
            field, value = "", text
        if not value:
            raise UsageError("--record names no value", hint="Say it like `--record id=usr_42`.")
        return cls(field, value)

    def __str__(self) -> str:
        return f"{self.field}={self.value}" if self.field else self.value

    def is_of(self, member: Member) -> bool:
        """Whether this is the record. The key of an object stands for a field that names records and is not there."""
        fields = member.value if isinstance(member.value, dict) else {}
        if self.field and self.field in fields:
            return word(fields[self.field]) == self.value
        if member.key is not None:
            return member.key == self.value and self.field in ("", *ID_FIELDS)
        return not self.field and any(word(fields[name]) == self.value for name in ID_FIELDS if name in fields)

    def identity(self, member: Member) -> Which:
        """Give what names this record whatever becomes of its other fields; itself, if nothing does."""
        if member.key is not None:
            return Which("", member.key)
        fields = member.value if isinstance(member.value, dict) else {}
        named = ((name, word(fields.get(name))) for name in ID_FIELDS)
        return next((Which(name, value) for name, value in named if value is not None), self)

    def name(self, member: Member) -> str | None:
        """Give what its neighbours know a record by."""
        if member.key is not None:
            return member.key
        fields = member.value if isinstance(member.value, dict) else {}
        names = (self.field,) if self.field else ID_FIELDS
        return next((named for name in names if (named := word(fields.get(name))) is not None), None)


@dataclass(frozen=True, slots=True)
class PutBack:
    """What putting a record back does. `before` and `after` are its text; None: the file does not hold it."""

    before: str | None
    after: str
    data: bytes  # the whole file with it

    @property
    def is_needed(self) -> bool:
        """Whether the record is not there already, however it is written."""
        return self.before is None or not alike(self.before, self.after)


def word(value: object) -> str | None:
    """Give what can name a record, as it is typed: a string, number, true, false or null; None for anything else."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else None


def find(document: Document, which: Which) -> Member | None:
    """Give the record that is meant, None if there is none.

    Raises:
        RecordAmbiguous: there are several. NotRecords: the document is not whole JSON.
    """
    found = [member for member in document.members() if which.is_of(member)]
    if len(found) > 1:
        raise RecordAmbiguous(f"{len(found)} records of {document.name} answer to {which}")
    return found[0] if found else None


def put_back(live: Document, saved: Document, which: Which) -> PutBack:
    """Put a record of one document into another.

    Raises:
        RecordMissing: `saved` does not hold it. RecordAmbiguous: several in one of them, or another in each.
        NotRecords: one is not whole JSON, or they are not of one kind.
    """
    wanted = find(saved, which)
    if wanted is None:
        raise RecordMissing(f"{saved.name} holds no record {which}", hint=_of_lists(saved))
    if live.opening != saved.opening:
        raise NotRecords(f"{live.name} and {saved.name} are not of one kind: an array here, an object there")
    after = saved.text[wanted.start : wanted.end]
    identity = _unique(which.identity(wanted), live, saved) or which
    other = find(live, which)
    there = other if identity == which else find(live, identity)
    if other is not None and (there is None or other.at != there.at):
        raise RecordAmbiguous(
            f"{which} is another record in {live.name} than in {saved.name}",
            hint=f"`--record {identity}` puts back that of the snapshot, and leaves this one alone.",
        )
    if there is not None:
        text = live.text[: there.start] + after + live.text[there.end :]
        return PutBack(live.text[there.start : there.end], after, text.encode("latin-1"))
    return PutBack(None, after, _inserted(live, saved, wanted, identity).encode("latin-1"))


def _unique(identity: Which, live: Document, saved: Document) -> Which | None:
    """Give it if it names one record; ids that several bear name none."""
    here, there = (sum(map(identity.is_of, document.members())) for document in (live, saved))
    return identity if there == 1 and here <= 1 else None


def _of_lists(document: Document) -> str | None:
    """Say what the records are of an object that holds lists, where one may have looked for a record of such a list."""
    lists = [] if document.is_array else [one.key for one in document.members() if isinstance(one.value, list)]
    return f"Its records are `{'`, `'.join(map(str, lists))}`, each put back as a whole." if lists else None


def _inserted(live: Document, saved: Document, wanted: Member, which: Which) -> str:
    text, record = live.text, saved.text[wanted.at : wanted.end]
    places, names = _places(live, which)
    if not places:
        return _filled(live, saved, record)
    at = _index(names, saved.members(), wanted, which, len(places))
    if at == 0:
        begin = places[0][0]
        return text[:begin] + record + _separator(text, live.bracket, places, 1) + text[begin:]
    end = places[at - 1][1]
    return text[:end] + _separator(text, live.bracket, places, at) + record + text[end:]


def _places(document: Document, which: Which) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """Give where the members lie, and which of them has which name."""
    places, names = [], {}
    for number, member in enumerate(document.members()):
        places.append((member.at, member.end))
        if (name := which.name(member)) is not None:
            names[name] = number
    return places, names


def _index(names: dict[str, int], saved: Iterable[Member], wanted: Member, which: Which, end: int) -> int:
    """Give the number that the record gets: behind the nearest one before it that is there, or before one behind it."""
    known = None
    for member in saved:
        name = which.name(member)
        number = names.get(name) if name is not None else None
        if member.at < wanted.at:
            known = known if number is None else number + 1
        elif known is not None:
            return known
        elif number is not None and member.at > wanted.at:
            return number
    return end if known is None else known


def _separator(text: str, bracket: int, places: list[tuple[int, int]], at: int) -> str:
    """Give what stands between two members, near there; where there is one only, a comma and what stands before it."""
    if len(places) == 1:
        return "," + text[bracket + 1 : places[0][0]]
    right = min(at, len(places) - 1)
    return text[places[right - 1][1] : places[right][0]]


def _filled(live: Document, saved: Document, record: str) -> str:
    """Put the first record between empty brackets, with the space that the snapshot has behind and before its own."""
    members = list(saved.members())
    before = saved.text[saved.bracket + 1 : members[0].at]
    behind = saved.text[members[-1].end : saved.past_space(members[-1].end)]
    close = live.past_space(live.bracket + 1)
    return live.text[: live.bracket + 1] + before + record + behind + live.text[close:]
