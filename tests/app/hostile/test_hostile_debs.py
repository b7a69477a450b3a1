"""Debian packages made to deceive: ``mpbuild build`` refuses each and touches nothing else."""

import contextlib
import gzip
import lzma
import struct
import tarfile
import zlib

import pytest

from mpbuild.base import limits

UNSAFE = "layer-unsafe"
DEB = "python3.11-minimal_3.11.2-6_amd64.deb"


def data(*members, **fields):
    """A package with a tar member before the sound ones."""
    return lambda c: c.deb(c.tar_member(*members, **fields))


def raw(make):
    """A package with the bytes of ``make`` before the sound members of its data.tar."""
    return lambda c: c.deb(make(c))


def links(c):
    """A way out by steps: each link is harmless where the ones before it are not followed."""
    chain = c.tar_member(b"./usr/a", kind=b"2", target=b".")
    chain += c.tar_member(b"./usr/b", kind=b"2", target=b"a/..")
    chain += c.tar_member(b"./usr/c", kind=b"2", target=b"b/../../../evil")
    return chain


def through_parent(c):
    """A file below a link that an earlier member has made."""
    there = c.tar_member(b"./usr/share", kind=b"2", target=b"/tmp")
    return there + c.tar_member(b"./usr/share/evil", b"evil")


def hard_then_write(c):
    """A hard link out of the tree, and then a file of that name."""
    there = c.tar_member(b"./usr/x", kind=b"1", target=b"../../../../canary/file")
    return there + c.tar_member(b"./usr/x", b"evil")


def bomb(compress):
    """A control.tar that zeros after its end bring beyond its limit."""
    return lambda c: compress(c.END + bytes(limits.DEB_CONTROL_BYTES))


def hungry(c):
    """An xz stream that says that four gigabytes of memory are needed to read it."""
    stream = bytearray(xz(c.END))
    size = (stream[12] + 1) * 4
    stream[16] = 40
    struct.pack_into("<L", stream, 12 + size - 4, zlib.crc32(stream[12 : 12 + size - 4]))
    return bytes(stream)


def xz(plain):
    return lzma.compress(plain, preset=0)


HOSTILE = {
    "is no ar archive": (lambda c: b"PK\3\4" + bytes(100), UNSAFE, "not an ar archive"),
    "is an ar archive of something else": (
        lambda c: c.ar(("evil", b"x")),
        UNSAFE,
        "not ['evil']",
    ),
    "has a fourth member": (
        lambda c: c.deb(_evil=b"x"),
        UNSAFE,
        "'.evil'",
    ),
    "has a member that is larger than the package": (
        lambda c: c.deb(sizes={2: 1 << 30}),
        UNSAFE,
        "truncated or not padded",
    ),
    "has a member of a negative size": (lambda c: c.deb(sizes={1: -1}), UNSAFE, "malformed member"),
    "has a member that begins in another": (
        lambda c: c.deb(sizes={1: 4}),
        UNSAFE,
        "malformed member",
    ),
    "has bytes after its last member": (lambda c: c.deb() + b"evil", UNSAFE, "malformed member"),
    "is compressed with Zstandard": (
        lambda c: c.deb(data_tar_zst=b"\x28\xb5\x2f\xfd"),
        "not-supported-yet",
        "unsupported compression of data.tar.zst",
    ),
    "is of format 3": (
        lambda c: c.ar(("debian-binary", b"3.0\n"), ("control.tar", c.END), ("data.tar", c.END)),
        "not-supported-yet",
        "not a package of format 2.0",
    ),
    "is a gzip bomb": (
        lambda c: c.deb(control_tar_gz=bomb(gzip.compress)(c)),
        UNSAFE,
        f"inflates to more than {limits.DEB_CONTROL_BYTES} bytes",
    ),
    "is an xz bomb": (
        lambda c: c.deb(control_tar_xz=bomb(xz)(c)),
        UNSAFE,
        f"inflates to more than {limits.DEB_CONTROL_BYTES} bytes",
    ),
    "wants gigabytes of memory": (
        lambda c: c.deb(data_tar_xz=hungry(c)),
        UNSAFE,
        "data.tar.xz: corrupt compressed stream",
    ),
    "has bytes after its xz stream": (
        lambda c: c.deb(data_tar_xz=xz(c.END) + b"evil"),
        UNSAFE,
        "trailing bytes after the xz stream",
    ),
    "has a second xz stream": (
        lambda c: c.deb(data_tar_xz=xz(c.END) + xz(c.tar_member(b"./evil") + c.END)),
        UNSAFE,
        "trailing bytes after the xz stream",
    ),
    "has an xz stream with a flipped bit": (
        lambda c: c.deb(data_tar_xz=xz(c.END)[:30] + b"\xff" + xz(c.END)[31:]),
        UNSAFE,
        "corrupt compressed stream",
    ),
    "has a gzip member with a wrong CRC": (
        lambda c: c.deb(data_tar_gz=gzip.compress(c.END)[:-8] + struct.pack("<2L", 7, 1024)),
        UNSAFE,
        "wrong CRC-32 or size in a gzip member",
    ),
    "has bytes after its gzip members": (
        lambda c: c.deb(data_tar_gz=gzip.compress(c.END) + bytes(20)),
        UNSAFE,
        "not a gzip member",
    ),
    "climbs out": (data(b"./../../../../../../../evil", b"x"), UNSAFE, "the name '..'"),
    "has an absolute path": (data(b"/tmp/evil", b"x"), UNSAFE, "is absolute"),
    "climbs out by an extended header": (
        raw(lambda c: c.pax(path="../../../evil") + c.tar_member(b"./usr/x", b"x")),
        UNSAFE,
        "the name '..'",
    ),
    "climbs out by a long name of GNU": (
        raw(
            lambda c: (
                c.tar_member(b"././@LongLink", b"../" * 50 + b"evil\0", kind=b"L")
                + c.tar_member(b"./usr/x", b"x")
            )
        ),
        UNSAFE,
        "the name '..'",
    ),
    "has a long name of gigabytes": (
        raw(lambda c: c.tar_block(b"././@LongLink", kind=b"L", size=1 << 33)),
        UNSAFE,
        "extended header of 8589934592 bytes",
    ),
    "has a size beyond its end": (
        raw(lambda c: c.tar_block(b"./usr/x", size=1 << 32)),
        UNSAFE,
        "truncated",
    ),
    "has two sizes": (
        raw(lambda c: c.pax(size=str(1 << 40)) + c.tar_member(b"./usr/x", b"x")),
        UNSAFE,
        "has 1 bytes in one header and 1099511627776 in another",
    ),
    "has a negative size": (
        raw(lambda c: c.tar_block(b"./usr/x", size_field=b"\xff" * 12)),
        UNSAFE,
        "malformed number in a header",
    ),
    "has a global header": (
        raw(lambda c: c.pax(kind=b"g", path="evil") + c.tar_member(b"./usr/x")),
        UNSAFE,
        "global header that affects members",
    ),
    "has an attribute that grants privileges": (
        raw(lambda c: c.pax(SCHILY__xattr__security__capability="x") + c.tar_member(b"./usr/x")),
        UNSAFE,
        "unknown record 'SCHILY.xattr.security.capability'",
    ),
    "has a sparse file of GNU": (data(b"./usr/x", kind=b"S"), UNSAFE, "a sparse file"),
    "has a sparse file by an extended header": (
        raw(lambda c: c.pax(GNU__sparse__realsize="9999999999") + c.tar_member(b"./usr/x")),
        UNSAFE,
        "unknown record 'GNU.sparse.realsize'",
    ),
    "has a character device": (data(b"./dev/mem", kind=b"3"), UNSAFE, "a character device"),
    "has a block device": (data(b"./dev/sda", kind=b"4"), UNSAFE, "a block device"),
    "has a named pipe": (data(b"./run/x", kind=b"6"), UNSAFE, "a named pipe"),
    "has a member of no known type": (data(b"./usr/x", kind=b"Z"), UNSAFE, "unknown type b'Z'"),
    "has a hard link out": (
        data(b"./usr/x", kind=b"1", target=b"../../../../canary/file"),
        UNSAFE,
        "the name '..'",
    ),
    "has a hard link to an absolute path": (
        data(b"./usr/x", kind=b"1", target=b"/etc/passwd"),
        UNSAFE,
        "is absolute",
    ),
    "has a hard link to what comes later": (
        data(b"./usr/x", kind=b"1", target=b"./usr/bin/python3.11"),
        UNSAFE,
        "not an earlier file",
    ),
    "writes through a hard link out": (raw(hard_then_write), UNSAFE, "the name '..'"),
    "writes through a link": (raw(through_parent), UNSAFE, "which is not a directory"),
    "climbs out by a chain of links": (raw(links), UNSAFE, "leaves the root, or may"),
    "has a link that climbs out": (
        data(b"./usr/x", kind=b"2", target=b"../../../../canary"),
        UNSAFE,
        "leaves the root",
    ),
    "has a link with a NUL": (
        raw(lambda c: c.pax(linkpath="a\0b") + c.tar_member(b"./usr/x", kind=b"2", target=b"a")),
        UNSAFE,
        "is not a path",
    ),
    "has a link with content": (
        data(b"./usr/x", b"evil", kind=b"2", target=b"y"),
        UNSAFE,
        "is not a file, but has 4 bytes",
    ),
    "deletes files of other layers": (data(b"./usr/.wh.bin"), UNSAFE, "a whiteout"),
    "empties a folder of other layers": (data(b"./usr/.wh..wh..opq"), UNSAFE, "a whiteout"),
    "has a name twice": (
        data(b"./usr/bin/python3.11", b"evil"),
        UNSAFE,
        "duplicate path usr/bin/python3.11",
    ),
    "has two names that differ in case": (
        data(b"./usr/BIN/python3.11", b"evil"),
        UNSAFE,
        "differ only in case or Unicode form",
    ),
    "has a file that is a folder too": (
        data(b"./usr", b"evil"),
        UNSAFE,
        "which is not a directory",
    ),
    "has a backslash in a name": (data(b"./usr/..\\evil"), UNSAFE, "a backslash"),
    "has a name that is no UTF-8": (data(b"./usr/\xff"), UNSAFE, "not UTF-8"),
    "has a wrong checksum": (
        raw(lambda c: c.tar_member(b"./usr/x").replace(b"./usr/x", b"./usr/y")),
        UNSAFE,
        "wrong checksum in a header",
    ),
    "has no end": (lambda c: c.deb(end=b""), UNSAFE, "truncated"),
    "has a member after its end": (
        lambda c: c.deb(end=c.END + c.tar_member(b"./usr/evil") + c.END),
        UNSAFE,
        "trailing bytes after the end",
    ),
    "has zeros between members": (raw(lambda c: bytes(512)), UNSAFE, "between members"),
    "is of two packages": (
        lambda c: c.deb(control=c.CONTROL + b"package: evil\n"),
        UNSAFE,
        "malformed or duplicate field",
    ),
    "has a script that wants alternatives": (
        lambda c: c.deb(
            control_tar_gz=gzip.compress(
                c.tar_member(b"./control", c.CONTROL)
                + c.tar_member(b"./postinst", b"#!/bin/sh\nupdate-alternatives --install a b c 1\n")
                + c.END
            )
        ),
        "spec-invalid",
        "update-alternatives",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_package_is_refused_that(ground, craft, case):
    make, code, told = HOSTILE[case]
    answer = ground.build(name=DEB, data=make(craft))
    assert answer.code == 2, answer.json
    assert code in answer.errors
    assert told in answer.told(code)
    assert not ground.output.exists()


def test_a_package_is_refused_wherever_it_is_cut(ground, craft):
    """At every boundary of the archive, and within its streams."""
    data = craft.deb()
    bounds = [at for at in range(len(data)) if data[at : at + 2] == b"`\n"]
    assert len(bounds) == 3
    for cut in sorted({at + step for at in bounds for step in (-50, 0, 2, 30)}):
        answer = ground.build(name=DEB, data=data[:cut])
        assert (answer.code, answer.errors) == (2, {UNSAFE}), cut


def test_privileges_of_a_package_are_not_taken_over(ground, craft):
    """Set-user-id bits are Debian's own: they are dropped, not refused."""
    data = craft.deb(craft.tar_member(b"./usr/bin/su", b"#!/bin/sh\n", mode=0o6755))
    assert ground.build(name=DEB, data=data).code == 0
    modes = {}
    for blob in (ground.output / "blobs/sha256").iterdir():
        with contextlib.suppress(tarfile.ReadError), tarfile.open(blob, "r:gz") as archive:
            modes |= {member.name: member.mode for member in archive}
    assert modes["usr/bin/su"] == 0o755
    assert {path for path, mode in modes.items() if mode & 0o7000} <= {"tmp", "var/tmp"}
