"""Which snapshot does a user mean? One parser for every moment that is typed. Pure: now is an argument.

A moment means the newest snapshot not after it. What is given to the minute means that whole minute, to the
second that second, a day that day. Without an offset a time is read on the wall clock of each snapshot, in
the zone that it recorded: so "14:05" finds what the user saw happen at 14:05, whatever the zone of who asks.
Ids and times share no letter (see ids.py), but for the word `now`, which is read as the time. Every moment
but an id passes over pre-restore snapshots. `last-good` is the newest that the caller does not doubt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from casstore.errors import SnapshotNotFound, UsageError
from casstore.ids import SHORT, from_letters, to_letters
from casstore.values import dataclass

_TIMES = '`2026-11-23 14:05`, `2026-11-23`, `2026-11-23T14:05:09-03:00`, "2 hours ago" or "yesterday 14:00".'
FORMS = f"A moment is {_TIMES}"
NAMES = f"A snapshot is named by its id or the beginning of it, `latest`, `latest~2`, `last-good`, {_TIMES}"
SHOWN = 4  # nearest snapshots that an error lists

_SECOND = 1_000_000_000
_MINUTE = 60 * _SECOND
_DAY = 24 * 60 * _MINUTE
_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "hr": 3600,
}
_UNITS |= {"d": 86_400, "day": 86_400, "w": 7 * 86_400, "week": 7 * 86_400}

_TIME = r"(?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9})|-(?P<milli>\d{3}))?)?"
_ZONE = r"(?P<zone>Z|UTC|[+-]\d\d(?::?\d\d)?)?"
_STAMP = re.compile(
    rf"(?P<year>\d{{4}})-?(?P<month>\d\d)-?(?P<day>\d\d)(?:(?:\s+|[T_-]){_TIME}\s*{_ZONE})?", re.IGNORECASE
)
_CLOCK = _TIME.replace(":?", ":")  # with its colons, lest "2026" be taken for 20:26
_DAY_TIME = re.compile(rf"(?:(?P<day>today|yesterday)\s*)?(?:(?:at\s+)?{_CLOCK}\s*)?", re.IGNORECASE)
_AGO = re.compile(r"(?P<count>\d{1,9}|an?|one)\s*(?P<unit>[a-z]+?)s?\s+ago", re.IGNORECASE)
_LATEST = re.compile(r"latest(?:~(?P<back>\d{1,9})?)?", re.IGNORECASE)
_LAST_GOOD = re.compile(r"last-good(?:~(?P<back>\d{1,9})?)?", re.IGNORECASE)
_STEPS = re.compile(r"(?P<id>[k-z]+)~(?P<back>\d{1,9})?")


class Dated(Protocol):
    """What a moment needs to know of a snapshot."""

    @property
    def id(self) -> bytes: ...  # noqa: D102 - as in Snapshot
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def time_ns(self) -> int: ...  # noqa: D102
    @property
    def zone_minutes(self) -> int: ...  # noqa: D102
    @property
    def pre_restore(self) -> bool: ...  # noqa: D102


S = TypeVar("S", bound=Dated)


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of time as it was typed: from `start_ns` up to, not including, `end_ns`."""

    start_ns: int
    end_ns: int
    wall: bool  # both are read on a snapshot's own wall clock, not in UTC
    zone_minutes: int | None = None  # the offset that was typed

    def place(self, snapshot: Dated) -> int:
        """Tell where a snapshot stands: -1 before the stretch, 0 in it, 1 after it."""
        time_ns = snapshot.time_ns + (snapshot.zone_minutes * _MINUTE if self.wall else 0)
        return -1 if time_ns < self.start_ns else int(time_ns >= self.end_ns)


def parse(text: str, now_ns: int, zone_minutes: int) -> Moment:
    """Read a time; `zone_minutes` says which day is today.

    Raises:
        UsageError: it is no time.
    """
    text = " ".join(text.split())
    if text.lower() == "now":
        return Moment(now_ns, now_ns + 1, wall=False)
    if match := _AGO.fullmatch(text):
        return _ago(text, match, now_ns)
    if match := _STAMP.fullmatch(text):
        return _stamp(text, match)
    if text and (match := _DAY_TIME.fullmatch(text)):
        today = (now_ns + zone_minutes * _MINUTE) // _DAY * _DAY
        day = today - _DAY if (match["day"] or "").lower() == "yesterday" else today
        return _within(text, match, day)
    raise UsageError(f"`{text}` is no moment", hint=_did_you_mean(text))


def instant(text: str, now_ns: int, zone_minutes: int) -> tuple[int, int]:
    """Read the time of a snapshot to be taken, as (ns since 1970, offset in minutes).

    Raises:
        UsageError: it is no time.
    """
    moment = parse(text, now_ns, zone_minutes)
    zone = zone_minutes if moment.zone_minutes is None else moment.zone_minutes
    return moment.start_ns - (zone * _MINUTE if moment.wall else 0), zone


def resolve(
    text: str,
    snapshots: Sequence[S],
    now_ns: int,
    *,
    among: Callable[[S], bool] = lambda _snapshot: True,
    of: str = "",
    is_good: Callable[[S], bool] = lambda _snapshot: True,
) -> S:
    """Find the one snapshot that is meant; `among` narrows every moment but an id, `is_good` only `last-good`.

    `of` tells in words what `among` narrows to, such as "called shop".

    Raises:
        SnapshotNotFound: none, or more than one; the hint lists the nearest.
    """
    text = text.strip()
    if match := _STEPS.fullmatch(text):
        at = _by_id(match["id"], snapshots, now_ns)
        earlier = [s for s in _in_time(snapshots, among) if _order(s) < _order(at)]
        return _step_back(text, earlier, int(match["back"] or 1) - 1, snapshots, now_ns)
    if from_letters(text) is not None and text != "now":
        return _by_id(text, snapshots, now_ns)
    ordered = _in_time(snapshots, among)
    if not ordered and not snapshots:
        raise SnapshotNotFound("there is no snapshot yet", hint="Take the first with `cas backup`.")
    if of and not any(map(among, snapshots)):
        raise SnapshotNotFound(f"there is no snapshot {of}", hint="`cas snapshots` lists what there is.")
    if match := _LATEST.fullmatch(text):
        back = 0 if "~" not in text else int(match["back"] or 1)
        return _step_back(text, ordered, back, snapshots, now_ns)
    if match := _LAST_GOOD.fullmatch(text):
        back = 0 if "~" not in text else int(match["back"] or 1)
        return _step_back(text, [snapshot for snapshot in ordered if is_good(snapshot)], back, snapshots, now_ns)
    try:
        moment = parse(text, now_ns, ordered[-1].zone_minutes if ordered else 0)
    except UsageError as error:
        reason = str(error).replace("is no moment", "is neither a snapshot nor a moment")
        raise SnapshotNotFound(reason, hint=NAMES if error.hint == FORMS else error.hint) from None
    before = [snapshot for snapshot in ordered if moment.place(snapshot) <= 0]
    if not before:
        raise SnapshotNotFound(f"no snapshot is as old as `{text}`", hint=_listed("The oldest are", ordered, now_ns))
    return before[-1]


def is_deliberate(text: str) -> bool:
    """Whether a text names one snapshot, and that on purpose: an id, or what is known to be good."""
    text = text.strip()
    is_id = from_letters(text.partition("~")[0]) is not None and text != "now"
    return is_id or _LAST_GOOD.fullmatch(text) is not None


def told(snapshot: Dated, now_ns: int) -> str:
    """Tell a snapshot in one line: short id, moment with its offset, age."""
    moment = stamp(snapshot.time_ns, snapshot.zone_minutes)
    return f"{to_letters(snapshot.id)[:SHORT]}  {moment}  ({age(now_ns - snapshot.time_ns)})"


def stamp(time_ns: int, zone_minutes: int) -> str:
    """Write a time to the second with its offset: 2026-11-23 14:05:09 -03:00; far ones as seconds since 1970."""
    try:
        wall = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // _SECOND + zone_minutes * 60)
    except OverflowError:
        return f"@{time_ns // _SECOND}"
    sign = "-" if zone_minutes < 0 else "+"
    return f"{wall:%Y-%m-%d %H:%M:%S} {sign}{abs(zone_minutes) // 60:02}:{abs(zone_minutes) % 60:02}"


def age(ns: int) -> str:
    """Tell an age in its one or two largest units."""
    if ns < 0:
        return "in " + age(-ns).removesuffix(" ago")
    seconds = ns // _SECOND
    if seconds < 60:
        return f"{seconds} s ago"
    if seconds < 3600:
        return f"{seconds // 60} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min ago"
    days = seconds // 86_400
    return f"{days} days ago" if days > 1 else f"1 day {seconds % 86_400 // 3600} h ago"


def _stamp(text: str, match: re.Match[str]) -> Moment:
    try:
        day = datetime(int(match["year"]), int(match["month"]), int(match["day"]), tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"`{text}` is no date: {error}", hint=FORMS) from None
    moment = _within(text, match, (day - datetime(1970, 1, 1, tzinfo=UTC)).days * _DAY)
    zone = match["zone"]
    if not zone:
        return moment
    minutes = 0 if zone.upper() in ("Z", "UTC") else _offset(text, zone)
    shift = minutes * _MINUTE
    return Moment(moment.start_ns - shift, moment.end_ns - shift, wall=False, zone_minutes=minutes)


def _within(text: str, match: re.Match[str], day_ns: int) -> Moment:
    if match["hour"] is None:
        return Moment(day_ns, day_ns + _DAY, wall=True)
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise UsageError(f"`{text}` is no time of day", hint=FORMS)
    fraction = match["fraction"] or match["milli"] or ""
    start = day_ns + ((hour * 60 + minute) * 60 + second) * _SECOND + int(fraction.ljust(9, "0"))
    if match["second"] is None:
        return Moment(start, start + _MINUTE, wall=True)
    return Moment(start, start + 10 ** (9 - len(fraction)), wall=True)


def _offset(text: str, zone: str) -> int:
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 14 or minutes > 59:
        raise UsageError(f"`{text}` has an offset that no place on earth has", hint=FORMS)
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)


def _ago(text: str, match: re.Match[str], now_ns: int) -> Moment:
    seconds = _UNITS.get(match["unit"].lower())
    if seconds is None:
        raise UsageError(f"`{text}` counts in a unit that has no fixed length here", hint=FORMS)
    count = int(match["count"]) if match["count"].isdigit() else 1
    then = now_ns - count * seconds * _SECOND
    return Moment(then, then + 1, wall=False)


def _order(snapshot: Dated) -> tuple[int, int]:
    return snapshot.time_ns, snapshot.number


def _in_time(snapshots: Sequence[S], among: Callable[[S], bool]) -> list[S]:
    return sorted((s for s in snapshots if not s.pre_restore and among(s)), key=_order)


def _step_back(text: str, ordered: list[S], back: int, every: Sequence[S], now_ns: int) -> S:
    if back < len(ordered):
        return ordered[-1 - back]
    there = (
        f"there are only {len(ordered)}" if len(ordered) > 1 else ("there is only one" if ordered else "there is none")
    )
    kept = ", and what was kept before a restore does not count" if any(one.pre_restore for one in every) else ""
    hint = _listed("The oldest are", ordered, now_ns)
    raise SnapshotNotFound(f"`{text}` goes back too far: {there}{kept}", hint=hint)


def _by_id(letters: str, snapshots: Sequence[S], now_ns: int) -> S:
    prefix = from_letters(letters) or ""
    found = [snapshot for snapshot in snapshots if snapshot.id.hex().startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        hint = _listed("It may be", sorted(found, key=_order), now_ns)
        raise SnapshotNotFound(f"`{letters}` begins the ids of {len(found)} snapshots", hint=hint)

    def alike(snapshot: S) -> int:
        return next(
            (i for i, (a, b) in enumerate(zip(snapshot.id.hex(), prefix, strict=False)) if a != b),
            len(prefix),
        )

    nearest = sorted(snapshots, key=lambda snapshot: (alike(snapshot), *_order(snapshot)), reverse=True)
    raise SnapshotNotFound(
        f"no snapshot has an id that begins with `{letters}`", hint=_listed("Nearest are", nearest, now_ns)
    )


def _listed(words: str, snapshots: Sequence[Dated], now_ns: int) -> str:
    if not snapshots:
        return "`cas snapshots` lists what there is."
    lines = [told(snapshot, now_ns) for snapshot in snapshots[:SHOWN]]
    return "\n  ".join([f"{words}:", *lines]) + ("\n  …" if len(snapshots) > SHOWN else "")


def _did_you_mean(text: str) -> str:
    import difflib

    near = difflib.get_close_matches(text.lower(), ("latest", "last-good", "yesterday", "today", "now"), 1, 0.7)
    return f"Did you mean `{near[0]}`?" if near else FORMS
