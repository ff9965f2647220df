"""Install programs to compare with, into `.bench/peers`: `python install_peers.py [rustic] [bupstash] [kopia]`.

Without names: restic and borg of Debian (as root; else what to type is printed) and the newest borg of PyPI. Those that
are named are built from their sources, which takes many minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from peers import ROOT, installed

PEERS = ROOT / ".bench" / "peers"
PROGRAMS = ["restic", "borgbackup"]
NEEDED_TO_BUILD = {
    "borg": "gcc libacl1-dev libssl-dev liblz4-dev libzstd-dev libxxhash-dev pkg-config python3-dev",
    "bupstash": "gcc libsodium-dev pkg-config",
    "rustic": "gcc",
    "kopia": "",
}


def main() -> int:
    """1 if something could not be installed; the rest is there."""
    PEERS.mkdir(parents=True, exist_ok=True)
    asked = sys.argv[1:]
    if unknown := set(asked) - {"rustic", "bupstash", "kopia"}:
        print(f"not known: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    packages = sorted({*PROGRAMS, *" ".join(NEEDED_TO_BUILD[name] for name in ["borg", *asked]).split()})
    results = [debian(packages), borg(), *(build(name) for name in asked)]
    print("installed: " + ", ".join(f"{peer.name} ({peer.path})" for peer in installed()))
    return 0 if all(results) else 1


def debian(packages: list[str]) -> bool:
    """By apt-get, which only root may do."""
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print(f"not root: to install the rest, type `sudo {' '.join(command)}`", file=sys.stderr)
        return all(shutil.which(name) for name in ("restic", "borg"))
    return attempt(command, {"DEBIAN_FRONTEND": "noninteractive"})


def borg() -> bool:
    """In an environment of its own, since it asks for other versions of what cas uses."""
    folder = PEERS / "borg"
    made = (folder / "bin" / "python").exists() or attempt([sys.executable, "-m", "venv", str(folder)])
    return made and attempt([str(folder / "bin" / "pip"), "install", "--quiet", "--upgrade", "borgbackup"])


def build(name: str) -> bool:
    """From source, with the toolchain that the machine has."""
    if name == "kopia":
        return attempt(["go", "install", "github.com/kopia/kopia@latest"], {"GOBIN": str(PEERS / "bin")})
    crate = "rustic-rs" if name == "rustic" else name
    return attempt(["cargo", "install", "--locked", crate, "--root", str(PEERS)])


def attempt(command: list[str], variables: dict[str, str] | None = None) -> bool:
    """Run, and say what failed."""
    print(" ".join(command), flush=True)
    if not shutil.which(command[0]) and not Path(command[0]).exists():
        print(f"{command[0]} is not installed", file=sys.stderr)
        return False
    return subprocess.run(command, env=os.environ | (variables or {})).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
