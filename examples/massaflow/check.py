"""Whether the data hang together, from the files in the current folder. Each problem on a line; 1 if there is any."""

from __future__ import annotations

import sys
from pathlib import Path

from app import App
from records import Record

BONDS = [
    ("orders", "user", "users"),
    ("payments", "order", "orders"),
    ("deliveries", "order", "orders"),
    ("subscriptions", "user", "users"),
    ("subscriptions", "plan", "plans"),
    ("tickets", "user", "users"),
]


def find_problems(app: App) -> list[str]:
    """Each a sentence."""
    names = list(dict.fromkeys(name for from_, _, to in BONDS for name in (from_, to)))
    tables = {name: app.tables[name].records if name in app.tables else [] for name in names}
    problems = [f"{name}: cannot be read" for name in names if name not in app.tables]
    problems += [problem for name, table in tables.items() for problem in find_gaps(name, table)]
    for from_, field, to in BONDS:
        known = {record["number"] for record in tables[to]}
        if lost := sum(record[field] not in known for record in tables[from_]):
            problems.append(f"{from_}: {lost} without their {field}")
    return problems + ["vault: does not open"] * bool(app.vault_problems(app.env()))


def find_gaps(name: str, table: list[Record]) -> list[str]:
    """Numbers are given once, from 1 on: the last one is the count."""
    count = max((record["number"] for record in table), default=0)
    problems = [f"{name}: {len(table)} records, not {count}"] if len(table) != count else []
    twice = len({record["id"] for record in table}) != len(table)
    return problems + [f"{name}: an id stands twice"] * twice


if __name__ == "__main__":
    found = find_problems(App(Path()))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
