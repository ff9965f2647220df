"""Trees that change between snapshots, the same way for the same turn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

from inputs import MIB, log_blocks, massaflow, small_files, text_log
from news import News
from records import TODAY, make_record

DECLARED = 'append-only = ["*.log"]\n'
LOG = "server.log"
ORDERS = 230  # of which a JSON file of 170 kB consists
NEAR = MIB  # so much of a log's end counts as known when the news in what follows is measured


class GrowingTree:
    """A log that grows beside JSON files that are rewritten whole; its cas.toml calls the log append-only."""

    def __init__(self, folder: Path, *, log_mebibytes: int, tables: int) -> None:
        """Write it below `folder`; without a log if that is to have 0 MiB."""
        folder.mkdir(exist_ok=True)
        self.folder, self.log = folder, folder / LOG
        (folder / "cas.toml").write_text(DECLARED)
        self.lines = log_lines()
        if log_mebibytes:
            shutil.copyfile(text_log(log_mebibytes) / LOG, self.log)
        random = Random(tables)
        self.tables = []
        for number in range(tables):
            records = [make_record(random, "orders", n) for n in range(ORDERS)]
            self.tables.append(massaflow.Table(folder / f"orders-{number}.json", records))
            self.tables[-1].save()

    def change(self, turn: int, *, log_bytes: int, records: int) -> News:
        """Append whole lines, at most so many bytes, and change so many records."""
        return [*self.append(log_bytes), *self.rewrite(turn, records)]

    def append(self, size: int) -> News:
        """Let the log grow."""
        lines = next_lines(self.lines, size)
        with self.log.open("r+b") as file:
            file.seek(max(0, self.log.stat().st_size - NEAR))
            near = file.read()
            file.write(lines)
        return [(near, lines)]

    def rewrite(self, turn: int, records: int) -> News:
        """Change some records, each in any of the tables, and write these anew."""
        random = Random(turn)
        now = TODAY + timedelta(minutes=turn)
        for _ in range(records):
            table, number = random.choice(self.tables), random.randrange(ORDERS) + 1
            table.change(number, massaflow.make_change(random, table.records[number - 1], "orders", now))
        news: News = []
        for table in self.tables:
            if table.changed:
                before = table.path.read_bytes()
                table.save()
                news.append((before, table.path.read_bytes()))
        return news


class SmallFiles:
    """Many JSON documents in folders; the folder is a copy that may be changed."""

    def __init__(self, folder: Path, count: int) -> None:
        """Copy them to `folder`."""
        self.folder = shutil.copytree(small_files(count), folder)
        self.paths = sorted(path for path in folder.rglob("*.json"))

    def change(self, turn: int, *, changed: int, new: int = 0, gone: int = 0) -> None:
        """Write some documents anew, add some and remove some, anywhere."""
        random = Random(turn)
        for path in random.sample(self.paths, changed):
            order = json.loads(path.read_text(encoding="utf-8"))
            order |= massaflow.make_change(random, order, "orders", TODAY + timedelta(minutes=turn))
            write_document(path, order)
        for path in random.sample(self.paths, gone):
            path.unlink()
            self.paths.remove(path)
        for number in range(new):
            order = make_record(random, "orders", number)
            path = random.choice(self.paths).parent / f"{order['id']}.json"
            write_document(path, order)
            self.paths.append(path)


def write_document(path: Path, document: object) -> None:
    """As the application does: whole, in place."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")


def log_lines() -> Iterator[bytes]:
    """Lines for a log that grows, none of them in the log itself."""
    for block in log_blocks(Random(7)):
        yield from block.splitlines(keepends=True)


def next_lines(lines: Iterator[bytes], size: int) -> bytes:
    """As many whole lines as fit into `size` bytes, or one; the line that did not fit is dropped."""
    taken = [next(lines)]
    length = len(taken[0])
    for line in lines:
        length += len(line)
        if length > size:
            break
        taken.append(line)
    return b"".join(taken)
