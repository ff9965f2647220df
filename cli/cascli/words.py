"""Recovery words: shown once, and two of them asked back, so that they are on paper before anybody relies on them."""

from __future__ import annotations

import random

import click

from cascli import render

ASKED = 2
COLUMNS = 4


def show_and_check(words: str) -> None:
    """Show the words on the terminal and ask for two of them until both are right."""
    every = words.split()
    render.err("\nRecovery words. They open the repository when all else is lost: write them down, on paper.\n")
    rows = [every[at : at + COLUMNS] for at in range(0, len(every), COLUMNS)]
    for number, row in enumerate(rows):
        numbered = (f"{number * COLUMNS + column + 1:>4} {word:<10}" for column, word in enumerate(row))
        render.err("".join(numbered).rstrip())
    render.err("\nThey are not shown again. So that they are surely on paper:")
    for at in sorted(random.sample(range(len(every)), ASKED)):
        while str(click.prompt(f"Word number {at + 1}", err=True)).strip().lower() != every[at]:
            render.err("That is another word; look at the paper once more (Ctrl-C stops, and nothing is made).")
