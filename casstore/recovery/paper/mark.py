"""The last line of a written page: when, by what, and the digest of all above it. Pure.

By that a file is known that nobody changed since, which may be written anew; and what it says can be compared without
the day of its writing.
"""

from __future__ import annotations

import hashlib
import re

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def mark_markdown(body: str, words: str) -> str:
    """Close a page with a line that begins with `words`."""
    return f"{body}\n_{words} · sha256:{_digest(body)}_\n"


def mark_html(body: str, words: str) -> str:
    """Close a page whose body was left open."""
    return f"{body}<footer>{words} · sha256:{_digest(body)}</footer></body></html>\n"


def is_own(text: str) -> bool:
    """Whether a file was written here, and nobody changed it since."""
    body, digest = marked(text)
    return digest == _digest(body)


def marked(text: str) -> tuple[str, str]:
    """Split a file into what stands above its last line, and the digest in that; without one all is body, and "" it."""
    head, _, last = text.rstrip("\n").rpartition("\n")
    match = _DIGEST.search(last)
    if match is None:
        return text, ""
    return (head if last.startswith("_") else f"{head}\n"), match[1]


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
