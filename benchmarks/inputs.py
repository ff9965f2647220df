"""The trees that are saved: made once, kept below `.bench/inputs`, the same for the same parameters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from random import Random

from peers import ROOT

sys.path.insert(0, str(ROOT / "examples" / "massaflow"))

import app as massaflow
from records import TODAY, make_record, some_moment

INPUTS = ROOT / ".bench" / "inputs"
MIB = 1 << 20
SETTLED_SECONDS = 62  # `cas` trusts a file's times once they are 60 s old


def text_log(mebibytes: int) -> Path:
    """A folder with one log of an HTTP server, no line like another."""
    return kept(f"log-{mebibytes}", lambda folder: write_log(folder / "server.log", mebibytes * MIB))


def small_files(count: int, folders: int = 256) -> Path:
    """JSON documents of about 1 kB, dealt out over folders."""
    return kept(f"files-{count}", lambda folder: write_files(folder, count, folders))


def random_bytes(mebibytes: int) -> Path:
    """One file that nothing can make smaller."""
    return kept(f"random-{mebibytes}", lambda folder: write_random(folder / "data.bin", mebibytes * MIB))


def package_versions(package: str, versions: list[str]) -> list[Path]:
    """Releases of an npm package, unpacked, by the client as it is configured here."""
    return [
        kept(f"{package.rpartition('/')[2]}-{version}", partial(fetch_package, package, version))
        for version in versions
    ]


def massaflow_shop(folder: Path) -> massaflow.App:
    """A fresh shop of the example application, about 9 MB, running."""
    return massaflow.seed_shop(folder)


def massaflow_minute(shop: massaflow.App, turn: int, *, rotate: bool = False) -> None:
    """12 records change, 60 events are appended; `rotate`: the vault is encrypted anew."""
    massaflow.work(shop, Random(turn), rotate=rotate)


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of an input, made now unless it was finished before."""
    folder = INPUTS / name
    if not folder.exists():
        unfinished = INPUTS / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder


def write_log(path: Path, size: int) -> None:
    """Cut at exactly `size` bytes."""
    random = Random(size)
    with path.open("wb") as file:
        for block in log_blocks(random):
            file.write(block[: size - file.tell()])
            if file.tell() == size:
                return


def log_blocks(random: Random, lines: int = 10_000) -> Iterator[bytes]:
    """Lines such as a web server writes, column by column because that is the fast way to draw them."""
    methods = [
        "GET /api/orders/",
        "GET /api/products/",
        "POST /api/cart/",
        "GET /api/users/",
        "PUT /api/orders/",
    ]
    agents = ["Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"]
    agents += ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/129.0", "okhttp/4.12.0"]
    visitors = [f"ip=189.{n % 256}.{n * 7 % 256}.{n * 13 % 256} user={n}" for n in range(4000)]
    statuses = [200, 200, 200, 200, 201, 304, 404, 500]
    now = 0  # in ms
    line = '%s INFO [api-%d] %s%d %d %dms %s ua="%s"\n'
    while True:
        moments = [now := now + gap for gap in random.choices(range(1, 40), k=lines)]
        yield "".join(
            line % columns
            for columns in zip(
                [f"{second(moment // 1000)}.{moment % 1000:03}Z" for moment in moments],
                random.choices(range(1, 9), k=lines),
                random.choices(methods, k=lines),
                random.choices(range(1, 20_000), k=lines),
                random.choices(statuses, k=lines),
                random.choices(range(1, 400), k=lines),
                random.choices(visitors, k=lines),
                random.choices(agents, k=lines),
                strict=True,
            )
        ).encode()


@lru_cache(maxsize=4)
def second(number: int) -> str:
    """The time so many seconds after the log begins."""
    return (TODAY + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S")


def write_files(folder: Path, count: int, folders: int) -> None:
    """One order a file, with its history."""
    random = Random(count)
    for number in range(folders):
        (folder / f"{number:02x}").mkdir()
    for number in range(count):
        order = make_record(random, "orders", number)
        order["history"] = [{"status": "paid", "at": some_moment(random)} for _ in range(3)]
        text = json.dumps(order, indent=2, ensure_ascii=False)
        (folder / f"{number % folders:02x}" / f"{order['id']}.json").write_text(text, encoding="utf-8")


def write_random(path: Path, size: int) -> None:
    """Of the system's random source."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def fetch_package(package: str, version: str, folder: Path) -> None:
    """Fetch one release and unpack it into `folder`."""
    packed = ["npm", "pack", "--silent", f"{package}@{version}"]
    name = subprocess.run(packed, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1]
    with tarfile.open(folder / name) as archive:
        for member in archive:
            member.name = member.name.partition("/")[2]  # each lies in `package/`
            archive.extract(member, folder, filter="data")
    (folder / name).unlink()


def warm(tree: Path) -> None:
    """Read all of it once, so that every program finds it in memory, and let the disk come to rest."""
    buffer = bytearray(8 * MIB)
    for folder, _, names in os.walk(tree):
        for name in names:
            with open(os.path.join(folder, name), "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
    os.sync()


def settle(tree: Path) -> None:
    """Wait until the newest change below `tree` is old enough to be trusted without reading."""
    newest = max(entry.stat().st_ctime for entry in [tree, *tree.rglob("*")])
    while (rest := newest + SETTLED_SECONDS - time.time()) > 0:
        time.sleep(rest)
