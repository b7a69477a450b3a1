"""ELF files: what they need and offer is what readelf says."""

import itertools
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.elf import X86_64, Elf, read_elf

SYSTEM = sorted(
    path
    for pattern in ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libz.so.1", "ld-linux*.so.2")
    for path in Path("/lib/x86_64-linux-gnu").glob(pattern)
)


def parsed(data: bytes) -> Elf | None:
    return read_elf(lambda offset, count: data[offset : offset + count], len(data))


def test_everything_a_dynamic_file_says_is_read(make):
    elf = parsed(
        make.elf(
            needed=["libm.so.6", "libc.so.6"],
            soname="libdemo.so.1",
            rpath="/opt/a",
            runpath="$ORIGIN/../lib::/opt/b",
            needs={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.34"], "libm.so.6": ["X"]},
            defines=["DEMO_1", "DEMO_2"],
            interpreter="/lib64/ld-linux-x86-64.so.2",
        )
    )
    assert elf == Elf(
        machine=X86_64,
        is_dynamic=True,
        soname="libdemo.so.1",
        needed=("libm.so.6", "libc.so.6"),
        rpath=("/opt/a",),
        runpath=("$ORIGIN/../lib", "/opt/b"),
        interpreter="/lib64/ld-linux-x86-64.so.2",
        versions_needed={"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.34"), "libm.so.6": ("X",)},
        versions_defined=("DEMO_1", "DEMO_2"),
    )


def test_weak_versions_are_not_needed(make):
    elf = parsed(make.elf(needs={"libc.so.6": ["weak:GLIBC_9.9", "GLIBC_2.2.5"]}))
    assert elf.versions_needed == {"libc.so.6": ("GLIBC_2.2.5",)}


def test_what_is_no_elf_file_is_none():
    assert parsed(b"") is None
    assert parsed(b"\x7fEL") is None
    assert parsed(b"#!/bin/sh\n" * 99) is None


def test_of_other_machines_the_machine_alone_is_read(make):
    assert parsed(make.elf(machine=183, needed=["libc.so.6"])) == Elf(machine=183)
    small = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack("<2H", 3, 3)
    assert parsed(small) == Elf(machine=3)
    big_endian = b"\x7fELF\x02\x02\x01" + bytes(9) + struct.pack(">2H", 3, 21)
    assert parsed(big_endian) == Elf(machine=21)


def test_a_static_file_is_not_dynamic(make):
    data = bytearray(make.elf())
    data[56:58] = b"\1\0"  # the first program header only
    elf = parsed(bytes(data))
    assert not elf.is_dynamic
    assert elf.needed == ()


def _patched(m, at, form, value):
    data = bytearray(m.elf(needed=["libc.so.6"], needs={"libc.so.6": ["V"]}))
    struct.pack_into(form, data, at, value)
    return bytes(data)


MALFORMED = {
    "no byte order": (lambda m: _patched(m, 5, "<B", 0), "unknown byte order"),
    "half a header": (lambda m: m.elf()[:40], "a table has 64 bytes at 0, the file 40"),
    "program headers outside": (lambda m: _patched(m, 32, "<Q", 1 << 60), "a table has"),
    "program headers of another size": (
        lambda m: _patched(m, 54, "<H", 8),
        "program headers of 8 bytes",
    ),
    "a dynamic section outside": (
        lambda m: _patched(m, 64 + 56 + 8, "<Q", 1 << 40),
        "a table has 96 bytes at 1099511627776",
    ),
    "a dynamic section too large": (
        lambda m: _patched(m, 64 + 56 + 32, "<Q", 1 << 40),
        "a table has",
    ),
    "strings at an address of no segment": (
        lambda m: _patched(m, 64 + 16, "<Q", 1 << 40),
        "no segment contains",
    ),
    "a name outside the strings": (lambda m: m.elf(dynamic=[(1, 1 << 40)]), "no string at"),
    "names and no strings": (lambda m: m.elf(dynamic=[(1, 0), (0, 0)]), "no string at 0"),
    "versions outside": (
        lambda m: m.elf(dynamic=[(0x6FFFFFFE, 0), (0x6FFFFFFF, 9)]),
        "no segment contains",
    ),
    "definitions outside": (
        lambda m: m.elf(dynamic=[(0x6FFFFFFC, 1 << 63), (0x6FFFFFFD, 1 << 63)]),
        "no segment contains",
    ),
    "a name without an end": (
        lambda m: m.elf(needed=["libc.so.6" + "x" * (1 << 16)]),
        "malformed string",
    ),
    "a name of other bytes than UTF-8": (
        lambda m: m.elf(needed=["libc.so.6"]).replace(b"libc.so.6", b"libc.so.\xff"),
        "malformed string",
    ),
    "an interpreter without an end": (
        lambda m: m.elf(interpreter="/lib/ld.so").replace(b"/lib/ld.so\0", b"/lib/ld.soo"),
        "malformed string",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused(case, make):
    build, telling = MALFORMED[case]
    with pytest.raises(InputError) as caught:
        parsed(build(make))
    assert caught.value.findings[0].code == "elf-unmet"
    assert telling in str(caught.value)


def test_versions_that_never_end_are_refused(make):
    chain = struct.pack("<2H3L", 1, 0, 0, 0, 16) * (1 << 15)
    with pytest.raises(InputError, match="more than 16384 version records"):
        parsed(make.elf(raw_needs=(chain, 1 << 62)))


def test_a_file_is_read_in_little_pieces_close_together(make):
    data = make.elf(needed=["libc.so.6"], needs={"libc.so.6": ["V1", "V2"]})
    reads = []

    def read(offset, count):
        reads.append((offset, count))
        return data[offset : offset + count]

    read_elf(read, len(data))
    backward = [b for (a, _), (b, _) in itertools.pairwise(reads) if b < a]
    assert max(count for _, count in reads) < len(data)
    assert len(backward) <= 2


def test_a_reader_that_gives_too_little_is_reported(make):
    data = make.elf()
    with pytest.raises(InputError, match="truncated"):
        read_elf(lambda offset, count: data[offset : offset + min(count, 40)], len(data))


@pytest.mark.parametrize("path", [*SYSTEM, Path(sys.executable).resolve()], ids=lambda p: p.name)
def test_readelf_says_the_same(path):
    if not shutil.which("readelf"):
        pytest.skip("readelf is not installed")
    command = ["readelf", "--wide", "-d", "-V", "-l", path]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    data = path.read_bytes()
    elf = parsed(data)
    assert elf is not None
    if elf.machine != X86_64:
        pytest.skip(f"{path} is of machine {elf.machine}")
    assert list(elf.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", text)
    assert elf.soname == next(iter(re.findall(r"\(SONAME\).*\[(.*)\]", text)), None)
    assert elf.interpreter == next(iter(re.findall(r"interpreter: (.*)\]", text)), None)
    assert ":".join(elf.runpath) == "".join(re.findall(r"\(RUNPATH\).*\[(.*)\]", text))
    needs = text.partition("Version needs section")[2]
    libraries = re.split(r"Version: 1  File: ", needs)[1:]
    assert elf.versions_needed == {
        library.split()[0]: tuple(
            re.findall(r"Name: (\S+)  Flags: (?!.*WEAK)", library),
        )
        for library in libraries
    }
    definitions = text.partition("Version definition section")[2].partition("Version needs")[0]
    assert list(elf.versions_defined) == re.findall(
        r"Flags: (?!BASE).*Cnt: \d+  Name: (\S+)", definitions
    )


@settings(max_examples=200)
@given(st.data())
def test_a_mutated_file_reads_or_is_refused(make, reads_or_refuses, data):
    file = bytearray(
        make.elf(
            needed=["libm.so.6"],
            soname="a",
            runpath="$ORIGIN",
            needs={"libc.so.6": ["V1", "V2"], "libm.so.6": ["V3"]},
            defines=["D1", "D2"],
            interpreter="/lib/ld.so",
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(4, len(file) - 1))] = data.draw(st.integers(0, 255))
    with reads_or_refuses("elf-unmet"):
        parsed(bytes(file[: data.draw(st.integers(64, len(file)))]))
