"""gzip members: the bytes that decide digests, and the inflater that trusts nothing."""

import gzip as reference
import io
import random
import struct
import subprocess
import zlib

import deflate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.formats.archive import gzip
from mpbuild.formats.archive.stream import PIECE

HEADER = bytes.fromhex("1f8b08000000000000ff")
NOISE = random.Random(1).randbytes(3 << 20)


def joined(chunks) -> bytes:
    return b"".join(chunks)


def refusal(chunks) -> InputError:
    with pytest.raises(InputError) as caught:
        joined(chunks)
    assert caught.value.findings[0].code == "layer-unsafe"
    assert caught.value.findings[0].hint
    return caught.value


def test_the_codec_gives_the_bytes_every_digest_rests_on():
    gzip.prove()
    assert gzip.CODEC == "deflate-0.9.0 level 6, fixed 1"


def test_a_codec_that_gives_other_bytes_is_reported_before_a_build(monkeypatch):
    monkeypatch.setattr(deflate, "deflate_compress", lambda data, _: zlib.compress(data)[2:-4])
    with pytest.raises(EnvironmentFailureError, match="does not produce the bytes") as caught:
        gzip.prove()
    assert "pins" in caught.value.findings[0].hint


def test_a_codec_of_another_version_is_reported_before_a_build(monkeypatch):
    monkeypatch.setattr(deflate, "__version__", "0.9.1")
    with pytest.raises(EnvironmentFailureError, match=r"deflate-0\.9\.1"):
        gzip.prove()


def test_a_member_has_these_bytes_for_ever():
    text = b"the same bytes, whoever compresses them\n" * 50
    assert Digest.of(gzip.compress(text)) == (
        "sha256:3020a1e1bfc5cee658bb5fec3b0f89743be4a2c08c1f4032d65c61eb84cb948d"
    )
    assert Digest.of_chunks(gzip.stored(text)) == (
        "sha256:f89359e753a5ce2c95caddffba5fe3276af4059dc9a12b9cbc297ef50be1c0f3"
    )
    assert gzip.compress_header(b"name" + bytes(9)) == HEADER + bytes.fromhex(
        "cb4bcc4d65800100 00a418e4 0d000000"
    )


@settings(max_examples=40)
@given(st.binary(max_size=4096))
def test_what_is_compressed_reads_back_everywhere(data):
    for member in (gzip.compress(data), joined(gzip.stored(data))):
        assert member[:10] == HEADER
        assert reference.decompress(member) == data
        assert joined(gzip.decompress([member])) == data


@pytest.mark.parametrize("size", [0, 1, 65534, 65535, 65536, 131070, 131071])
def test_stored_blocks_hold_up_to_65535_bytes_and_are_slices(size):
    data = NOISE[:size]
    chunks = list(gzip.stored(memoryview(data)))
    blocks = chunks[2:-1:2]
    assert all(isinstance(block, memoryview) and len(block) <= 65535 for block in blocks)
    assert len(blocks) == max(1, -(-size // 65535))
    assert reference.decompress(joined(chunks)) == data


def test_a_reused_stream_keeps_its_bytes(make):
    raw = make.deflated(b"some text " * 99)
    member = joined(gzip.reuse(raw, zlib.crc32(b"some text " * 99), 990))
    assert member == HEADER + raw + member[-8:]
    assert reference.decompress(member) == b"some text " * 99


def test_a_row_of_members_reads_as_one_file(tmp_path):
    blob = gzip.compress(b"one ") + joined(gzip.stored(b"two ")) + gzip.compress(b"three")
    path = tmp_path / "row.gz"
    path.write_bytes(blob)
    done = subprocess.run(["gzip", "-dc", path], capture_output=True, check=True)
    assert done.stdout == reference.decompress(blob) == b"one two three"


@settings(max_examples=40)
@given(st.binary(max_size=3000), st.integers(0, 9))
def test_inflate_gives_back_what_any_deflate_compressed(data, level):
    codec = zlib.compressobj(level, zlib.DEFLATED, -15)
    raw = codec.compress(data) + codec.flush()
    assert joined(gzip.inflate(raw, len(data), zlib.crc32(data))) == data


def test_a_large_content_comes_in_bounded_pieces(make):
    data = NOISE + bytes(5 << 20)
    pieces = list(gzip.inflate(memoryview(make.deflated(data)), len(data), zlib.crc32(data)))
    assert max(map(len, pieces)) == PIECE
    assert joined(pieces) == data


def test_bytes_after_the_stream_are_refused_even_one(make):
    raw = make.deflated(b"text" * 99)
    crc = zlib.crc32(b"text" * 99)
    for trailing in (b"\0", b"\x1f", gzip.compress(b"a smuggled member"), NOISE):
        error = refusal(gzip.inflate(raw + trailing, 396, crc))
        assert "trailing bytes after the compressed stream" in str(error)


def test_a_stream_cut_anywhere_is_refused(make):
    raw = make.deflated(b"some more text" * 9)
    for end in range(len(raw)):
        assert "truncated" in str(refusal(gzip.inflate(raw[:end], 126, 0)))


@pytest.mark.parametrize(
    ("size", "telling"), [(395, "more than the declared 395"), (397, "396 bytes")]
)
def test_a_stream_of_another_size_is_refused(make, size, telling):
    data = b"text" * 99
    assert telling in str(refusal(gzip.inflate(make.deflated(data), size, zlib.crc32(data))))


def test_a_size_that_lies_by_exactly_4_gib_is_refused(make):
    data = b"text" * 99
    stream = gzip.inflate(make.deflated(data), len(data) + (1 << 32), zlib.crc32(data))
    assert "396 bytes, not the declared" in str(refusal(stream))


def test_a_bomb_gives_no_more_than_it_announced(make):
    out = io.BytesIO()
    with pytest.raises(InputError, match="more than the declared 1000 bytes"):
        out.writelines(gzip.inflate(make.deflated(bytes(20 << 20)), 1000, 0))
    assert out.tell() <= 1000


def test_a_wrong_crc_is_refused(make):
    error = refusal(gzip.inflate(make.deflated(b"text"), 4, 1))
    assert f"{zlib.crc32(b'text'):08x}, not the declared 00000001" in str(error)


def test_a_broken_stream_is_refused():
    assert "corrupt compressed stream" in str(refusal(gzip.inflate(b"\xff\xff\xff\xff", 4, 0)))


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=600), st.data())
def test_a_mutated_stream_reads_as_announced_or_is_refused(reads_or_refuses, data, draw):
    raw = bytearray(deflate.deflate_compress(data, 6))
    raw[draw.draw(st.integers(0, len(raw) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    with reads_or_refuses("layer-unsafe"):
        assert joined(gzip.inflate(raw, len(data), zlib.crc32(data))) == data


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 50))
def test_a_file_reads_the_same_however_it_is_cut_into_chunks(parts, step):
    blob = joined(gzip.compress(part) for part in parts)
    chunks = [blob[start : start + step] for start in range(0, len(blob), step)]
    assert joined(gzip.decompress(chunks)) == joined(parts)


def test_optional_header_fields_are_read_over():
    header = bytearray(HEADER)
    header[3] = 0x02 | 0x04 | 0x08 | 0x10
    header += struct.pack("<H", 3) + b"abc" + b"name\0" + b"comment\0"
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    assert joined(gzip.decompress([bytes(header) + gzip.compress(b"text")[10:]])) == b"text"
    header[-1] ^= 1
    stream = gzip.decompress([bytes(header) + gzip.compress(b"text")[10:]])
    assert "wrong CRC in a gzip header" in str(refusal(stream))


SOUND = gzip.compress(b"text")


@pytest.mark.parametrize(
    ("blob", "telling"),
    [
        pytest.param(b"", "truncated", id="nothing"),
        pytest.param(SOUND[:-1], "truncated", id="a cut trailer"),
        pytest.param(SOUND[:9], "truncated", id="a cut header"),
        pytest.param(SOUND[:14], "truncated", id="a cut stream"),
        pytest.param(SOUND + b"\0", "truncated", id="one byte after"),
        pytest.param(SOUND + bytes(512), "not a gzip member", id="padding after"),
        pytest.param(b"\x1f\x8b\x07" + SOUND[3:], "not a gzip member", id="another method"),
        pytest.param(SOUND[:3] + b"\x20" + SOUND[4:], "not a gzip member", id="a reserved flag"),
        pytest.param(SOUND[:-8] + bytes(4) + SOUND[-4:], "CRC-32 or size", id="a wrong CRC"),
        pytest.param(SOUND[:-4] + b"\5\0\0\0", "CRC-32 or size", id="a wrong size"),
        pytest.param(
            SOUND[:3] + b"\x08" + SOUND[4:10] + b"n" * 70000,
            "is longer than 65536 bytes",
            id="a long name",
        ),
    ],
)
def test_a_broken_file_is_refused(blob, telling):
    assert telling in str(refusal(gzip.decompress([blob])))
