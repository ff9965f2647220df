"""Two folders on one disk die together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casstore.recovery import disks
from casstore.recovery.disks import data_beside, disks_of, share_a_disk

MEMORY = Path("/dev/shm")


def test_two_folders_of_one_file_system_share_a_disk(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert share_a_disk(tmp_path / "a", tmp_path / "b")


@pytest.mark.skipif(not MEMORY.is_dir(), reason="there is no file system in memory")
def test_a_disk_and_memory_are_two(tmp_path: Path) -> None:
    if tmp_path.stat().st_dev == MEMORY.stat().st_dev:
        pytest.skip("temporary files lie in memory")
    assert not share_a_disk(tmp_path, MEMORY)


@pytest.mark.skipif(not MEMORY.is_dir(), reason="there is no file system in memory")
def test_where_the_data_lie_counts_and_not_where_the_plan_does(tmp_path: Path) -> None:
    if tmp_path.stat().st_dev == MEMORY.stat().st_dev:
        pytest.skip("temporary files lie in memory")
    (tmp_path / "data").symlink_to(MEMORY)
    assert data_beside(tmp_path, ["data/*.json", "gone/x"], MEMORY)
    assert data_beside(tmp_path, ["data/*.json", "gone/x"], tmp_path)  # of what is not there, what is above
    assert not data_beside(tmp_path, ["data/*.json"], tmp_path)
    assert not data_beside(tmp_path, ["*.json"], MEMORY)


def test_a_partition_is_told_by_the_name_of_its_disk() -> None:
    parts = [node for node in Path("/sys/dev/block").glob("*") if (node / "partition").exists()]
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    devices = {fields[2]: fields[4] for fields in mounts}
    here = [node for node in parts if node.name in devices]
    if not here:
        pytest.skip("no partition is mounted here")
    for node in here:
        assert disks_of(Path(devices[node.name])) == {os.path.basename(os.path.dirname(os.path.realpath(node)))}


def test_what_is_not_there_has_no_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disks_of(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("zfs tank/data", "zfs tank/backups", True),
        ("zfs tank/data", "zfs other/backups", False),
        ("nfs4 nas:/data", "nfs nas:/backups", True),
        ("nfs4 [fe80::1]:/data", "nfs4 nas:/data", False),
        ("cifs //nas/data", "cifs //nas/backups", True),
        ("btrfs /dev/not-in-this-container", "btrfs /dev/not-in-this-container", True),
    ],
)
def test_file_systems_whose_device_is_none_are_told_by_their_pool_or_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str, shared: bool
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "20 1 0:20 / / rw - ext4 /dev/root rw\n"
        f"21 20 0:21 / {tmp_path}/a rw shared:1 - {one} rw\n22 20 0:22 / {tmp_path}/b rw - {other} rw\n"
    )
    monkeypatch.setattr(disks, "_MOUNTS", mounts)
    monkeypatch.setattr(disks, "_BLOCK", tmp_path / "none")
    assert share_a_disk(tmp_path / "a", tmp_path / "b") is shared
