"""What a rehearsal found, as facts of its report, in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from cascli import render
from cascli.options import Common
from cascli.session import iso
from casstore.ids import to_letters
from casstore.notes import Drilled
from casstore.recovery.drill import Found
from casstore.recovery.plan import Promises
from casstore.recovery.report import Report
from casstore.recovery.report_files import Fact, Section, Written, seconds
from casstore.recovery.status import span

_MINUTE_NS = 60 * 10**9


def facts(
    name: str, host: str, address: str, found: Found, promises: Promises, versions: Mapping[str, str],
    last: Drilled | None,
) -> list[Fact]:  # fmt: skip
    """Give what stands at the top of the report."""
    snapshot = found.snapshot
    taken = None if snapshot is None else iso(snapshot.time_ns, snapshot.zone_minutes)
    return [
        Fact("application", "Application", name),
        Fact("host", "Host", host),
        Fact("repository", "Repository", address),
        Fact("snapshot", "Snapshot", None if snapshot is None else to_letters(snapshot.id), taken),
        _rto(found, promises),
        *_rpo(found, promises),
        Fact("records", "Records restored, and live", {"restored": found.records, "live": found.live_records},
             "not counted" if found.records is None else f"{found.records:,}, {found.live_records:,}"),
        Fact("versions", "Versions", dict(versions), ", ".join(f"{one} {text}" for one, text in versions.items())),
        Fact("last_drill", "Last drill", None if last is None else iso(last.at_ns, 0), _last(last)),
    ]  # fmt: skip


def sections(report: Report, found: Found, changes: list[str], last: Drilled | None) -> list[Section]:
    """Give the lists behind the steps."""
    problems = [f"{step.name}: {step.words.partition(chr(10))[0]}" for step in report.failed]
    if last is None:
        changes = ["this is the first drill that is known"]
    return [
        Section("problems", "Problems found", problems),
        Section("notes", "Worth a look", found.notes),
        Section("changes", "Changed since the last drill", changes),
    ]


def told(options: Common, report: Report, found: Found, written: Written) -> None:
    """Say how it went, and where the report lies."""
    if options.json:
        cost = found.cost
        render.out(render.to_json({
            "message_type": "summary", "held": report.ok, "report": str(written.markdown),
            "report_json": str(written.json), "digest": written.digest, "rto_seconds": found.away_ns / 1e9,
            "rpo_minutes": None if cost is None or cost.window_ns is None else cost.window_ns / _MINUTE_NS,
            "rpo_records": None if cost is None else cost.records,
            "snapshot_id": None if found.snapshot is None else to_letters(found.snapshot.id),
            "steps": [step.fields() for step in report.steps], "notes": found.notes,
        }))  # fmt: skip
    elif not report.ok:
        failed = ", ".join(step.name for step in report.failed)
        render.err(f"the drill did not hold: {failed}. The report is {render.name(str(written.markdown))}")
    elif not options.quiet:
        render.out(
            f"all held; the application was away {seconds(found.away_ns)}; report {render.name(str(written.markdown))}"
        )


def _rto(found: Found, promises: Promises) -> Fact:
    promised = "" if promises.rto_ns is None else f"; at most {span(promises.rto_ns)} promised"
    if not found.away_ns:
        return Fact("rto_seconds", "RTO", None, f"the application did not come back{promised}")
    return Fact("rto_seconds", "RTO", found.away_ns / 1e9, f"{seconds(found.away_ns)}{promised}")


def _rpo(found: Found, promises: Promises) -> list[Fact]:
    cost = found.cost
    if cost is None:
        return [Fact("rpo_minutes", "RPO", None, "not measured")]
    promised = "" if promises.rpo_ns is None else f"; at most {span(promises.rpo_ns)} promised"
    minutes = None if cost.window_ns is None else cost.window_ns / _MINUTE_NS
    words = "all: there was no snapshot" if minutes is None else f"{minutes:.1f} min"
    newest = None if cost.newest_ns is None else cost.newest_ns / _MINUTE_NS
    return [
        Fact("rpo_minutes", "RPO: a loss would have cost", minutes, f"{words}{promised}"),
        Fact("rpo_records", "… in records", cost.records, f"{cost.records:,} in {cost.files:,} files"),
        Fact("newest_event_minutes", "… the newest of them that old", newest,
             "none was lost" if newest is None else f"{newest:.1f} min"),
    ]  # fmt: skip


def _last(last: Drilled | None) -> str:
    if last is None:
        return "none is known"
    how = f"held, RTO {seconds(last.away_ns)}" if last.held else "did not hold"
    return f"{iso(last.at_ns, 0)}: {how}"
