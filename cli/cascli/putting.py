"""`cas restore --record`: one record of a JSON file put back, all else left byte for byte in its place."""

from __future__ import annotations

import time

from cascli import render
from cascli.asking import agree
from cascli.codes import INCOMPLETE
from cascli.display import Display
from cascli.recorded import field_fields, field_words
from cascli.restarting import Around, not_running
from cascli.restored import restored_fields, restored_lines
from cascli.world import World
from casstore.errors import UsageError
from casstore.ids import SHORT, to_letters
from casstore.recovery.comparison import Field, changed_fields
from casstore.recovery.document import Document
from casstore.recovery.history import read_document
from casstore.recovery.records import PutBack, Which, put_back
from casstore.repository import Repository
from casstore.restore import Plan, Restored, read_live, rewrite


class Putting:
    """One record on its way back into the file that a plan is about."""

    def __init__(self, world: World, repository: Repository, planned: Plan, path: bytes, which: Which) -> None:
        self._world, self._repository, self._path, self._which = world, repository, path, which
        self._snapshot, self._target = planned.snapshot, planned.target
        entry = next((one for one in repository.entries(planned.snapshot, path) if one.path == path), None)
        if entry is None:  # a glob
            raise UsageError("--record puts back a record of one file", hint="Name that file as it is.")
        self._saved = read_document(repository, entry, f"{render.name(path)} in the snapshot")

    def look(self, *, show_values: bool) -> tuple[PutBack, list[str]]:
        """Say what would be done, with values masked unless they are to be shown.

        Raises:
            NotRecords, RecordMissing, RecordAmbiguous, NothingToRewrite: it cannot be done.
        """
        put = self._put(read_live(self._target, self._path))
        fields = _fields(put)
        if self._world.options.json:
            shown: dict[str, object] = {"message_type": "record", **render.plain("path", self._path)}
            shown |= {"record": str(self._which), "action": _action(put)}
            return put, [
                render.to_json(shown | {"fields": [field_fields(field, masked=not show_values) for field in fields]})
            ]
        letter = {"new": "+", "replaced": "M", "unchanged": "="}[_action(put)]
        head = f"{letter}  {render.name(self._path)}  record {render.name(str(self._which))}"
        return put, [head, *(f"     {field_words(field, masked=not show_values)}" for field in fields)]

    def run(self, display: Display, *, force: bool) -> int:
        """Do it, and say what was done."""
        world = self._world
        with not_running(world, self._repository, self._target, force=force):
            done = self.replace(display, force=force)
        duration_ns = time.time_ns() - world.now_ns
        if world.options.json:
            render.out(render.to_json(restored_fields(done, duration_ns) | {"record": str(self._which)}))
        elif not world.options.quiet:
            render.lines(self._lines(done, duration_ns))
        return INCOMPLETE if done.problems else 0

    def replace(self, display: Display, *, force: bool) -> Restored:
        """Do it."""
        world = self._world
        return rewrite(
            self._repository, self._snapshot, self._target, self._path, self._revise, force=force,
            now_ns=world.now_ns, zone_minutes=world.zone_minutes(), hostname=world.hostname, clock=time.time_ns,
            progress=display,
        )  # fmt: skip

    def _lines(self, done: Restored, duration_ns: int) -> list[str]:
        record = f"record {render.name(str(self._which))} of {render.name(self._path)}"
        if not done.replaced:
            return [f"nothing to do: {record} is as in the snapshot"]
        short = to_letters(self._snapshot.id)[:SHORT]
        return [f"put back {record} as of {short}; all else is as it was", *restored_lines(done, duration_ns)[1:]]

    def _revise(self, live: bytes) -> bytes:
        put = self._put(live)
        return put.data if put.is_needed else live

    def _put(self, live: bytes) -> PutBack:
        return put_back(Document.of([live], f"{render.name(self._path)} as it is now"), self._saved, self._which)


def put_record_back(
    putting: Putting,
    world: World,
    odd: list[str],
    display: Display,
    *,
    dry_run: bool,
    yes: bool,
    here: bool,
    force: bool,
    show_values: bool,
    around: Around | None,
) -> int:
    """Show what would be done, ask as a restore in place does, and do it, `around` it the application down."""
    put, lines = putting.look(show_values=show_values)
    if dry_run:
        render.lines([*(f"note: {reason}" for reason in odd if not world.options.json), *lines])
        return 0
    if odd and not here:
        raise UsageError("; ".join(odd), hint="If you mean it, add --here.")
    if (put.is_needed or around is not None) and not yes:
        for line in lines if not world.options.json else ():
            render.err(line)
        first = "Stop the application, and put" if around is not None else "Put"
        if not agree(f"{first} this record back?"):
            render.err("Nothing was touched.")
            return 1
    if around is not None:
        return around.run(lambda: putting.replace(display, force=force))
    return putting.run(display, force=force)


def _action(put: PutBack) -> str:
    return "unchanged" if not put.is_needed else "new" if put.before is None else "replaced"


def _fields(put: PutBack) -> tuple[Field, ...]:
    if not put.is_needed:
        return ()
    return changed_fields(put.before or "{}", put.after)
