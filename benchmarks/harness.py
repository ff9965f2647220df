"""What every benchmark does: rooms, runs, rounds in rotated order, and what was found.

Each measured command is a process of its own in an environment of its own. Before it the whole tree is read
once and the disk is synced, so that no program pays for another's writes. Programs are run once on a tiny tree
first: their code is in memory, bytecode is cached, and one that does not work is left out and named.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inputs import warm
from peers import ROOT, Peer, Room, installed

SCRATCH = ROOT / ".bench" / "scratch"
MEASURE = Path(__file__).with_name("measure.py")
FINE = (0, 4)  # 4: cas saved all, and noticed that guarded files went, as some workloads have it
TIMEOUT_SECONDS = 3600


class CommandFailed(Exception):
    """A measured command ended with an error."""


@dataclass(frozen=True)
class Cost:
    """What one process, its children included, took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    read_bytes: int
    output: str


@dataclass(frozen=True)
class Goal:
    """What a figure of `cas` should reach, what was found, and whether that is enough."""

    figure: str
    wanted: str
    found: str
    reached: bool


@dataclass(frozen=True)
class Stored:
    """What lies in a folder: lengths of files, what the file system takes (folders too), and the names."""

    apparent_bytes: int
    disk_bytes: int
    names: frozenset[str]


def stored(folder: Path) -> Stored:
    """Look at a folder."""
    apparent = disk = 0
    names = []
    for path, _, files in os.walk(folder):
        disk += Path(path).stat().st_blocks * 512
        for name in files:
            status = Path(path, name).stat()
            apparent += status.st_size
            disk += status.st_blocks * 512
            names.append(os.path.relpath(Path(path, name), folder))
    return Stored(apparent, disk, frozenset(names))


class Bench:
    """One question: its peers and the figures found so far."""

    def __init__(self, name: str, question: str) -> None:
        """Make room, and find out which programs work."""
        self.name, self.question = name, question
        self.full = os.environ.get("BENCH", "quick") == "full"
        self.figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.beside: dict[str, float] = {}
        self.goals: list[Goal] = []
        self.remarks: list[str] = []
        self.controls: dict[str, bool] = {}
        self.versions: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.scratch = SCRATCH / name
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        wanted = os.environ.get("BENCH_PEERS", "").split(",")
        self.peers = [peer for peer in installed() if wanted == [""] or peer.name in wanted]
        for peer in self.each():
            with self.trial(peer):
                self.try_out(peer)

    def try_out(self, peer: Peer) -> None:
        """A whole cycle on a tiny tree."""
        tree = self.scratch / "tiny"
        tree.mkdir(exist_ok=True)
        (tree / "file").write_text("tiny")
        room = self.room(peer, tree)
        self.versions[peer.name] = self.run(peer, room, peer.version, tree).output.splitlines()[0]
        self.run(peer, room, peer.backup, tree)
        self.run(peer, room, peer.restore, self.empty(room))
        self.run(peer, room, peer.verify, tree)

    def each(self, turn: int = 0) -> list[Peer]:
        """The peers still in the race, another one first at each turn."""
        start = turn % len(self.peers) if self.peers else 0
        return self.peers[start:] + self.peers[:start]

    def trial(self, peer: Peer) -> Trial:
        """A block in which a failing command takes `peer`, and nothing else, out of the race."""
        return Trial(self, peer)

    def room(self, peer: Peer, source: Path, aside: str = "") -> Room:
        """A place for `peer`, with an empty repository; `aside`: besides the one that it has."""
        room = Room(self.scratch / f"{peer.name}{aside}", source)
        shutil.rmtree(room.folder, ignore_errors=True)
        (room.folder / "home").mkdir(parents=True)
        for line in peer.init:
            self.run(peer, room, line, source)
        return room

    def empty(self, room: Room) -> Path:
        """An empty folder to restore into."""
        target = room.folder / "restored"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return target

    def run(self, peer: Peer, room: Room, line: str, folder: Path, number: int = 0) -> Cost:
        """Run one command of a peer in `folder`.

        Raises:
            CommandFailed: with the last lines that it wrote.
        """
        return run(peer.command(line, room, number), folder, peer.environment(room), room.folder)

    def measure(self, peer: Peer, room: Room, verb: str, line: str, folder: Path, number: int = 0) -> Cost:
        """Run one command with the source warm, and note its cost as figures of `verb`."""
        warm(room.source)
        cost = self.run(peer, room, line, folder, number)
        self.note(peer, f"{verb}, s", cost.seconds)
        self.note(peer, f"{verb}, CPU s", cost.cpu_seconds)
        self.note(peer, f"{verb}, peak MiB", cost.peak_bytes / 2**20)
        self.note(peer, f"{verb}, MB read", cost.read_bytes / 1e6)
        return cost

    def note(self, peer: Peer, figure: str, value: float) -> None:
        """One measured value; smaller is better."""
        self.figures[figure][peer.name].append(value)

    def value(self, figure: str, peer: str = "cas") -> float | None:
        """The median of what was noted, None if nothing was."""
        return median(self.figures.get(figure, {}).get(peer, []))

    def best_peer(self, figure: str, among: tuple[str, ...] = ()) -> tuple[str, float] | None:
        """The peer, of `among` or of all but `cas`, with the smallest median. All of them encrypt."""
        names = [peer.name for peer in self.peers if peer.name != "cas" and (not among or peer.name in among)]
        found = [(value, name) for name in names if (value := self.value(figure, name)) is not None]
        return (min(found)[1], min(found)[0]) if found else None

    def forget(self, verb: str) -> None:
        """Drop the figures of `verb`, which were only a means to others."""
        for figure in [figure for figure in self.figures if figure.startswith(f"{verb}, ")]:
            del self.figures[figure]

    def goal_at_most(self, figure: str, limit: float) -> None:
        """A figure whose median should not exceed something."""
        if (value := self.value(figure)) is not None:
            self.goals.append(Goal(figure, f"at most {limit:g}", f"{value:.4g}", value <= limit))

    def goal_memory(self, limit_mib: float = 150) -> None:
        """The most that any command took, in any of its runs: of `cas` it should not exceed the limit."""
        peaks = [by for figure, by in self.figures.items() if figure.endswith(", peak MiB")]
        for peer in self.peers:
            if values := [value for by in peaks for value in by.get(peer.name, [])]:
                self.note(peer, "most memory of all runs, MiB", max(values))
        self.goal_at_most("most memory of all runs, MiB", limit_mib)

    def goal_share(self, figure: str, share: float, among: tuple[str, ...] = ()) -> None:
        """A size that should be no more than this share of the smallest peer's."""
        value, best = self.value(figure), self.best_peer(figure, among)
        if value and best:
            wanted, found = f"at most {share:g} x the smallest peer's", f"{value / best[1]:.2f} x ({best[0]})"
            self.goals.append(Goal(figure, wanted, found, value / best[1] <= share))

    def goal_times_as_fast(self, figure: str, factor: float, among: tuple[str, ...] = ()) -> None:
        """A time that `cas` should beat the fastest peer's by, or that of the fastest of some peers."""
        value, best = self.value(figure), self.best_peer(figure, among)
        if value and best:
            whom = f"faster of {' and '.join(among)}" if among else "fastest peer"
            wanted = f"at least {factor:g} x as fast as the {whom}"
            found = f"{best[1] / value:.2f} x ({best[0]})"
            self.goals.append(Goal(figure, wanted, found, best[1] / value >= factor))

    def control(self, claim: str, held: bool) -> None:
        """Something that must be so each time it is looked at, else the benchmark measures nothing."""
        self.controls[claim] = held and self.controls.get(claim, True)


class Trial:
    """Catches what a peer's command raises, and takes the peer out."""

    def __init__(self, bench: Bench, peer: Peer) -> None:
        """Of this peer in this race."""
        self.bench, self.peer = bench, peer

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Take the peer out if its command failed."""
        if not isinstance(error, CommandFailed):
            return False
        self.bench.failures[self.peer.name] = str(error)
        self.bench.peers = [peer for peer in self.bench.peers if peer is not self.peer]
        print(f"{self.peer.name} is out: {error}", file=sys.stderr)
        return True


def run(command: list[str], folder: Path, environment: dict[str, str], notes: Path) -> Cost:
    """Run a command in `folder`; its output goes to files in `notes`.

    Raises:
        CommandFailed: with the last lines that it wrote.
    """
    result, output = notes / "cost.json", notes / "output"
    wrapped = [
        sys.executable,
        "-I",
        "-S",
        str(MEASURE),
        str(result),
        str(folder),
        str(output),
        "--",
        *command,
    ]
    subprocess.run(wrapped, env=environment, check=True, timeout=TIMEOUT_SECONDS)
    measured = json.loads(result.read_text())
    if (code := measured.pop("exit_code")) not in FINE:
        said = (output.read_text(errors="replace") + Path(f"{output}.err").read_text(errors="replace")).split("\n")
        raise CommandFailed(f"`{' '.join(command)}` ended with {code}: " + " / ".join(filter(None, said[-6:])))
    return Cost(output=output.read_text(errors="replace"), **measured)


def rounds(count: int) -> Iterator[int]:
    """Count, with now and then a line for whoever waits."""
    for number in range(count):
        if number % max(1, count // 10) == 0:
            print(f"round {number + 1} of {count}", file=sys.stderr, flush=True)
        yield number


def median(values: list[float]) -> float | None:
    """The middle one, or the mean of the two; None of nothing."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2 if ordered else None
