"""What does a snapshot cost that saves 12 changed records and 60 new events of an application's 9 MB?"""

from __future__ import annotations

import sys
from pathlib import Path

import zstandard
from cycle import check_restored
from harness import Bench, rounds, stored
from inputs import massaflow_minute, massaflow_shop
from peers import Peer, Room
from report import report

ROTATE_EVERY = 50  # the vault, encrypted anew, cannot be deduplicated
VAULT_BYTES = 25_000  # at least so much of it is new then


def main() -> int:
    """200 snapshots; in a hurry 51, and the peers only 10."""
    bench = Bench("small_changes", __doc__ or "")
    source = bench.scratch / "source"
    source.mkdir()
    shop = massaflow_shop(source)
    rooms = {peer.name: bench.room(peer, source) for peer in bench.peers}
    for peer in bench.each():
        with bench.trial(peer):
            bench.measure(peer, rooms[peer.name], "first backup", peer.backup, source)
    news = []
    before = all_bytes(source)
    for turn in rounds(200 if bench.full else ROTATE_EVERY + 1):
        massaflow_minute(shop, turn, rotate=rotated(turn))
        after = all_bytes(source)
        news.append(patch_bytes(before, after))
        before = after
        for peer in bench.each(turn):
            if bench.full or peer.name == "cas" or turn < 10:
                with bench.trial(peer):
                    one_snapshot(bench, peer, rooms[peer.name], turn + 1)
    bench.beside["the news, as one zstd difference of the whole tree, mean kB"] = sum(news) / len(news) / 1e3
    for peer in bench.each():
        if bench.full or peer.name == "cas":
            finish(bench, peer, rooms[peer.name])
    bench.goal_at_most("stored per snapshot, mean kB", 6)
    bench.goal_at_most("new objects per snapshot", 2)
    return report(bench)


def one_snapshot(bench: Bench, peer: Peer, room: Room, number: int) -> None:
    """Save once more and look at what that added."""
    before = stored(room.repository)
    bench.measure(peer, room, "snapshot", peer.backup, room.source, number)
    after = stored(room.repository)
    bench.note(peer, "stored per snapshot, kB", (after.apparent_bytes - before.apparent_bytes) / 1e3)
    bench.note(peer, "on disk per snapshot, kB", (after.disk_bytes - before.disk_bytes) / 1e3)
    bench.note(peer, "new objects per snapshot", len(after.names - before.names))


def finish(bench: Bench, peer: Peer, room: Room) -> None:
    """Means, the whole, and proof that the newest snapshot is right and that new bytes are counted."""
    kept = stored(room.repository)
    bench.note(peer, "repository after all, MB", kept.apparent_bytes / 1e6)
    bench.note(peer, "repository after all, objects", len(kept.names))
    added = bench.figures["stored per snapshot, kB"][peer.name]
    bench.note(peer, "stored per snapshot, mean kB", sum(added) / len(added))
    for turn, kilobytes in enumerate(added):
        if rotated(turn):
            claim = f"a new vault costs {peer.name} at least what is new of it"
            bench.control(claim, kilobytes * 1e3 >= VAULT_BYTES)
    with bench.trial(peer):
        target = bench.empty(room)
        bench.measure(peer, room, "restore", peer.restore, target, len(added))
        check_restored(bench, peer, room.source, target)
        bench.measure(peer, room, "verify", peer.verify, room.source)


def rotated(turn: int) -> bool:
    """Whether this turn (from 0) encrypts the vault anew."""
    return turn % ROTATE_EVERY == ROTATE_EVERY - 1


def all_bytes(tree: Path) -> bytes:
    """Every file, one after the other."""
    return b"".join(path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file())


def patch_bytes(before: bytes, after: bytes) -> int:
    """How small the difference is without a repository around it; the large tables make zstd find all of it."""
    known = zstandard.ZstdCompressionDict(before, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27, hash_log=24, chain_log=24)
    return len(zstandard.ZstdCompressor(dict_data=known, compression_params=parameters).compress(after))


if __name__ == "__main__":
    sys.exit(main())
