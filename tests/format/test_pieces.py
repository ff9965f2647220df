"""A manifest read piece by piece holds what it holds read at once, and is refused when that is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.entry import EMPTY, Entry, Kind, Root
from casstore.errors import CasError, FormatDamaged
from casstore.format import record
from casstore.format.manifest import (
    Head,
    Span,
    Stand,
    cut_pieces,
    decode_blocks,
    decode_head,
    decode_piece,
    encode_entry,
    encode_head,
)
from casstore.ids import ChunkId

HEAD = encode_head(Head({}, EMPTY))


def entry(name: bytes, kind: Kind = Kind.FILE) -> bytes:
    content = Root(0, 3, (ChunkId(bytes([name[-1] & 15]) * 32),)) if kind is Kind.FILE else EMPTY
    return encode_entry(Entry(name, kind, 0o644, 1, 1, b"u", b"g", -5, content.length, content))


def block(names: dict[bytes, bool]) -> list[bytes]:
    """The records of a folder; True: the name is a folder's."""
    kinds = {name: Kind.FOLDER if folder else Kind.FILE for name, folder in names.items()}
    return [record.encode(len(names)), *(entry(name, kinds[name]) for name in sorted(names))]


names = st.dictionaries(st.sampled_from([b"a", b"b", b"c", b"dd", b"e", b"f" * 40]), st.booleans())


@st.composite
def manifests(draw: st.DrawFn) -> list[bytes]:
    """The records of a manifest that is whole."""
    records, waiting = [HEAD], 1
    while waiting:
        found = draw(names) if len(records) < 40 else {}
        records += block(found)
        waiting += sum(found.values()) - 1
    return records


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """The bytes of a manifest of which records were lost, doubled, exchanged, or bytes were."""
    records = draw(manifests())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(records) - 1))
        other = draw(st.sampled_from([*records, record.encode(1), record.encode(True), record.encode(-1), b"\xc1"]))
        records[at : at + draw(st.integers(0, 1))] = [other] * draw(st.integers(0, 2))
        records = records or [HEAD]
    data = b"".join(records)
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 3)) == 0 else data


def at_once(data: bytes) -> list[bytes] | None:
    """The names of a manifest, None if it is refused."""
    try:
        values = record.decode_sequence(iter((data,)))
        decode_head(next(values, None))
        return [entry.name for _, entries in decode_blocks(values) for entry in entries]
    except CasError:
        return None


def by_pieces(pieces: list[bytes]) -> list[bytes] | None:
    found: list[bytes] = []
    whole = Span(Stand())
    try:
        for piece in pieces:
            _, entries, span = decode_piece(whole.stand, piece)
            found += [entry.path for entry in entries]
            whole = whole.then(span)
        whole.check_whole()
    except CasError:
        return None
    return found


def in_any_order(spans: list[Span], middle: int) -> Span:
    """Put spans together from the middle outwards, as the parts of a changed chunk are."""
    left, right = Span(Stand()), Span(spans[middle - 1].stand if middle else Stand())
    for span in spans[:middle]:
        left = left.then(span)
    for span in spans[middle:]:
        right = right.then(span)
    return left.then(right)


@given(broken(), st.lists(st.integers(0, 2000), max_size=8))
@settings(max_examples=300, deadline=None)
def test_cut_anywhere_it_gives_the_same_or_is_refused_too(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    assert by_pieces([data[start:end] for start, end in pairwise(edges)]) == at_once(data)
    assert by_pieces(cut_pieces(data)) == at_once(data)


@given(manifests(), st.integers(1, 200), st.integers(0, 20))
@settings(deadline=None)
def test_spans_may_be_put_together_in_any_order(records: list[bytes], length: int, middle: int) -> None:
    data = b"".join(records)
    spans: list[Span] = []
    for at in range(0, len(data), length):
        stand = spans[-1].stand if spans else Stand()
        spans.append(decode_piece(stand, data[at : at + length])[2])
    whole = in_any_order(spans, min(middle, len(spans)))
    assert whole == in_any_order(spans, len(spans))
    whole.check_whole()


def test_control_the_counts_are_refused_only_by_the_whole() -> None:
    short = [HEAD, record.encode(2), entry(b"a")]
    span = decode_piece(Stand(), b"".join(short))[2]
    with pytest.raises(FormatDamaged, match="ends within"):
        Span(Stand()).then(span).check_whole()


@given(st.binary(max_size=2000))
def test_pieces_joined_are_what_was_cut(data: bytes) -> None:
    assert b"".join(cut_pieces(data)) == data


def test_one_changed_entry_changes_few_pieces() -> None:
    ids = [ChunkId(bytes([n * 37 % 256]) * 32) for n in range(2000)]
    entries = [
        encode_entry(Entry(b"%05d" % n, Kind.FILE, 0o644, 1, 1, b"", b"", 0, 3, Root(0, 3, (ids[n],))))
        for n in range(2000)
    ]
    before = cut_pieces(b"".join(entries))
    entries[1000] = entry(b"01000 and more")
    assert len(before) > 40
    assert len(set(cut_pieces(b"".join(entries))) - set(before)) <= 2
