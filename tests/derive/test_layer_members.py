"""A layer's blob as gzip members: the documented form, which decides digests."""

import gzip as python_gzip
import io
import shutil
import subprocess
import tarfile
import zlib

import deflate
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.derive.layers import layer
from mpbuild.derive.layers.layer import (
    MEMBER,
    CompressibleContent,
    DeflateContent,
    LayerNode,
    StoredContent,
)
from mpbuild.formats.archive import fixed_deflate, tar

HEADER = bytes.fromhex("1f8b08000000000000ff")


class Nobody:
    """A visitor that ignores everything."""

    def begin(self, node):
        pass

    def write(self, data):
        pass


def deflated(data):
    codec = zlib.compressobj(6, zlib.DEFLATED, -15)
    return codec.compress(data) + codec.flush()


def node(path, kind, data):
    content = {
        "loose": lambda: CompressibleContent(data),
        "plain": lambda: StoredContent(data),
        "reused": lambda: DeflateContent(deflated(data), len(data), zlib.crc32(data)),
    }[kind]()
    return LayerNode(tar.TarEntry(path=path, kind="file", mode=0o644, size=len(data)), content)


def member(data):
    """A loose member: in fixed codes, or by the pinned compressor."""
    trailer = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    if len(data) <= 2048 and max(data) < 128:
        return HEADER + fixed_deflate.encode(data) + trailer
    return HEADER + deflate.deflate_compress(data, 6) + trailer


def stored_member(data):
    blocks = [data[i : i + 0xFFFF] for i in range(0, len(data), 0xFFFF)] or [b""]
    body = b"".join(
        bytes([i == len(blocks) - 1])
        + len(block).to_bytes(2, "little")
        + (len(block) ^ 0xFFFF).to_bytes(2, "little")
        + block
        for i, block in enumerate(blocks)
    )
    trailer = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return HEADER + body + trailer


def documented(nodes):
    """A second implementation of member format 1, from rows of bytes and their forms."""
    row, loose = [], b""
    for each in nodes:
        loose += tar.header(each.entry)
        if isinstance(each.content, CompressibleContent):
            loose += each.content.data
        elif each.content is not None:
            row.append(loose)
            loose = b""
            row.append(each.content)
        loose += tar.padding(each.entry.size)
    row.append(loose + tar.END)
    blob = b""
    for part in row:
        if isinstance(part, bytes):
            blob += b"".join(member(part[i : i + MEMBER]) for i in range(0, len(part), MEMBER))
        elif isinstance(part, StoredContent):
            blob += stored_member(bytes(part.data))
        else:
            blob += HEADER + part.raw + part.crc.to_bytes(4, "little")
            blob += part.size.to_bytes(4, "little")
    return blob


def whole(nodes):
    return b"".join(layer.blob(nodes))


KINDS = st.sampled_from(["loose", "plain", "reused"])
SIZES = st.integers(0, 3000) | st.sampled_from([0, 511, 512, 513, 0xFFFF, 0x10000])
FILES = st.lists(st.tuples(KINDS, SIZES), max_size=8)


@settings(max_examples=60)
@given(FILES)
def test_a_blob_has_the_members_of_its_format(files):
    nodes = [node(f"f{i}", kind, bytes([i]) * size) for i, (kind, size) in enumerate(files)]
    assert whole(nodes) == documented(nodes)


@pytest.mark.parametrize("excess", [-1, 0, 1])
@pytest.mark.parametrize("kinds", [["loose"], ["loose", "loose"], ["plain"], ["reused", "loose"]])
def test_a_member_is_begun_for_every_4_mib(kinds, excess):
    """Headers, padding and end count as loose: here the loose run has 4 MiB, one less, one more."""
    overhead = 512 + len(tar.END)
    sizes = [MEMBER - overhead + excess, MEMBER + excess]
    nodes = [node(f"f{i}", kind, bytes(sizes[i])) for i, kind in enumerate(kinds)]
    assert whole(nodes) == documented(nodes)


@pytest.mark.parametrize(("size", "members"), [(MEMBER, 1), (MEMBER + 512, 2), (3 * MEMBER, 3)])
def test_a_run_of_exactly_4_mib_has_no_empty_member_behind_it(size, members):
    data = bytes(size - 512 - len(tar.END))
    assert whole([node("f", "loose", data)]).count(HEADER) == members


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(FILES)
def test_a_blob_inflates_to_exactly_the_plain_tar(files):
    nodes = [node(f"f{i}", kind, bytes([i]) * size) for i, (kind, size) in enumerate(files)]
    plain = b"".join(layer.plain(nodes, Nobody()))
    assert python_gzip.decompress(whole(nodes)) == plain
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        found = [(m.name, archive.extractfile(m).read()) for m in archive]
    assert found == [(f"f{i}", bytes([i]) * size) for i, (_, size) in enumerate(files)]


@pytest.mark.parametrize("size", [0, 511, 512, 513])
@pytest.mark.parametrize("name", ["f", "ü", "long/" * 40 + "f", "folder/" * 14 + "f"])
def test_a_short_member_is_in_fixed_codes_only_where_it_is_ascii(name, size):
    nodes = [node(f"{name}{i}", "reused", bytes([65 + i]) * size) for i in range(3)]
    assert whole(nodes) == documented(nodes)


@pytest.mark.parametrize("tool", ["gzip", "pigz"])
def test_other_tools_read_headers_in_fixed_codes(tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    nodes = [node(f"{i}" * (i + 1), "reused", bytes(i)) for i in range(60)]
    done = subprocess.run([tool, "-dc"], input=whole(nodes), capture_output=True, check=True)
    assert done.stdout == b"".join(layer.plain(nodes, Nobody()))


@pytest.mark.skipif(not shutil.which("gzip"), reason="there is no gzip")
def test_gnu_gzip_inflates_a_blob_to_the_same():
    sizes = [("loose", MEMBER), ("plain", 70_000), ("reused", 0), ("reused", 5000), ("plain", 0)]
    nodes = [node(f"f{i}", kind, bytes([i]) * size) for i, (kind, size) in enumerate(sizes)]
    done = subprocess.run(["gzip", "-dc"], input=whole(nodes), capture_output=True, check=True)
    assert done.stdout == b"".join(layer.plain(nodes, Nobody()))
    assert done.stderr == b""


def test_establishing_a_layer_hashes_both_streams():
    nodes = [node("a", "loose", b"x"), node("b", "reused", b"y" * 99)]
    made = layer.establish(nodes, Nobody())
    plain = b"".join(layer.plain(nodes, Nobody()))
    assert made == layer.Layer(Digest.of(whole(nodes)), len(whole(nodes)), Digest.of(plain))


def test_a_visitor_sees_each_node_and_then_its_content():
    seen = []

    class Everything:
        def begin(self, node):
            seen.append((node.entry.path, b""))

        def write(self, data):
            path, before = seen.pop()
            seen.append((path, before + bytes(data)))

    link = LayerNode(tar.TarEntry(path="l", kind="symlink", mode=0o777, target="a"))
    nodes = [node("a", "reused", b"x" * 9000), link, node("z", "plain", b"")]
    layer.establish(nodes, Everything())
    assert seen == [("a", b"x" * 9000), ("l", b""), ("z", b"")]
