"""A plot as SVG: one line a program over the number of the snapshot, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 60, 100, 40, 40
COLOURS = {"cas": "#c0392b", "restic": "#2471a3", "borg": "#1e8449"}
OTHERS = ["#7d3c98", "#b9770e", "#566573"]
STEPS = (1, 2, 5)


def plot(title: str, lines: Mapping[str, Sequence[float]]) -> str:
    """Draw the lines; each begins with the first snapshot and may end before the others. Values are above 0."""
    values = [value for line in lines.values() for value in line]
    count = max((len(line) for line in lines.values()), default=1)
    marks = ticks(min(values, default=1), max(values, default=1))
    low, high = log10(marks[0]), log10(marks[-1])

    def across(number: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * number / max(1, count - 1)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (log10(value) - low) / (high - low)

    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    parts = [f'{head} font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    parts.append(f'<text x="{LEFT}" y="{TOP - 18}" font-size="15">{escape(title)}</text>')
    for mark in marks:
        parts.append(f'<path d="M{LEFT} {up(mark):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{up(mark) + 4:.1f}" text-anchor="end">{mark:g}</text>')
    for number in sorted({round((count - 1) * part / 4) for part in range(5)}):
        parts.append(f'<text x="{across(number):.1f}" y="{HEIGHT - 18}" text-anchor="middle">{number:,}</text>')
    others = iter(OTHERS)
    ends: list[float] = []
    for name, line in lines.items():
        if not line:
            continue
        colour = COLOURS.get(name) or next(others, "black")
        points = " ".join(f"{across(number):.1f},{up(value):.1f}" for number, value in enumerate(line))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        height = up(line[-1]) + 4
        while any(abs(height - end) < 13 for end in ends):  # names do not cover each other
            height += 1
        ends.append(height)
        parts.append(
            f'<text x="{across(len(line) - 1) + 6:.1f}" y="{height:.1f}" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def ticks(least: float, most: float) -> list[float]:
    """Round numbers from below the least to above the most, at least two."""
    exponents = range(floor(log10(least)), ceil(log10(most)) + 2)
    marks = [float(f"{step}e{exponent}") for exponent in exponents for step in STEPS]
    first = max(number for number, mark in enumerate(marks) if mark <= least)
    last = min(number for number, mark in enumerate(marks) if mark >= most and number > first)
    return marks[first : last + 1]
