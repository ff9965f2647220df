

@pytest.mark.parametrize("time_ns", [0, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**21 + 7, -(10**23) - 7])
def test_a_time_of_any_size_comes_back(time_ns: int) -> None:
    entry = Entry(b"a", Kind.FILE, 0o644, 0, 0, b"", b"", time_ns)
    assert decode_block(b"", encode_block([encode_entry(entry)])) == [entry]
