"""Figures for the textfile collector of Prometheus' node exporter: one file, replaced whole, readable by all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cascli import render
from casstore import private
from casstore.errors import CasError
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure with a name, and what it stands for; one value for each set of labels."""

    name: str
    help: str
    values: tuple[tuple[Mapping[str, str], float], ...]


def text_of(gauges: Iterable[Gauge]) -> str:
    """Write them in the exposition format; a figure without values is left out."""
    lines = []
    for gauge in gauges:
        if gauge.values:
            lines += [f"# HELP {gauge.name} {gauge.help}", f"# TYPE {gauge.name} gauge"]
        for labels, value in gauge.values:
            said = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
            lines.append(f"{gauge.name}{{{said}}} {value:.15g}" if said else f"{gauge.name} {value:.15g}")
    return "".join(f"{line}\n" for line in lines)


def replace(path: Path, text: str) -> None:
    """Put the text in the file's place at once, with mode 0644 whatever the umask.

    Raises:
        CasError: it cannot be written; what was there stands.
    """
    try:
        private.publish(path, text.encode(), mode=0o644)  # the collector reads names in .prom only
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise CasError(f"{render.name(str(path))} cannot be written: {reason}") from None


def _escaped(label: str) -> str:
    return render.name(label).replace("\\", "\\\\").replace('"', '\\"')
