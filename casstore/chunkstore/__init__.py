"""Chunks in and out: deduplication, the choice of a base, and reading back live here only."""

from casstore.chunkstore.reading import Reader
from casstore.chunkstore.writing import Writer

__all__ = ["Reader", "Writer"]
