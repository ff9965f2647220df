"""Chunks in and out: deduplication, the choice of a base, and reading back live here only.

`writing` decides what becomes of each chunk, by what `previous` says stood in its place; `runs` gathers whole ones,
`payloads` compresses, `packing` seals, proves and writes. `lists` knows the ids above a stream, `reading` gives chunks
back.
"""

from casstore.chunkstore.reading import Reader
from casstore.chunkstore.writing import Writer

__all__ = ["Reader", "Writer"]
