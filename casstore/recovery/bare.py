"""[recover], rehearsed: all its steps in a scratch folder, with an empty home and one secret of the repository.

It is `cas recover` itself, but for what would reach beyond the scratch folder: a step that commands services of the
host is not run, the application starts by `run`, no argument but that of a clone leads into the live folder, and the
env file is that of the drill. What was restored is compared before the next step, and sealed before the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from casstore.errors import CasError
from casstore.recovery import prerequisites
from casstore.recovery.application import Application
from casstore.recovery.cloning import is_clone
from casstore.recovery.course import Course
from casstore.recovery.harmless import moved
from casstore.recovery.plan import Step
from casstore.recovery.recover import Answer, Recovery, Setting
from casstore.recovery.report import Report
from casstore.recovery.scratch import Scratch
from casstore.repository import Repository
from casstore.snapshot import Snapshot

OF_THE_HOST = frozenset(
    ("cas", "doas", "initctl", "launchctl", "pm2", "rc-service", "service", "sudo", "supervisorctl", "systemctl")
)


class NotReady(CasError):
    """This host lacks what [recover] requires."""


def look_for_programs(require: dict[str, str], application: Application) -> str:
    """Look for what a recovery requires; gives words with the versions.

    Raises:
        NotReady: something is missing, or another version.
    """
    found = prerequisites.look(require, folder=application.folder, env=application.environment.values())
    lacking = [f"{one.program} {one.reason}" for one in found if one.reason]
    if lacking:
        raise NotReady("; ".join(lacking))
    return ", ".join(f"{one.program} {one.found}".strip() for one in found) or "none is required"


def reaches_out(step: Step) -> bool:
    """Whether a step commands the host itself, and with it the live application."""
    return bool(step.run) and Path(step.run[0]).name in OF_THE_HOST


class Bare:
    """A recovery in a scratch folder. `settle` is called before each step, with the one that comes."""

    def __init__(
        self, repository: Repository, snapshot: Snapshot, application: Application, scratch: Scratch, live: Path,
        report: Report, *, hostname: str, now_ns: int, clock: Callable[[], int], settle: Callable[[Step], None],
    ) -> None:  # fmt: skip
        self._repository, self._snapshot, self._application = repository, snapshot, application
        self._scratch, self._live, self._report, self._settle = scratch, live, report, settle
        self._setting = Setting(scratch.kept, hostname, now_ns, 0, clock)
        self.left_to_hand: list[str] = []

    def run(self, steps: tuple[Step, ...]) -> bool:
        """Do the steps; whether the application is healthy at the end.

        Raises:
            StepFailed: one did not end well.
        """
        ids = {step.name: self._snapshot.id for step in steps if step.restore}
        begun = Course(
            self._scratch.folder, self._repository.backend.address, self._repository.header.repository,
            self._snapshot.id, ids, self._setting.now_ns,
        )  # fmt: skip
        kept = tuple(self._inside(step) for step in steps)
        recovery = Recovery(self._repository, kept, self._application, begun, self._setting, self._report)
        return recovery.run(self._may).healthy is True

    def _may(self, _number: int, step: Step) -> Answer:
        if reaches_out(step):
            self.left_to_hand.append(step.name)
            return Answer.BY_HAND
        self._settle(step)
        return Answer.RUN

    def _inside(self, step: Step) -> Step:
        if is_clone(step.run):
            return step
        return replace(step, run=tuple(moved(word, self._live, self._scratch.folder) for word in step.run))
