"""Am I safe? What the repository tells of one application, held against what was promised. Pure.

Everything is read from the repository, never from the job that fills it: a job that says it is well may save nothing.
A failure is a broken promise. A warning is what may break all of them at once, such as copies on the disk of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from casstore import moments
from casstore.doubts import Doubts
from casstore.notes import Drilled, Verified, read_whole
from casstore.recovery.findings import Finding, Level
from casstore.recovery.plan import Promises
from casstore.recovery.report_files import seconds
from casstore.snapshot import Outcome, Snapshot
from casstore.values import dataclass

_DAY_NS = 86_400 * 10**9
_WEEK_NS = 7 * _DAY_NS
_AHEAD_NS = 5 * 60 * 10**9  # a clock that is further ahead than this is wrong
OK, WARNING, FAILURE = Level.OK, Level.WARNING, Level.FAILURE


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the repository, and the place where it lies, tell of one application."""

    snapshots: Sequence[Snapshot]  # of the application, in the order of the ledger
    doubts: Doubts
    verified: Sequence[Verified]
    drilled: Sequence[Drilled]
    proven_elsewhere: bool
    beside_data: bool | None  # the repository lies on a disk of the data; None: the data are not on this host
    unreadable: int  # objects of the repository that could not be read on the way
    since_drill: Sequence[str] = ()  # what changed since the last rehearsal, so that it proves less


@dataclass(frozen=True, slots=True)
class Status:
    """The judgement, and the figures that it rests on."""

    findings: tuple[Finding, ...]
    newest: Snapshot | None
    good: Snapshot | None  # the newest that is in no doubt
    verified_ns: int | None  # since when all data is proven
    drilled: Drilled | None  # the last rehearsal
    growth: int  # bytes stored per day, of the last week


def judge(seen: Evidence, promises: Promises, now_ns: int, troubles: Sequence[Finding] = ()) -> Status:
    """Hold what was seen against what was promised; `troubles` were found on the way to both."""
    every = sorted((one for one in seen.snapshots if not one.pre_restore), key=moment)
    ahead_ns = max((one.clock_ns for one in every), default=now_ns) - now_ns
    # One taken by a clock that was ahead stays the latest for as long: it must not hide that none came after it.
    taken = [one for one in every if moment(one) <= now_ns + _AHEAD_NS] or every
    newest = taken[-1] if taken else None
    good = next((one for one in reversed(taken) if seen.doubts.is_good(one)), None)
    verified_ns = read_whole(seen.verified)
    drill = seen.drilled[-1] if seen.drilled else None
    first_ns = taken[0].clock_ns if taken else now_ns
    findings = [
        *troubles,
        *_age(newest, good, promises.rpo_ns, now_ns),
        *_clock(ahead_ns),
        *_newest(newest, seen.doubts),
        *_verify(seen, verified_ns, promises.verify_every_ns, first_ns, now_ns),
        *_drill(drill, promises, first_ns, now_ns),
        *_since(drill, seen.since_drill),
        *_copies(seen),
    ]
    return Status(tuple(findings), newest, good, verified_ns, drill, growth(seen.snapshots, now_ns))


def moment(snapshot: Snapshot) -> int:
    """Give the moment that a snapshot holds: what it claims, but never later than its clock, in ns."""
    return min(snapshot.time_ns, snapshot.clock_ns)


def growth(snapshots: Sequence[Snapshot], now_ns: int) -> int:
    """Give how many bytes a day were stored, over the last week or since the first snapshot."""
    recent = [one for one in snapshots if one.clock_ns > now_ns - _WEEK_NS]
    if not recent:
        return 0
    days = min(_WEEK_NS, max(_DAY_NS, now_ns - snapshots[0].clock_ns))
    return sum(one.stored for one in recent) * _DAY_NS // days


def span(ns: int) -> str:
    """Tell a length of time in words."""
    words = moments.age(max(0, ns)).removesuffix(" ago")
    return words.removesuffix(" 0 min").removesuffix(" 0 h")


# ── the newest snapshot ──


def _age(newest: Snapshot | None, good: Snapshot | None, rpo_ns: int | None, now_ns: int) -> Iterator[Finding]:
    if newest is None:
        yield Finding("snapshot", FAILURE, "there is none", "Take the first with `cas backup`.")
        return
    if not newest.files + newest.others:
        todo = "See that `paths` in cas.toml are spelt as the files are: `cas doctor` says which match nothing."
        yield Finding("snapshot", FAILURE, "the newest holds no file: nothing is saved", todo)
        return
    if good is None:
        yield Finding("snapshot", FAILURE, "no snapshot is known to be good", "`cas snapshots` says what is in doubt.")
        return
    old = now_ns - moment(good)
    if old < -_AHEAD_NS:
        text = "the newest good one was taken by a clock ahead of the one here, so nobody knows how old it is"
        yield Finding("snapshot", FAILURE, text, "Set the clocks right (`timedatectl`), then run `cas backup`.")
        return
    text = f"the newest{' good one' if good is not newest else ''} is {span(old)} old"
    if rpo_ns is None:
        todo = "Promise something (`rpo` under [promises] in cas.toml), so that this can be judged."
        yield Finding("snapshot", WARNING if old > _DAY_NS else OK, text, todo if old > _DAY_NS else "")
    elif old > rpo_ns:
        todo = "Run `cas backup` and heed what it says; `cas schedule show` is how it runs by itself."
        yield Finding("snapshot", FAILURE, f"{text}, and at most {span(rpo_ns)} was promised", todo)
    else:
        yield Finding("snapshot", OK, f"{text}; at most {span(rpo_ns)} was promised")


def _clock(ahead_ns: int) -> Iterator[Finding]:
    if ahead_ns > _AHEAD_NS:
        text = f"a snapshot was taken {span(ahead_ns)} ahead of the clock here; until then it is passed over here"
        yield Finding("clock", WARNING, text, "See that the clocks are right (`timedatectl`).")


def _newest(newest: Snapshot | None, doubts: Doubts) -> Iterator[Finding]:
    if newest is None:
        return
    yield from _flush(newest)
    doubt = doubts.of(newest)
    lost = len(doubt.losses) + doubt.unlisted
    text = f"guarded files lost what they held: {lost:,}" if lost else "no guarded file lost what it held"
    todo = "`cas snapshots` names them. If it was meant, say `cas accept`; if not, `cas restore last-good`."
    yield Finding("guard", WARNING if lost else OK, text, todo if lost else "")
    torn = f"half-written JSON files in the newest: {doubt.torn:,}" if doubt.torn else "no JSON file is half-written"
    todo = "Ask the application to write to a new file and rename it, or to flush first (`flush` under [app])."
    yield Finding("torn", WARNING if doubt.torn else OK, torn, todo if doubt.torn else "")
    if newest.problems:
        text = f"entries that could not be saved whole in the newest: {newest.problems:,}"
        yield Finding("complete", WARNING, text, "`cas backup` names them.")


def _flush(newest: Snapshot) -> Iterator[Finding]:
    """Whether the application had written what it holds in memory: the one place that reads it from a snapshot."""
    flush = newest.flush
    if flush is None:
        return  # nobody said how to ask
    words = {
        Outcome.ACKNOWLEDGED: "the application had written all it held before the newest was taken",
        Outcome.NOT_RUNNING: "the application did not run when the newest was taken, and held nothing back",
        Outcome.REFUSED: "the application refused to write what it held before the newest was taken",
        Outcome.TIMED_OUT: "the application did not say in time that it had written what it held",
        Outcome.FAILED: "the application could not be asked to write what it held",
    }
    todo = "What was in memory only is not in it: see that `flush` under [app] is answered, and in time."
    level = WARNING if newest.is_unflushed else OK
    yield Finding("flush", level, words[flush.outcome], todo if level else "")


# ── proofs ──


def _verify(
    seen: Evidence, whole_ns: int | None, every_ns: int | None, first_ns: int, now_ns: int
) -> Iterator[Finding]:
    if seen.unreadable:
        text = f"objects of the repository that cannot be read: {seen.unreadable:,}"
        yield Finding("damage", FAILURE, text, "`cas verify` says what this costs.")
    found = next((note for note in reversed(seen.verified) if note.damages), None)
    if found is not None and (whole_ns is None or whole_ns < found.at_ns):
        text = f"damages found {_ago(found.at_ns, now_ns)}: {found.damages:,}"
        yield Finding("damage", FAILURE, text, "`cas verify` says what this costs; look after the disk.")
    text = "all data was never read back" if whole_ns is None else f"all data was read back {_ago(whole_ns, now_ns)}"
    yield _due("verify", text, whole_ns, every_ns, first_ns, now_ns, "Run `cas verify`.")


def _drill(drill: Drilled | None, promises: Promises, first_ns: int, now_ns: int) -> Iterator[Finding]:
    if drill is None and promises.drill_every_ns is None and promises.rto_ns is None:
        return
    if drill is not None and not drill.held:
        text = f"the last rehearsal of a recovery failed, {_ago(drill.at_ns, now_ns)}"
        yield Finding("drill", FAILURE, text, "Its report under drills/ says why; `cas drill` rehearses again.")
        return
    text = "a recovery was never rehearsed" if drill is None else f"recovery rehearsed {_ago(drill.at_ns, now_ns)}"
    at_ns = None if drill is None else drill.at_ns
    yield _due("drill", text, at_ns, promises.drill_every_ns, first_ns, now_ns, "Run `cas drill`.")
    if drill is not None and promises.rto_ns is not None:
        level = FAILURE if drill.away_ns > promises.rto_ns else OK
        text = f"recovery took {seconds(drill.away_ns)}; at most {span(promises.rto_ns)} was promised"
        todo = "Its report under drills/ has the time of each step." if level else ""
        yield Finding("rto", level, text, todo)


def _since(drill: Drilled | None, changes: Sequence[str]) -> Iterator[Finding]:
    if drill is not None and drill.held and changes:
        yield Finding("drill", WARNING, f"since the last rehearsal: {'; '.join(changes)}", "Run `cas drill`.")


def _due(
    topic: str, text: str, at_ns: int | None, every_ns: int | None, first_ns: int, now_ns: int, todo: str
) -> Finding:
    """Judge what is to be done again and again; what was never done is overdue as if the first snapshot had been it."""
    if every_ns is None:
        return Finding(topic, WARNING if at_ns is None else OK, text, todo if at_ns is None else "")
    text = f"{text}; every {span(every_ns)} was promised"
    if now_ns - (first_ns if at_ns is None else at_ns) > every_ns:
        return Finding(topic, FAILURE, text, todo)
    return Finding(topic, WARNING if at_ns is None else OK, text, todo if at_ns is None else "")


def _ago(at_ns: int, now_ns: int) -> str:
    return moments.age(max(0, now_ns - at_ns))


# ── what would take all copies at once ──


def _copies(seen: Evidence) -> Iterator[Finding]:
    if seen.beside_data:
        text, todo = "the only copy lies on the disk of the data", "Keep a copy elsewhere: one disk is one accident."
        yield Finding("copies", WARNING, text, todo)
    elif seen.beside_data is None:
        yield Finding("copies", OK, "one; the data are not on this host")
    else:
        yield Finding("copies", OK, "one, on another disk than the data")
    if seen.proven_elsewhere:
        yield Finding("secret", OK, "a secret that is kept outside this host was proven to open it")
    else:
        text = "no secret outside this host was proven to open it"
        todo = (
            "`cas key recovery` makes words for paper; its --check, or that of `cas key passwd`, proves what there is."
        )
        yield Finding("secret", WARNING, text, todo)
