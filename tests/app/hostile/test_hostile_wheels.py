"""Wheels made to deceive: ``mpbuild build`` refuses each by name and touches nothing else."""

import lzma
import struct
import zlib

import pytest

UNSAFE = "layer-unsafe"
FIRST = "numpy/__init__.py"
WHEEL = "numpy-2.0-py3-none-any.whl"


def holding(path, data=b"evil"):
    """A wheel with a file at ``path``, which RECORD lists."""
    return lambda c: c.wheel({path: data})


def doubled(first, second, data=b"evil"):
    """A wheel with two files whose names are hard to tell apart."""
    return lambda c: c.wheel({first: b"good", second: data})


def changed(**headers):
    """A wheel with other values in the headers of its first member, of no size in RECORD."""
    return lambda c: c.patched(c.wheel(sizes=False), FIRST, **headers)


def recorded(change):
    """A wheel with its RECORD as ``change`` makes it."""

    def make(c):
        files = c.wheel_files()
        record = f"{c.INFO}/RECORD"
        return c.zipped(files | {record: change(files[record].decode()).encode()})

    return make


def kernel(c):
    """A bomb as D. Fifield's: a member whose bytes are those of the next one, headers and all."""
    data = c.wheel({"numpy/a.bin": bytes(1 << 20), "numpy/b.bin": bytes(1 << 20)})
    inner = c.start(data, "numpy/b.bin")
    quoting = c.start(data, "numpy/a.bin") + 41
    return c.patched(data, "numpy/a.bin", both={"packed": inner + 900 - quoting, "method": 0})


def shared(c):
    data = c.wheel({"numpy/a.bin": bytes(1 << 20), "numpy/b.bin": bytes(1 << 20)})
    start = c.start(data, "numpy/a.bin")
    return c.patched(data, "numpy/b.bin", central={"start": start})


def renamed_inside(c):
    """One name in the directory, another one where the member begins."""
    data = bytearray(c.wheel())
    at = c.start(data, FIRST) + 30
    data[at : at + len(FIRST)] = b"numpy/__evil__.py"
    return bytes(data)


def unmarked(c):
    return c.wheel({"numpy/AAAA": b"x"}).replace(b"numpy/AAAA", b"numpy/\xff\xfe\xfdA")


def second_name(c):
    """The field of Info-ZIP that gives a member another name in UTF-8."""
    field = struct.pack("<2HBL", 0x7075, 12, 1, zlib.crc32(b"numpy/a.py")) + b"evil.py"
    data = c.wheel({"numpy/a.py": b"x"})
    at = data.rindex(
        b"numpy/a.py", 0, data.index(f"{c.INFO}/METADATA".encode(), data.index(b"PK\1\2"))
    )
    head = at - 46
    out = bytearray(data[: at + 10] + field + data[at + 10 :])
    struct.pack_into("<H", out, head + 30, len(field))
    struct.pack_into(
        "<L", out, len(out) - 10, struct.unpack_from("<L", out, len(out) - 10)[0] + len(field)
    )
    return bytes(out)


HOSTILE = {
    "is empty": (lambda c: b"", "lock-malformed", "0 is not the size of a file"),
    "is an ELF file": (lambda c: c.elf(), UNSAFE, "no end record"),
    "begins with a program": (
        lambda c: c.zipped(c.wheel_files(), before=b"#!/bin/sh\nexec evil\n"),
        UNSAFE,
        "bytes before the first entry",
    ),
    "ends with another archive": (
        lambda c: c.wheel() + c.zipped({"evil.py": b"evil"}),
        UNSAFE,
        "the central directory does not end at the end record",
    ),
    "ends with a byte more": (
        lambda c: c.wheel() + b"\n",
        UNSAFE,
        "does not end with its end record",
    ),
    "hides a member that no directory lists": (
        lambda c: c.smuggled(c.wheel(), c.zipped({"evil.py": b"evil"})[:41]),
        UNSAFE,
        "stray bytes after the entry",
    ),
    "quotes one member in another": (kernel, UNSAFE, "numpy/a.bin: stored, but"),
    "gives two members the same bytes": (shared, UNSAFE, "overlapping entries"),
    "has another name inside": (renamed_inside, UNSAFE, "central directory disagree"),
    "has another method inside": (changed(local={"method": 0}), UNSAFE, "disagree"),
    "has another CRC inside": (changed(local={"crc": 7}), UNSAFE, "disagree"),
    "lies about a CRC": (changed(both={"crc": 7}), UNSAFE, "not the declared 00000007"),
    "inflates to more than it says": (
        changed(both={"size": 9}),
        UNSAFE,
        "more than the declared 9 bytes",
    ),
    "inflates to less than it says": (
        changed(both={"size": 4000}),
        UNSAFE,
        "not the declared 4000",
    ),
    "claims four gigabytes": (
        changed(both={"size": 0xFFFFFFFE}),
        UNSAFE,
        "not the declared 4294967294",
    ),
    "leaves a length to a field that is not there": (
        changed(both={"size": 0xFFFFFFFF}),
        UNSAFE,
        "ZIP64 field and header disagree",
    ),
    "ends a stream before its bytes end": (
        lambda c: c.patched(c.wheel(), FIRST, both={"packed": 12}),
        UNSAFE,
        "stray bytes after the entry",
    ),
    "overlaps the next entry": (changed(both={"packed": 60}), UNSAFE, "overlaps the next entry"),
    "is encrypted": (changed(both={"flags": 1}), UNSAFE, "encrypted"),
    "is patch data": (changed(both={"flags": 32}), UNSAFE, "unknown flags 0x20"),
    "is compressed with bzip2": (changed(both={"method": 12}), UNSAFE, "compressed with bzip2"),
    "is compressed with LZMA": (changed(both={"method": 14}), UNSAFE, "compressed with LZMA"),
    "is compressed with Zstandard": (
        changed(both={"method": 93}),
        UNSAFE,
        "compressed with Zstandard",
    ),
    "holds a symbolic link": (changed(central={"mode": 0o120777}), UNSAFE, "a symbolic link"),
    "holds a device": (changed(central={"mode": 0o020666}), UNSAFE, "is not a regular file"),
    "holds a named pipe": (changed(central={"mode": 0o010666}), UNSAFE, "is not a regular file"),
    "climbs out": (holding("../../../../../../../../evil"), UNSAFE, "contains the name '..'"),
    "climbs out of its data": (
        holding("numpy-2.0.data/scripts/../../../../evil"),
        UNSAFE,
        "contains the name '..'",
    ),
    "has an absolute path": (holding("/tmp/evil"), UNSAFE, "is absolute"),
    "has a path of Windows": (holding("..\\..\\evil"), UNSAFE, "a backslash"),
    "has a device path of Windows": (holding("\\\\.\\PhysicalDrive0"), UNSAFE, "a backslash"),
    "has a NUL in a name": (holding("numpy/a.py\0.txt"), UNSAFE, "a control character"),
    "has a newline in a name": (holding("numpy/a\nb.py"), UNSAFE, "a control character"),
    "has an escape sequence in a name": (holding("numpy/\x1b[2J"), UNSAFE, "a control character"),
    "has an empty name": (holding("numpy//a.py"), UNSAFE, "the name ''"),
    "has a name of 256 bytes": (holding("n" * 256), UNSAFE, "longer than 255 bytes"),
    "has a name that is no UTF-8": (unmarked, UNSAFE, "neither ASCII nor marked as UTF-8"),
    "has a second name in a field": (second_name, UNSAFE, "ambiguous extra fields"),
    "has two names that differ in case": (
        doubled("numpy/a.py", "numpy/A.py"),
        UNSAFE,
        "differ only in case or Unicode form",
    ),
    "has two names that differ in form": (
        doubled("numpy/\u00e9.py", "numpy/e\u0301.py"),
        UNSAFE,
        "differ only in case or Unicode form",
    ),
    "has two folders that differ in case": (
        doubled("numpy/core/a.py", "numpy/CORE/b.py"),
        UNSAFE,
        "differ only in case or Unicode form",
    ),
    "has a name twice": (
        lambda c: c.zipped([*c.wheel_files().items(), (FIRST, b"evil")]),
        UNSAFE,
        "duplicate path numpy/__init__.py",
    ),
    "has a file that is a folder too": (
        doubled("numpy/core", "numpy/core/a.py"),
        UNSAFE,
        "which is not a directory",
    ),
    "deletes files of other layers": (holding("numpy/.wh.core.py"), UNSAFE, "a whiteout"),
    "empties a folder of other layers": (holding("numpy/.wh..wh..opq"), UNSAFE, "a whiteout"),
    "is of another project": (
        lambda c: c.wheel(metadata=b"Metadata-Version: 2.1\nName: evil\nVersion: 2.0\n"),
        "content-mismatch",
        "has evil 2.0, the file name numpy 2.0",
    ),
    "is of two projects": (
        lambda c: c.wheel(metadata=b"Name: numpy\nName: evil\nVersion: 2.0\n"),
        UNSAFE,
        "the metadata has Name 2 times",
    ),
    "has two .dist-info folders": (
        holding("evil-1.0.dist-info/METADATA"),
        UNSAFE,
        "found ['evil-1.0.dist-info', 'numpy-2.0.dist-info']",
    ),
    "has a file that RECORD does not list": (
        lambda c: c.zipped(c.wheel_files() | {"numpy/evil.py": b"evil"}),
        UNSAFE,
        "RECORD does not list numpy/evil.py",
    ),
    "has no RECORD": (
        lambda c: c.zipped(c.wheel_files(record=False)),
        UNSAFE,
        "has no numpy-2.0.dist-info/RECORD",
    ),
    "has a RECORD that says two things": (
        recorded(lambda text: text + text),
        UNSAFE,
        "duplicate path numpy/__init__.py in RECORD",
    ),
    "has a RECORD of weak hashes": (
        recorded(lambda text: text.replace("sha256=", "md5=")),
        UNSAFE,
        "RECORD has md5=",
    ),
    "has a RECORD of other sizes": (
        recorded(lambda text: text.replace(",480", ",481")),
        UNSAFE,
        ",481 for its 480 bytes",
    ),
    "has a RECORD without an end": (
        recorded(lambda text: text + '"evil,'),
        UNSAFE,
        "RECORD: malformed rows",
    ),
    "makes a script outside of bin": (
        lambda c: c.wheel(scripts="[console_scripts]\n../../../../evil = a:b\n"),
        UNSAFE,
        "malformed entry point: '../../../../evil'",
    ),
    "makes a script of code": (
        lambda c: c.wheel(scripts="[console_scripts]\nx = os:system('evil') or exit\n"),
        UNSAFE,
        "malformed entry point",
    ),
    "makes a script that is two": (
        lambda c: c.wheel(scripts="[console_scripts]\nx = a:b\nx = c:d\n"),
        UNSAFE,
        "entry_points.txt: malformed",
    ),
    "replaces the interpreter": (
        holding("numpy-2.0.data/scripts/python3.11"),
        UNSAFE,
        "would replace /opt/venv/bin/python3.11",
    ),
    "replaces the environment": (
        holding("numpy-2.0.data/data/pyvenv.cfg"),
        UNSAFE,
        "would replace /opt/venv/pyvenv.cfg",
    ),
    "installs by a scheme of its own": (
        holding("numpy-2.0.data/root/etc/passwd"),
        UNSAFE,
        "unknown installation scheme of",
    ),
    "brings a shared object that needs what is nowhere": (
        lambda c: c.wheel({"numpy/a.so": c.elf(needed="libevil.so.6")}),
        "elf-unmet",
        "libevil.so.6",
    ),
    "brings a shared object that is cut": (
        lambda c: c.wheel({"numpy/a.so": c.elf(cut=150)}),
        "elf-unmet",
        "numpy/a.so",
    ),
    "brings a shared object with a name without end": (
        lambda c: c.wheel({"numpy/a.so": c.elf(needed="n" * 9000)}),
        "elf-unmet",
        "numpy/a.so",
    ),
    "is xz and no zip": (lambda c: lzma.compress(c.wheel()), UNSAFE, "no end record"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_wheel_is_refused_that(ground, craft, case):
    make, code, told = HOSTILE[case]
    answer = ground.build(name=WHEEL, data=make(craft))
    assert answer.code == 2, answer.json
    assert code in answer.errors
    assert told in answer.told(code)
    assert not ground.output.exists()


def test_a_wheel_is_refused_wherever_it_is_cut(ground, craft):
    """At every boundary of its structure: before, behind and within each header."""
    data = craft.wheel()
    headers = [at for at in range(len(data)) if data[at : at + 2] == b"PK"]
    assert len(headers) == 2 * 4 + 1
    for cut in sorted({*headers[1:], *(at + 4 for at in headers), *(at + 20 for at in headers)}):
        answer = ground.build(name=WHEEL, data=data[:cut])
        assert (answer.code, answer.errors) == (2, {UNSAFE}), cut
