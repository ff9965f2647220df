"""How far a recovery has come: kept by this host until the application is healthy, durable before each step.

It is what `--resume` goes by. It names the snapshots that were chosen, so that a recovery that takes two attempts is
of one state; the steps that ended well; and the one that was begun, whose processes may have outlived us.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from casstore import private
from casstore.errors import CasError
from casstore.recovery.report import Done
from casstore.recovery.stopped import log_path
from casstore.values import dataclass

VERSION = 1


class CourseUnreadable(CasError):
    """What is kept of a recovery is none of ours."""

    hint = "Empty the folder and begin again, without --resume."


@dataclass(frozen=True, slots=True)
class Course:
    """A recovery into a folder. `place`: the repository as it was named; snapshots by their ids."""

    folder: Path
    place: str
    repository: bytes
    plan: bytes  # the snapshot whose cas.toml is gone by
    restores: Mapping[str, bytes]  # step: the snapshot that it restores
    begun_ns: int  # of the wall clock, the first attempt
    ended: tuple[str, ...] = ()  # steps that ended well
    running: str = ""  # the step that was begun; "" none
    done: tuple[Done, ...] = ()  # all that was done, failures too
    problems: tuple[str, ...] = ()  # what is not whole, though the steps went on
    mended: bool = False  # the cas.toml in the folder is gone by, and no longer the snapshot's
    toml: str = ""  # digest of the cas.toml in the folder as it was found, or left by a step that ended well or by us

    def began(self, step: str) -> Course:
        """Give it with a step at work."""
        return replace(self, running=step)

    def ended_with(self, step: str, done: tuple[Done, ...], problems: tuple[str, ...] = ()) -> Course:
        """Give it with a step that ended well."""
        return replace(
            self, ended=(*self.ended, step), running="", done=done, problems=(*self.problems, *problems),
            toml=digest(self.folder),
        )  # fmt: skip

    def failed_with(self, done: tuple[Done, ...]) -> Course:
        """Give it with the step at work having failed."""
        return replace(self, running="", done=done)

    def left_plan(self) -> Course:
        """Give it with the snapshot's cas.toml in the folder."""
        return replace(self, toml=digest(self.folder))


def read(state: Path, folder: Path) -> Course | None:
    """Give what is kept of a recovery into a folder; None if none was begun.

    Raises:
        CourseUnreadable: it cannot be read.
    """
    try:
        data = _path(state, folder).read_bytes()
    except FileNotFoundError:
        return None
    try:
        told = json.loads(data)
        if told["version"] != VERSION:
            raise CourseUnreadable("what is kept of a recovery was written by another version of cas")
        return Course(
            folder, told["place"], bytes.fromhex(told["repository"]), bytes.fromhex(told["plan"]),
            {step: bytes.fromhex(snapshot) for step, snapshot in told["restores"].items()}, told["begun_ns"],
            tuple(told["ended"]), told["running"], tuple(Done(*done) for done in told["done"]),
            tuple(told["problems"]), told["mended"], told["toml"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CourseUnreadable(f"what is kept of the recovery into {folder} cannot be read") from error


def write(state: Path, course: Course) -> None:
    """Keep it; durable on return."""
    told = {
        "version": VERSION, "place": course.place, "repository": course.repository.hex(), "plan": course.plan.hex(),
        "restores": {step: snapshot.hex() for step, snapshot in course.restores.items()}, "begun_ns": course.begun_ns,
        "ended": course.ended, "running": course.running, "problems": course.problems,
        "mended": course.mended, "toml": course.toml,
        "done": [[done.name, done.ok, done.duration_ns, done.words] for done in course.done],
    }  # fmt: skip
    private.replace(_path(state, course.folder), json.dumps(told).encode())


def with_mended(course: Course) -> Course:
    """Give it with `mended`, if somebody changed the cas.toml there after a step failed: the plan that stopped it.

    Behind a kill nobody can tell whether a change is somebody's, or of the step that was at work (`is_unclear`): it is
    not gone by then, but once a step has failed.
    """
    now = digest(course.folder)
    if not now:
        return replace(course, mended=False)
    return replace(course, mended=course.mended or (not course.running and now != course.toml))


def is_unclear(course: Course) -> bool:
    """Whether the cas.toml there is another one, and nobody can tell by whom."""
    return bool(course.running) and not course.mended and digest(course.folder) not in ("", course.toml)


def digest(folder: Path) -> str:
    """Give the SHA-256 of the cas.toml in a folder, in letters; "" if there is none."""
    with suppress(OSError):
        return digest_of((folder / "cas.toml").read_bytes())
    return ""


def digest_of(toml: bytes) -> str:
    """Give the SHA-256 of the text of a cas.toml, in letters."""
    return hashlib.sha256(toml).hexdigest()


def drop(state: Path, folder: Path) -> None:
    """Forget it: nothing is left to be done."""
    private.remove(_path(state, folder))


def mark(folder: Path, step: str) -> tuple[str, str]:
    """Give name and value of what the programs of a step carry in their environment."""
    return "CAS_RECOVERY", f"{os.path.realpath(folder)}:{step}"


def _path(state: Path, folder: Path) -> Path:
    return log_path(state, folder).with_name("recovery")
