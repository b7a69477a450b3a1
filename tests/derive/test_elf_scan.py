"""ELF files are read while they pass: a scan holds little of a large file, and enough."""

import tracemalloc

import pytest

from mpbuild.derive.elf_needs import ElfFile
from mpbuild.derive.elf_scan import ElfScan
from mpbuild.derive.layers.layer import CompressibleContent, LayerNode
from mpbuild.formats.archive import tar

MIB = 1 << 20
PIECE = MIB // 4
EXPECTED = ElfFile(needed=("libz.so.1",), versions_needed={"libz.so.1": ("Z_1",)}, soname="a.so")


def begin(scan, size, content):
    entry = tar.TarEntry(path="a.so", kind="file", mode=0o644, size=size)
    scan.begin(LayerNode(entry, CompressibleContent(content)))


def found(data, content):
    """The result of scanning ``data`` once; inflating the file again would yield ``content``."""
    scan = ElfScan()
    begin(scan, len(data), content)
    for at in range(0, len(data), PIECE):
        scan.write(data[at : at + PIECE])
    return scan.needs().files.get("a.so")


@pytest.mark.parametrize(
    ("gap", "after"),
    [
        pytest.param(0, 0, id="a small file"),
        pytest.param(0, 40 * MIB, id="tables at the start"),
        pytest.param(40 * MIB, 0, id="tables at the end, where patchers put them"),
        pytest.param(20 * MIB, 20 * MIB, id="tables beside the dynamic section"),
    ],
)
def test_a_file_is_read_while_it_passes_and_not_again(make, gap, after):
    data = make.elf(
        needed=["libz.so.1"], soname="a.so", needs={"libz.so.1": ["Z_1"]}, gap=gap, after=after
    )
    assert found(data, b"gone") == EXPECTED


def test_a_file_with_its_tables_elsewhere_is_read_again(make):
    names = [f"lib{number}.so" for number in range(40_000)]  # more strings than one piece
    data = make.elf(needed=names, soname="a.so", gap=20 * MIB, after=20 * MIB)
    assert found(data, data) == ElfFile(needed=tuple(names), soname="a.so")


def test_what_is_held_of_a_file_is_bounded(make):
    head = make.elf(needed=["libz.so.1"], after=MIB)
    scan = ElfScan()
    begin(scan, 400 * MIB, b"")
    tracemalloc.start()
    try:
        scan.write(head)
        for _ in range((400 * MIB - len(head)) // PIECE):
            scan.write(bytes(PIECE))
        scan.write(bytes((400 * MIB - len(head)) % PIECE))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert scan.needs().files["a.so"].needed == ("libz.so.1",)
    assert peak < 20 * MIB


def test_nothing_is_held_of_what_is_no_elf_file():
    scan = ElfScan()
    begin(scan, 64 * MIB, b"")
    tracemalloc.start()
    try:
        for _ in range(64 * MIB // PIECE):
            scan.write(b"\x7fEL " + bytes(PIECE - 4))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB
    assert scan.needs().files == {}
