"""Runs: new whole chunks in the order met, compressed together; never types mixed, nor isolated streams with others."""

from __future__ import annotations

from dataclasses import field

from casstore.chunkstore.packing import CHUNK_COST, Packer
from casstore.chunkstore.payloads import whole
from casstore.format.blob import RUN_BYTES
from casstore.ids import ChunkId
from casstore.values import dataclass

JOB_BYTES = 256 << 10  # runs handed to a worker at once: handing over costs as much as compressing a few KiB


@dataclass(slots=True)
class _Run:
    """Chunks to be compressed together. `held`: bytes of memory that it is answerable for."""

    kind: int
    ids: list[ChunkId] = field(default_factory=list)
    pieces: list[memoryview] = field(default_factory=list)
    length: int = 0
    held: int = 0


class Runs:
    """Gathers chunks; full runs go to the packer, several at once."""

    def __init__(self, packer: Packer) -> None:
        self._packer = packer
        self._open: dict[int, _Run] = {}  # by type
        self._ended: list[_Run] = []  # not yet handed in
        self._ended_bytes = 0
        self._window: object = None  # the last one of which a run holds a part

    def add(self, kind: int, chunk: ChunkId, data: memoryview) -> None:
        """Add a chunk. It is not copied, but holds the window that it was cut from, which `held` counts."""
        run = self._open.get(kind)
        if run is not None and run.length + len(data) > RUN_BYTES:
            self.end(kind)
            run = None
        if run is None:
            run = self._open[kind] = _Run(kind)
        if data.obj is not self._window:
            if run.held and len(data.obj) > 2 * len(data):  # type: ignore[arg-type]
                data = memoryview(bytes(data))  # a run holds one window and counts as large
            else:
                self._window = data.obj
            run.held += len(data.obj)  # type: ignore[arg-type]
        run.ids.append(chunk)
        run.pieces.append(data)
        run.length += len(data)

    def end(self, kind: int) -> None:
        """End the run of a type: what comes next is compressed apart from it."""
        run = self._open.pop(kind, None)
        if run is not None:
            self._ended.append(run)
            self._ended_bytes += run.length
            if self._ended_bytes >= JOB_BYTES or run.held > JOB_BYTES:
                self._hand_in()

    def flush(self) -> None:
        """Hand all to the packer."""
        for kind in sorted(self._open):
            self.end(kind)
        self._hand_in()
        self._window = None

    def _hand_in(self) -> None:
        runs, self._ended, self._ended_bytes = self._ended, [], 0
        if runs:
            size = sum(max(run.held, run.length) + CHUNK_COST * len(run.ids) for run in runs)
            self._packer.submit(lambda: [whole(run.kind, run.ids, run.pieces) for run in runs], size)
