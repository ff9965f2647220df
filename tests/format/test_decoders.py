"""Any bytes give a value or the one documented error; what was encoded is decoded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.crypto import Argon2, Keys, Unauthentic, random_bytes
from casstore.entry import EMPTY, Entry, Kind, Root
from casstore.errors import BlobDamaged, Damaged, FormatDamaged, FormatTooNew
from casstore.format import record
from casstore.format.blob import DATA, DIFFERENCE, RAW, ZSTD, Blob, compress, compress_difference, decompress
from casstore.format.header import Header, decode_header, encode_header
from casstore.format.manifest import (
    Head,
    decode_block,
    decode_blocks,
    decode_entry,
    decode_head,
    encode_block,
    encode_entry,
    encode_head,
)
from casstore.format.pack import build_pack, open_pack, padme
from casstore.format.slot import (
    HostKey,
    Role,
    SlotHead,
    SlotKind,
    Unlocked,
    decode_host_key,
    decode_slot,
    encode_host_key,
    seal_slot,
    unseal_slot,
)
from casstore.ids import ChunkId
from casstore.selection import Selection

KEYS = Keys.of(bytes(32), bytes(16))
HEAD = SlotHead(SlotKind.PASSPHRASE, Role.ADMIN, bytes(32), bytes(32), Argon2(64, 1, 1), "of ana", 7)


def pack_of(*chunks: bytes) -> bytes:
    blobs = []
    for data in chunks:
        encoding, payload = compress(data)
        blobs.append(
            (Blob(encoding, len(payload) + 16, DATA, (ChunkId(KEYS.chunk_id(DATA, data)),), (len(data),)), payload)
        )
    return build_pack(blobs, KEYS, bytes(16))[1]


DECODERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (decode_header, encode_header(Header(bytes(16), bytes(32), 5))),
    (decode_slot, seal_slot(HEAD, bytes(32), Unlocked((bytes(32),), bytes(32)))),
    (decode_host_key, encode_host_key(HostKey(bytes(32), bytes(16), Role.ADMIN, bytes(32), (bytes(32),), bytes(32)))),
    (lambda data: open_pack(data, KEYS), pack_of(b"one" * 900, b"two")),
    (lambda data: list(decode_blocks(record.decode_sequence(iter((data,))))), encode_block([encode_entry(
        Entry(b"a", Kind.FILE, 0o644, 1, 1, b"u", b"g", -5, 3, Root(0, 3, (ChunkId(bytes(32)),))))])),
    (record.decode, record.encode({0: [1, b"x", "y"]})),
]  # fmt: skip


@pytest.mark.parametrize(("decode", "sample"), DECODERS)
def test_what_was_encoded_is_decoded(decode: Callable[[bytes], object], sample: bytes) -> None:
    decode(sample)


@pytest.mark.parametrize(("decode", "sample"), DECODERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bytes_are_decoded_or_refused(
    decode: Callable[[bytes], object], sample: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(sample) - 1))
    altered = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.just(sample[:at]),
            st.binary(min_size=1, max_size=9).map(lambda other: sample[:at] + other + sample[at + len(other) :]),
        )
    )
    with contextlib.suppress(FormatDamaged, FormatTooNew, Unauthentic):
        decode(altered)


@pytest.mark.parametrize(
    "name",
    [b"", b".", b"..", b"a/b", b"/etc/passwd", b"a\0b"],
    ids=["empty", "dot", "dots", "slash", "absolute", "NUL"],
)
def test_a_name_that_could_lead_out_of_the_tree_is_refused(name: bytes) -> None:
    with pytest.raises(FormatDamaged):
        decode_entry(b"folder", {0: name, 2: 0o644, 7: 0})
    assert decode_entry(b"folder", {0: b"fine", 2: 0o644, 7: 0}).path == b"folder/fine"


def test_names_out_of_order_or_twice_are_refused() -> None:
    def block(*names: bytes) -> bytes:
        return encode_block([encode_entry(Entry(name, Kind.FILE, 0, 0, 0, b"", b"", 0)) for name in names])

    for names in ((b"b", b"a"), (b"a", b"a")):
        with pytest.raises(FormatDamaged):
            list(decode_blocks(record.decode_sequence(iter((block(*names),)))))
    assert [entry.path for entry in decode_block(b"", block(b"a", b"b"))] == [b"a", b"b"]


@pytest.mark.parametrize(
    "fields",
    [
        {1: 6}, {1: -1}, {2: 0o10000}, {3: -1}, {4: -1}, {12: -1}, {13: b"short"}, {11: b"target"}, {1: 2}, {2: True},
        {9: []}, {10: 5}, {9: [[0, 1]], 10: 5}, {9: 5, 10: 5}, {14: [[b"name"]]}, {8: [0, 1, b""]},
        {8: [True, 1, bytes(32)]}, {8: [9, 1, bytes(32)]}, {8: [0, 99, bytes(129 * 32)]}, {8: [1, 99, bytes(129 * 32)]},
        {1: 1, 8: [0, 1, bytes(32)]},
    ],
)  # fmt: skip
def test_an_entry_with_impossible_fields_is_refused(fields: dict[int, object]) -> None:
    with pytest.raises(FormatDamaged):
        decode_entry(b"", dict(sorted(({0: b"name", 2: 0o644, 7: 0} | fields).items())))


def test_a_shape_that_passed_once_lets_no_other_pass() -> None:
    """`True` equals 1, as a key and as a value; what an entry lacks is told at the second time too."""
    decode_entry(b"", {0: b"name", 1: 1, 2: 0o755, 7: 0})
    for _ in range(2):
        for value in ({0: b"name", True: 1, 2: 0o755, 7: 0}, {0: b"name", 1: True, 2: 0o755, 7: 0}, {0: b"name", 2: 0}):
            with pytest.raises(FormatDamaged):
                decode_entry(b"", value)
        with pytest.raises(FormatTooNew):
            decode_entry(b"", {0: b"name", 2: 0o644, 7: 0, 63: 0})
        assert decode_entry(b"", {0: b"name", 2: 0o644, 7: 0, 64: [0]}).mode == 0o644


def test_a_block_of_more_than_a_million_entries_is_refused_before_they_are_read() -> None:
    values = iter((1_000_001, {0: b"name", 2: 0o644, 7: 0}))
    with pytest.raises(FormatDamaged, match="1000001 entries"):
        list(decode_blocks(values))
    assert next(values) == {0: b"name", 2: 0o644, 7: 0}


def test_a_record_in_a_stream_is_held_to_the_limits_of_one_alone() -> None:
    deep: list[object] = []
    for _ in range(17):
        deep = [deep]
    for value in (deep, [1.5], {0: {64: 1.5}}):
        with pytest.raises(FormatDamaged):
            list(record.decode_sequence(iter((record.encode(value),))))
    assert list(record.decode_sequence(iter((record.encode(deep[0][0]),)))) == [deep[0][0]]  # type: ignore[index]


@pytest.mark.parametrize("selection", [{0: b"paths"}, {2: [1]}, {7: 1}, {63: 1}])
def test_a_head_with_a_selection_that_is_none_is_refused(selection: dict[int, object]) -> None:
    with pytest.raises((FormatDamaged, FormatTooNew)):
        decode_head({0: selection})
    assert decode_head({0: {0: [b"data"], 64: 1}}).selection[0] == [b"data"]


@pytest.mark.parametrize(
    "beside",
    [
        {2: [["A", bytes(15)]]}, {2: [[b"A", bytes(16)]]}, {2: [["", bytes(16)]]}, {2: [["A"]]}, {2: ["A"]},
        {2: [["B", bytes(16)], ["A", bytes(16)]]}, {2: [["A", bytes(16)], ["A", bytes(16)]]}, {2: {}}, {3: []},
        {3: [0, 1, b""]}, {3: b"sidecar"},
    ],
)  # fmt: skip
def test_a_head_with_something_impossible_beside_the_tree_is_refused(beside: dict[int, object]) -> None:
    with pytest.raises(FormatDamaged):
        decode_head({0: {}} | beside)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.binary(min_size=16, max_size=16)),
    st.none() | st.just(EMPTY) | st.builds(lambda i: Root(0, 5, (ChunkId(i),)), st.binary(min_size=32, max_size=32)),
)
def test_what_stands_beside_the_tree_comes_back_from_its_head(beside: dict[str, bytes], sidecar: Root | None) -> None:
    pairs = tuple(sorted(beside.items(), key=lambda pair: pair[0].encode()))
    head = Head({}, EMPTY, pairs, sidecar)
    assert decode_head(record.decode(encode_head(head))) == head


@pytest.mark.parametrize("data", [b"\xcc\x01", b"\xc1", b"\xcb" + bytes(8), b"\x91" * 40 + b"\x90", b"\x01\x01", b""])
def test_records_that_are_not_canonical_are_refused(data: bytes) -> None:
    with pytest.raises(FormatDamaged):
        record.decode(data)


def test_a_frame_that_states_another_length_is_never_decompressed() -> None:
    _, payload = compress(bytes(1 << 20))
    blob = Blob(ZSTD, len(payload) + 16, DATA, (ChunkId(bytes(32)),), (1000,))
    with pytest.raises(BlobDamaged):
        decompress(blob, payload)
    assert len(decompress(Blob(ZSTD, 0, DATA, (ChunkId(bytes(32)),), (1 << 20,)), payload)) == 1 << 20


@given(st.binary(min_size=1, max_size=5000), st.binary(min_size=1, max_size=5000))
def test_a_difference_gives_the_chunk_back_with_its_base_only(text: bytes, base: bytes) -> None:
    payload = compress_difference(text, base)
    blob = Blob(DIFFERENCE, len(payload) + 16, DATA, (ChunkId(bytes(32)),), (len(text),), ChunkId(bytes(32)), 1)
    assert decompress(blob, payload, base) == text


def test_what_does_not_compress_is_stored_raw() -> None:
    data = random_bytes(5000)
    assert compress(data) == (RAW, data)


@given(st.integers(1, 1 << 40))
def test_padding_is_at_most_an_eighth(length: int) -> None:
    assert length <= padme(length) <= length * 1.13 + 1


def test_a_slot_opens_with_its_secret_only() -> None:
    slot = decode_slot(seal_slot(HEAD, b"s" * 32, Unlocked((b"r" * 32,), b"a" * 32)))
    assert unseal_slot(slot, b"s" * 32).root_secrets == (b"r" * 32,)
    with pytest.raises(Damaged):
        unseal_slot(slot, b"t" * 32)


def test_a_slot_that_asks_for_terabytes_is_refused_before_it_runs() -> None:
    for cost in (Argon2(1 << 40, 3, 4), Argon2(64, 1 << 20, 1), Argon2(64, 1, 1000)):
        stored = record.decode(seal_slot(HEAD, bytes(32), Unlocked((bytes(32),), bytes(32))))
        stored[4] = [cost.memory_kib, cost.passes, cost.lanes]
        with pytest.raises(FormatDamaged):
            decode_slot(record.encode(stored))


def test_two_packs_of_the_same_content_share_no_key() -> None:
    assert pack_of(b"same")[46:110] != pack_of(b"same")[46:110]


@pytest.mark.parametrize("fields", [{0: 5}, {0: [1 << 33]}, {1: ["text"]}, {4: b"glob"}, {5: [[b"glob"]]}])
def test_a_selection_of_other_types_is_refused_and_allocates_nothing(fields: dict[int, object]) -> None:
    with pytest.raises(FormatDamaged):
        Selection.decode(fields)
    assert Selection.decode(Selection((b"a",), one_file_system=True).encode()) == Selection(
        (b"a",), one_file_system=True
    )


@pytest.mark.parametrize("time_ns", [0, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**21 + 7, -(10**23) - 7])
def test_a_time_of_any_size_comes_back(time_ns: int) -> None:
    entry = Entry(b"a", Kind.FILE, 0o644, 0, 0, b"", b"", time_ns)
    assert decode_block(b"", encode_block([encode_entry(entry)])) == [entry]


def test_an_entry_comes_back_with_the_time_of_its_proof_if_it_is_a_file() -> None:
    entry = Entry(b"a", Kind.FILE, 0o644, 0, 0, b"", b"", 5, proven_ns=7)
    assert decode_block(b"", encode_block([encode_entry(entry)])) == [entry]
    for wrong in (entry._replace(proven_ns=-1), entry._replace(kind=Kind.FOLDER)):
        with pytest.raises(FormatDamaged):
            decode_block(b"", encode_block([encode_entry(wrong)]))
