"""Fixed codes written by hand: what any inflater reads back, and always the same bytes."""

import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mpbuild.formats.archive import fixed_deflate, tar

# RFC 1951, section 3.2.5: the lengths of each symbol from 257 on, by their extra bits.
EXTRA_BITS = [0] * 8 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4
STARTS = [3 + sum(1 << bits for bits in EXTRA_BITS[:index]) for index in range(28)]
LENGTHS = [*zip(range(257, 285), EXTRA_BITS, STARTS, strict=True), (285, 0, 258)]
SHORT = st.lists(
    st.builds(bytes, st.integers(0, 900))
    | st.binary(max_size=40).map(lambda b: bytes(x & 127 for x in b)),
    max_size=6,
).map(b"".join)


def symbol_bits(symbol):
    """Section 3.2.6; symbols over ASCII's have no literals here."""
    if symbol < 144:
        return f"{0x30 + symbol:08b}"
    return f"{symbol - 256:07b}" if symbol < 280 else f"{0xC0 + symbol - 280:08b}"


def copied(length):
    symbol, extra, start = max(entry for entry in LENGTHS if entry[2] <= length)
    low = "".join(str(length - start >> bit & 1) for bit in range(extra))
    return symbol_bits(symbol) + low + "00000"


def documented(data):
    """The form in words of the module, bit by bit."""
    bits, at = "110", 0
    while at < len(data):
        run = len(data) - at - len(data[at:].lstrip(b"\0"))
        bits += symbol_bits(data[at])
        at += 1
        left = run - 1 if run >= 4 else 0
        while left >= 3:
            bits += copied(min(left, 258))
            at += min(left, 258)
            left -= min(left, 258)
        bits += left * symbol_bits(0)
        at += left
    bits += symbol_bits(256)
    return int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")


@given(SHORT)
@example(b"")
@example(b"x" + bytes(355))
@example(bytes(4) + b"x" * 356)
@example(bytes(2048))
def test_what_is_coded_reads_back_and_has_one_form(data):
    raw = fixed_deflate.encode(data)
    inflater = zlib.decompressobj(-15)
    assert inflater.decompress(raw) == data
    assert (inflater.eof, inflater.unused_data) == (True, b"")
    assert raw == documented(data)


@pytest.mark.parametrize("count", range(520))
def test_every_run_of_zeros_reads_back(count):
    data = b"a" + bytes(count) + b"b"
    assert zlib.decompress(fixed_deflate.encode(data), -15) == data
    assert fixed_deflate.encode(data) == documented(data)


def test_a_tar_header_is_a_third_of_its_size():
    header = tar.header(
        tar.TarEntry("opt/venv/lib/python3.11/site-packages/x.py", "file", 0o644, 99)
    )
    assert len(fixed_deflate.encode(bytes(300) + header)) < len(header) / 3
