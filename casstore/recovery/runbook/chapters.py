"""The chapters of a runbook, in their order: what is said where. The words are those of a language's file. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from casstore.recovery.paper.page import (
    Block,
    Heading,
    Listed,
    Paragraph,
    Span,
    Step,
    Steps,
    Table,
    Words,
    code,
    joined,
    plain,
)
from casstore.recovery.paper.phrases import Phrases
from casstore.recovery.past_reports import last_drill
from casstore.recovery.plan import Ask, External
from casstore.recovery.runbook import restoring
from casstore.recovery.runbook.described import (
    Described,
    day,
    kept_at,
    moment,
    names,
    shell,
    span,
    without_password,
)

SHOWN = 5  # reports in the table


def blocks(d: Described, say: Phrases) -> Iterator[Block]:
    """Give the whole page."""
    yield Heading(1, say("title", name=d.name))
    for chapter in (
        _night, _plan, _backup, restoring.restore, restoring.redeploy, _environment, _external, _drills, _contacts,
    ):  # fmt: skip
        yield from chapter(d, say)


def _night(d: Described, say: Phrases) -> Iterator[Block]:
    yield Paragraph(say("night.begin"), loud=True)
    rows = [
        (say(f"night.{case}"), say(f"night.{case}_goto", folder=d.folder))
        for case in ("wrong", "gone", "unclear", "stuck")
    ]
    yield Table((say("night.happened"), say("night.goto")), tuple(rows))
    yield Paragraph(say("night.codes"))


def _plan(d: Described, say: Phrases) -> Iterator[Block]:
    yield Heading(2, say("plan.title"))
    yield Paragraph(say("plan.do", name=d.name))
    facts: list[tuple[str, Words]] = [
        ("application", plain(d.name)), ("folder", code(d.folder)), ("repository", code(d.repository)),
        ("id", code(d.repository_id)), ("opened", opened(d, say)), ("version", code(f"cas {d.version}")),
    ]  # fmt: skip
    yield Table((say("plan.fact"), say("plan.value")), tuple((say(f"plan.{fact}"), value) for fact, value in facts))
    if not d.ways:
        yield Paragraph(say("plan.host_only"), loud=True)
    yield _promises(d, say)


def opened(d: Described, say: Phrases) -> Words:
    """Say what opens the repository."""
    if not d.ways:
        return say("plan.opened_by_host")
    return plain(", ".join(say.text(f"ways.{way.kind}") + (f" ({way.label})" if way.label else "") for way in d.ways))


def _promises(d: Described, say: Phrases) -> Block:
    promises, drill = d.plan.promises, last_drill(d.reports)
    rows: list[tuple[Words, ...]] = []
    for key, promised in (("rpo", promises.rpo_ns), ("rto", promises.rto_ns)):
        measured = None if drill is None else drill.rpo_ns if key == "rpo" else drill.rto_ns
        if promised is not None and measured is not None:
            held = say("yes" if measured <= promised else "no")
            rows.append((say(f"plan.{key}"), plain(span(promised)), plain(span(measured)), held))
        elif promised is not None:
            rows.append((say(f"plan.{key}"), plain(span(promised)), say("unknown"), ()))
    if promises.verify_every_ns is not None:
        rows.append((say("plan.verify"), plain(span(promises.verify_every_ns)), (), code("cas status")))
    if promises.drill_every_ns is not None:
        every = promises.drill_every_ns
        last = say("plan.due", last=day(drill.at_ns), due=day(drill.at_ns + every)) if drill else say("never")
        rows.append((say("plan.drill"), plain(span(every)), last, code("cas status")))
    if not rows:
        return Paragraph(say("plan.promises_none"), loud=True)
    return Table((say("plan.promise"), say("plan.promised"), say("plan.measured"), say("plan.holds")), tuple(rows))


def _backup(d: Described, say: Phrases) -> Iterator[Block]:
    yield Heading(2, say("backup.title"))
    patterns = [
        (say("backup.paths", folder=d.folder), d.config.paths), (say("backup.append_only"), d.config.append_only),
        (say("backup.isolate"), d.config.isolate), (say("backup.exclude"), d.config.exclude),
    ]  # fmt: skip
    yield Table(
        (say("plan.fact"), say("plan.value")), tuple((what, joined(given) or say("none")) for what, given in patterns)
    )
    yield Paragraph(_flush(d, d.plan.app.flush, say))
    rpo = d.plan.promises.rpo_ns
    yield Paragraph(say("backup.often", half=span(rpo // 2), rpo=span(rpo)) if rpo else say("backup.often_none"))
    yield Paragraph(say("backup.where", repository=d.repository))
    yield Paragraph(say("backup.inside" if d.is_inside else "backup.outside"), loud=d.is_inside)
    yield Steps((
        say.step("backup.take", shell(["cd", d.folder]), "cas backup"),
        say.step("backup.timers", "systemctl list-timers 'cas-*'"),
        say.step("backup.status", "cas status"),
        say.step("backup.verify", "cas verify"),
    ))  # fmt: skip


def _flush(d: Described, flush: Ask | None, say: Phrases) -> Words:
    if flush is None:
        return say("backup.flush_none")
    timeout = span(flush.timeout_ns)
    if flush.signal:
        return say("backup.flush_signal", ask=flush.signal, answer=flush.answer, timeout=timeout)
    if flush.http:
        return say("backup.flush_http", ask=without_password(flush.http), timeout=timeout)
    return say("backup.flush_command", ask=d.shell(flush.command), timeout=timeout)


def _environment(d: Described, say: Phrases) -> Iterator[Block]:
    app = d.plan.app
    yield Heading(2, say("environment.title"))
    yield Paragraph(say("environment.file", file=app.env_file) if app.env_file else say("environment.no_file"))
    if app.env_file:
        captured = "captured" if app.env_capture else "not_captured"
        yield Paragraph(say(f"environment.{captured}", file=app.env_file), loud=not app.env_capture)
    rows = [
        (code(name), say("yes" if required else "no"), _where(d, name, say))
        for name, required in names(app, d.variables)
    ]
    if not rows:
        yield Paragraph(say("environment.none"))
        return
    yield Table((say("environment.name"), say("environment.required"), say("environment.where")), tuple(rows))
    yield Paragraph(say("environment.compare"))


def _where(d: Described, name: str, say: Phrases) -> Words:
    app = d.plan.app
    if kept := kept_at(app, name):
        return plain(without_password(kept))
    is_captured = app.env_capture and name in d.variables
    return say("environment.in_snapshot" if is_captured else "environment.nowhere")


def _external(d: Described, say: Phrases) -> Iterator[Block]:
    yield Heading(2, say("external.title"))
    if not d.plan.external:
        yield Paragraph(say("external.none"))
        return
    yield Paragraph(say("external.begin"))
    yield Steps(tuple(_outside(d, one, say) for one in d.plan.external))


def _outside(d: Described, one: External, say: Phrases) -> Step:
    how = without_password(one.how)
    if one.check is None:
        return say.step("external.hand", name=one.name, how=how)
    if one.check.command:
        return say.step("external.command", d.shell(one.check.command), name=one.name, how=how)
    begins: list[Span] = []
    for name, prefix in sorted(one.check.env_prefix.items()):
        begins += [*plain("; " if begins else ""), *say("external.begins", name=name, prefix=prefix)]
    return replace(say.step("external.prefix", name=one.name, how=how), expect=tuple(begins))


def _drills(d: Described, say: Phrases) -> Iterator[Block]:
    drill, last = d.plan.drill, last_drill(d.reports)
    yield Heading(2, say("drill.title"))
    yield Paragraph(say("drill.begin"))
    if drill.env:
        yield Paragraph((*say("drill.replaced"), *joined(tuple(sorted(drill.env)))))
    if drill.keep_env:
        yield Paragraph((*say("drill.kept"), *joined(drill.keep_env)))
    env_file = d.plan.app.env_file or ".env"
    language = "" if say.language == "en" else f" --lang {say.language}"
    yield Steps((
        say.step("drill.run", shell(["cd", d.folder]), "cas drill", env_file=env_file),
        say.step("drill.full", f"cas drill --full --from COPY{d.asking}"),
        say.step("drill.guided", f"cas drill --guided{language}"),
        say.step("drill.renew", f"cas runbook{language}"),
    ))  # fmt: skip
    yield Paragraph(say("drill.reports"))
    if last is None:
        yield Paragraph(say("drill.never"), loud=True)
    yield from _results(d, say)
    for key, files in (("unreadable", d.unreadable), ("unproven", d.unproven)):
        if files:
            yield Paragraph(say(f"drill.{key}", files=", ".join(files[-SHOWN:])), loud=True)


def _results(d: Described, say: Phrases) -> Iterator[Block]:
    last = last_drill(d.reports)
    if d.reports:
        heads = tuple(say(f"drill.{head}") for head in ("when", "kind", "result", "rpo", "rto"))
        rows = [
            (
                plain(moment(past.at_ns)), code(past.kind), say("yes" if past.ok else "no"),
                *(say("unknown") if ns is None else plain(span(ns)) for ns in (past.rpo_ns, past.rto_ns)),
            )
            for past in reversed(d.reports[-SHOWN:])
        ]  # fmt: skip
        yield Table(heads, tuple(rows))
    if last is None:
        return
    yield Paragraph(
        say("drill.last", date=moment(last.at_ns), held=say.text(f"drill.{'held' if last.ok else 'broken'}"))
    )
    if last.problems:
        yield Paragraph(say("drill.problems"))
        yield Listed(tuple(plain(problem) for problem in last.problems))
    else:
        yield Paragraph(say("drill.no_problems"))
    if last.steps:
        yield Paragraph(say("drill.steps"))
        yield Table(
            (say("drill.name"), say("drill.ok"), say("drill.took")),
            tuple(
                (plain(step.name), say("yes" if step.ok else "no"), plain(f"{step.duration_ns / 1e9:.2f} s"))
                for step in last.steps
            ),
        )


def _contacts(d: Described, say: Phrases) -> Iterator[Block]:
    yield Heading(2, say("contacts.title"))
    if d.plan.contacts:
        rows = [(plain(who), plain(without_password(how))) for who, how in d.plan.contacts.items()]
        yield Table((say("contacts.who"), say("contacts.how")), tuple(rows))
    else:
        yield Paragraph(say("contacts.none"), loud=True)
    notify = d.plan.notify
    if notify.ping:  # what follows the host is as good as a key
        yield Paragraph(say("contacts.ping", address="/".join(without_password(notify.ping).split("/")[:3])))
    if notify.to:
        yield Paragraph(say("contacts.told", kinds=", ".join(address.partition(":")[0] for address in notify.to)))
