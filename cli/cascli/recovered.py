"""How a recovery ended, on the terminal, as JSON and on paper."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cascli import render
from casstore import moments
from casstore.ids import SHORT, to_letters
from casstore.recovery import report_files
from casstore.recovery.course import Course
from casstore.recovery.outside import CheckResult, Looked
from casstore.recovery.plan import External, Plan
from casstore.recovery.prerequisites import Prerequisite
from casstore.recovery.ready import Given
from casstore.recovery.recover import Recovered
from casstore.recovery.report import Done
from casstore.recovery.report_files import RECOVERIES, Fact, Section, Written
from casstore.recovery.status import span
from casstore.snapshot import Snapshot
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """A recovery that came through its steps, or to an application that is not well, or to a step that failed.

    `now_ns`: when. `stopped_at`: the step that failed. `other_plan`: what is wrong with the cas.toml there.
    """

    plan: Plan
    course: Course
    data: Snapshot
    outcome: Recovered
    given: Given
    programs: tuple[Prerequisite, ...]
    looked: tuple[Looked, ...]
    steps: tuple[Done, ...]
    hostname: str
    version: str
    now_ns: int
    stopped_at: str = ""
    other_plan: str = ""

    @property
    def ok(self) -> bool:
        """Whether the application is healthy and nothing is missing."""
        return self.outcome.healthy is True and not self.outcome.problems

    @property
    def verdict(self) -> str:
        """How it ended, in a few words."""
        if self.stopped_at:
            return f"stopped at the step {self.stopped_at}"
        if self.outcome.healthy is None:
            return "brought back, and nothing says whether it is healthy"
        if not self.outcome.healthy:
            return "not healthy"
        return "healthy, with problems" if self.outcome.problems else "healthy"

    @property
    def rto_ns(self) -> int:
        """From the first attempt to now."""
        return max(0, self.now_ns - self.course.begun_ns)

    @property
    def worked_ns(self) -> int:
        """The steps alone, without what people took to answer and to mend."""
        return sum(step.duration_ns for step in self.steps)

    @property
    def lost_ns(self) -> int:
        """How old the data were when the recovery began."""
        return max(0, self.course.begun_ns - self.data.time_ns)

    @property
    def _by_hand(self) -> list[External]:
        return [one.external for one in self.looked if one.standing is CheckResult.BY_HAND]

    def facts(self) -> list[Fact]:
        """Give what stands at the top of the report."""
        promised = self.plan.promises.rto_ns
        facts = [
            Fact("verdict", "result", self.verdict),
            Fact("rto_seconds", "measured RTO", self.rto_ns / 1e9, report_files.seconds(self.rto_ns)),
            Fact("steps_seconds", "of that the steps", self.worked_ns / 1e9, report_files.seconds(self.worked_ns)),
        ]
        if promised is not None:
            facts.append(Fact("rto_promised_seconds", "promised RTO", promised / 1e9, report_files.seconds(promised)))
        return [
            *facts,
            Fact("data_age_seconds", "age of the data", self.lost_ns / 1e9, span(self.lost_ns)),
            Fact("snapshot", "snapshot", to_letters(self.data.id), moments.told(self.data, self.course.begun_ns)),
            Fact("folder", "folder", os.fsencode(self.course.folder).decode(errors="replace")),
            Fact("repository", "repository", self.course.place),
            Fact("host", "host", self.hostname),
            Fact("version", "cas", self.version),
            *(Fact(f"program {one.program}", one.program, one.found or "there") for one in self.programs),
        ]

    def sections(self) -> list[Section]:
        """Give what stands behind the steps of the report: names only of the environment, never values."""
        by_hand = [
            f"{one.external.name}: {one.external.how}" for one in self.looked if one.standing is CheckResult.BY_HAND
        ]
        failed = [f"{step.name}: {step.words.splitlines()[0]}" for step in self.steps if step.words and not step.ok]
        held = [one.external.name for one in self.looked if one.standing is CheckResult.HELD]
        environment = [f"{name}: {how.value}" for name, how in self.given.compared.items()]
        return [
            Section("problems", "Problems", [*failed, *self.outcome.problems]),
            Section("worth_a_look", "Worth a look", [self.other_plan] if self.other_plan else []),
            Section("by_hand", "To be done by hand", by_hand),
            Section("outside", "Outside, as it should be", held),
            Section("environment", "Environment, against what the data were written under", environment),
        ]

    def lines(self, paper: Written | None, *, next_steps: Sequence[str], quiet: bool) -> list[str]:
        """Tell it; with `quiet` only what is wrong."""
        name = self.data.name or self.course.folder.name
        problems = [f"problem: {problem}" for problem in self.outcome.problems]
        if quiet:
            return problems
        lines = [f"{name} is {self.verdict}, {render.duration(self.rto_ns)} after the beginning", *problems]
        if self.outcome.healthy is False:
            lines.append("What is done is kept: `cas recover --resume` tries again.")
        by_hand = [f"by hand: {one.name}: {one.how}" for one in self._by_hand]
        return [*lines, *by_hand, *next_steps, *([f"the report is {paper.markdown}"] if paper else [])]

    def fields(self, paper: Written | None) -> dict[str, object]:
        """Give it as JSON."""
        told = [
            {"name": one.external.name, "standing": one.standing.name.lower(), "reason": one.reason}
            for one in self.looked
        ]
        return {
            "message_type": "summary",
            "ok": self.ok,
            "healthy": self.outcome.healthy,
            "snapshot_id": to_letters(self.data.id),
            "short_id": to_letters(self.data.id)[:SHORT],
            "folder": str(self.course.folder),
            "problems": list(self.outcome.problems),
            "worth_a_look": [self.other_plan] if self.other_plan else [],
            "steps": [step.fields() for step in self.steps],
            "external": told,
            "rto": self.rto_ns / 1e9,
            "report": paper and {"markdown": str(paper.markdown), "json": str(paper.json), "digest": paper.digest},
        }


def written(ended: Ended) -> Written:
    """Write the report of a recovery below the application's folder."""
    name = ended.data.name or ended.course.folder.name
    return report_files.write(
        ended.course.folder / RECOVERIES, "recovery", ended.facts(), ended.steps, ended.sections(),
        title=f"Recovery of {name}: {ended.verdict}", ok=ended.ok, at_ns=ended.course.begun_ns,
    )  # fmt: skip
