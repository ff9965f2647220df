"""The two chapters that are followed at night: a restore on the server, and the way from a bare one. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from casstore.recovery.paper.page import Block, Heading, Paragraph, Span, Step, Steps, Table, Words, code, plain
from casstore.recovery.paper.phrases import Phrases
from casstore.recovery.plan import Health
from casstore.recovery.plan import Step as Planned
from casstore.recovery.runbook.described import Described, shell, span


def restore(d: Described, say: Phrases) -> Iterator[Block]:
    """The server still runs."""
    changing = ["restart"] if d.restarts else ["stop", "files", "start"]
    app = d.plan.app
    count = 3 + len(changing) + bool(app.health) + len(app.checks) + 1
    undo = str(count)
    yield Heading(2, say("restore.title"))
    yield Paragraph(say("restore.before", undo=undo), loud=True)
    steps = [
        say.step("restore.go", shell(["cd", d.folder]), folder=d.folder),
        say.step("restore.list", "cas snapshots --latest 20"),
        say.step("restore.look", "cas restore last-good --dry-run"),
        *(_changing(d, say, which, undo) for which in changing),
        *proofs(d, say, undo),
        say.step("restore.undo", f"cas restore --undo{' --restart' if d.restarts else ''}"),
    ]
    yield Steps(tuple(steps))
    step = str(4 + changing.index("restart" if d.restarts else "files"))
    yield Paragraph(say("restore.one", step=step))
    yield Steps((_one(d, say),))


def _one(d: Described, say: Phrases) -> Step:
    restart = " --restart" if d.restarts else ""
    saved = (path for path in d.config.paths if path.endswith(".json") and path not in d.config.isolate)
    example = next(saved, "FILE.json").replace("**", "*").replace("*", "FILE")
    whole = f"cas restore last-good {shell([example])}{restart}"
    record = f"cas restore last-good {shell([example])} --record id=VALUE{restart}"
    return say.step("restore.part", whole, record)


def _changing(d: Described, say: Phrases, which: str, undo: str) -> Step:
    stop = d.plan.app.stop
    if which == "restart":
        return say.step("restore.restart", "cas restore last-good --restart")
    if which == "files":
        return say.step("restore.files", "cas restore last-good")
    if which == "start":
        return say.step("restore.start_any", undo=undo)  # a known start makes it "restart"
    return say.step("restore.stop", d.shell(stop.command)) if stop else say.step("restore.stop_any")


def proofs(d: Described, say: Phrases, undo: str, *go: str) -> Iterator[Step]:
    """Give the steps that show whether the application is well; `go` leads to its folder, if nothing did before."""
    health = d.plan.app.health
    if health is not None:
        facts = {"status": ", ".join(map(str, health.status)), "within": span(health.within_ns), "undo": undo}
        holds = json.dumps(health.json, ensure_ascii=False, default=str)
        key = "restore.health" if health.json else "restore.health_plain"
        step = say.step(key, shell(["curl", "-i", *_asked(health)]), json=holds, **facts)
        values = say("restore.values", file=d.plan.app.env_file or ".env") if "${" in health.http else ()
        yield replace(step, do=(*step.do, *values))
    for check in d.plan.app.checks:
        yield say.step("restore.check", *go, d.shell(check.command), name=check.name, undo=undo)


def _asked(health: Health) -> list[str]:
    method, _, address = health.http.rpartition(" ")
    return [*(["-X", method] if method not in ("", "GET") else []), address]


def redeploy(d: Described, say: Phrases) -> Iterator[Block]:
    """The server is gone."""
    yield Heading(2, say("redeploy.title"))
    ways = ", ".join(say.text(f"ways.{way.kind}") for way in d.ways)
    yield Paragraph(say("redeploy.need", ways=ways) if ways else say("redeploy.need_host"), loud=True)
    require = d.plan.recover.require
    versions = ", ".join(f"{program} {version}" for program, version in require.items())
    repository, folder = shell([d.repository]), shell([d.folder])
    go = shell(["cd", d.folder])
    env_file = d.plan.app.env_file or ".env"
    programs = [*(shell([program, "--version"]) for program in require), "python3 --version", "pipx --version"]
    yield Steps((
        say.step("redeploy.tools", *programs, versions=versions or "python3 >=3.11"),
        say.step("redeploy.install", "pipx install .", "cas --version", version=d.version),
        say.step("redeploy.reach", f"ls {repository}", repository=repository),
        say.step("redeploy.open", f"cas -r {repository} snapshots --latest 5{d.asking}", id=d.repository_id),
        say.step(
            "redeploy.recover", f"cas recover --repo {repository}{d.asking} {folder}", env_file=env_file,
            asking=d.asking, folder=folder,
        ),
        *proofs(d, say, "5", go),
        say.step("redeploy.outside"),
        say.step("redeploy.after", go, "cas backup", 'sudo "$(command -v cas)" schedule install'),
    ))  # fmt: skip
    yield Paragraph(say("redeploy.by_hand", folder=d.folder))
    rows = [
        (plain(f"{number}. {step.name}"), _by_hand(d, step, say)) for number, step in enumerate(d.plan.recover.steps, 1)
    ]
    yield Table((say("redeploy.step"), say("redeploy.command")), tuple(rows))


def _by_hand(d: Described, step: Planned, say: Phrases) -> Words:
    if step.run:
        return code(d.shell(step.run))
    if step.restore:
        return say("redeploy.data", repository=shell([d.repository]), moment=shell([step.restore]))
    if d.start:
        return say("redeploy.start_by", start=d.shell(d.start))
    return (*say("redeploy.start"), Span("."))
