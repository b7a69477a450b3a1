"""The zip archive: one reading or none."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.archive import gzip
from mpbuild.formats.archive.zip import read_archive

TEXT = b"some text that is longer than nothing, and some text again\n" * 4
SIZE = len(TEXT)
ONES = 0xFFFFFFFF


def contents(data: bytes) -> dict[str, bytes]:
    return {entry.name: b"".join(entry.inflated()) for entry in read_archive(data)}


def descriptor(form="<3L", magic=b"PK\7\x08", *, packed, size=SIZE):
    return magic + struct.pack(form, zlib.crc32(TEXT), packed, size)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("seekable", [True, False])
def test_what_python_zips_reads_as_python_reads_it(method, seekable):
    out = io.BytesIO()
    out.seekable = lambda: seekable
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.mkdir("d")
        archive.writestr("d/a.txt", TEXT)
        archive.writestr("ü.txt", b"")
        run = zipfile.ZipInfo("run")
        run.external_attr = 0o100755 << 16
        archive.writestr(run, b"#!/bin/sh\n")
        with archive.open("wide", "w", force_zip64=True) as member:
            member.write(TEXT)
    entries = {entry.name: entry for entry in read_archive(out.getvalue())}
    assert contents(out.getvalue()) == {
        "d": b"",
        "d/a.txt": TEXT,
        "ü.txt": b"",
        "run": b"#!/bin/sh\n",
        "wide": TEXT,
    }
    assert [name for name, entry in entries.items() if entry.executable] == ["run"]
    assert [name for name, entry in entries.items() if entry.is_directory] == ["d"]


def test_raw_bytes_are_slices_of_the_archive(make):
    data = memoryview(make.zip([make.Member("a", TEXT)]))
    (entry,) = read_archive(data)
    assert entry.raw.obj is data.obj
    assert bytes(entry.raw) == make.deflated(TEXT)
    assert not entry.stored


def test_an_archive_of_zip64_records_reads(make, tmp_path):
    """CPython writes them where there are more than 65535 entries; here with two."""
    program = (
        "import sys, zipfile; zipfile.ZIP_FILECOUNT_LIMIT = 1\n"
        "with zipfile.ZipFile(sys.argv[1], 'w') as z:\n"
        "    z.writestr('a', 'one'); z.writestr('b', 'two')\n"
    )
    path = tmp_path / "wide.zip"
    subprocess.run([sys.executable, "-c", program, path], check=True)
    assert b"PK\6\6" in path.read_bytes()
    assert contents(path.read_bytes()) == {"a": b"one", "b": b"two"}


def test_a_zip64_field_may_repeat_what_the_header_has(make):
    raw = make.deflated(TEXT)
    extra = struct.pack("<2H2Q", 1, 16, len(TEXT), len(raw))
    assert contents(make.zip([make.Member("a", TEXT, local_extra=extra)])) == {"a": TEXT}
    wide = {"packed": ONES, "size": ONES}
    member = make.Member(
        "a", TEXT, local_extra=extra, central_extra=extra, local=wide, central=wide
    )
    assert contents(make.zip([member])) == {"a": TEXT}


@pytest.mark.parametrize("form", ["<3L", "<LQQ"])
@pytest.mark.parametrize("magic", [b"", b"PK\7\x08"])
@pytest.mark.parametrize("local", [{}, {"crc": 0, "packed": 0, "size": 0}])
def test_a_data_descriptor_that_agrees_is_read(make, form, magic, local):
    tail = descriptor(form, magic, packed=len(make.deflated(TEXT)))
    members = [
        make.Member("a", TEXT, flags=8, local=local, descriptor=tail),
        make.Member("b", TEXT),
    ]
    assert contents(make.zip(members)) == {"a": TEXT, "b": TEXT}


def test_a_directory_may_be_an_empty_deflate_stream(make):
    """As in the wheel of futures 3.1.1."""
    data = make.zip([make.Member("d/", mode=0o040755), make.Member("d/a", TEXT)])
    assert data[32:34] == b"\3\0"
    assert contents(data) == {"d": b"", "d/a": TEXT}


def test_a_comment_may_end_the_archive(make):
    assert contents(make.zip([make.Member("a", TEXT)], comment=b"hello")) == {"a": TEXT}


def _plain(m, **fields):
    return m.zip([m.Member("a", TEXT, **fields)])


def _overlapping(m):
    one = m.zip([m.Member("a", TEXT)])
    return m.zip([m.Member("a", TEXT), m.Member("b", TEXT, central={"start": len(one) // 4})])


def _shared(m):
    return m.zip([m.Member("a", TEXT), m.Member("b", TEXT, central={"start": 0})])


def _quine(m):
    """An inner member's bytes offered as a second member of their own."""
    inner = m.zip([m.Member("b", TEXT)])
    outer = m.Member("a", inner, method=0)
    return m.zip([outer, m.Member("b", TEXT, central={"start": 31})])


def _second_end(m):
    fake = m.zip([m.Member("evil", TEXT)])
    return m.zip([m.Member("a", TEXT)], comment=fake[-22:])


def _hidden_directory(m):
    """A whole second archive in the comment: its end record is the last, its directory is not."""
    hidden = m.zip([m.Member("evil", TEXT)])
    return m.zip([m.Member("a", TEXT)], comment=hidden)


def _wide_end(m, **lies):
    body = m.zip([m.Member("a", TEXT)])
    count, size, start = 1, len(body) - 22 - body.index(b"PK\1\2"), body.index(b"PK\1\2")
    fields = {"count": count, "size": size, "start": start, "at": len(body) - 22} | lies
    record = struct.pack(
        "<4sQ2H2L4Q",
        b"PK\6\6",
        44,
        45,
        45,
        0,
        0,
        fields["count"],
        fields["count"],
        fields["size"],
        fields["start"],
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, fields["at"], 1)
    return body[:-22] + record + locator + body[-22:]


def test_the_wide_records_built_here_are_sound(make):
    assert contents(_wide_end(make)) == {"a": TEXT}


HOSTILE = {
    "nothing": (lambda m: b"", "no end record"),
    "no zip archive": (lambda m: b"MZ" + bytes(500), "no end record"),
    "a cut end record": (lambda m: _plain(m)[:-1], "no end record"),
    "bytes after the end": (lambda m: _plain(m) + b"\0", "does not end with its end record"),
    "bytes before the start": (
        lambda m: m.zip([m.Member("a", TEXT)], before=b"#!/bin/sh\n"),
        "10 bytes before",
    ),
    "bytes before the start, unsaid": (
        lambda m: b"#!/bin/sh\n" + _plain(m),
        "does not end at the end record",
    ),
    "a comment that lies": (
        lambda m: m.zip([m.Member("a", TEXT)], comment=b"hello", end={"comment": 4}),
        "does not end with its end record",
    ),
    "a second end record in the comment": (_second_end, "does not end at the end record"),
    "a second archive in the comment": (_hidden_directory, "does not end at the end record"),
    "a second end record in the directory": (
        lambda m: m.zip([m.Member("a", TEXT, central_extra=b"\x99\x99\x04\0PK\5\6")]),
        "second end record",
    ),
    "several parts": (
        lambda m: m.zip([m.Member("a", TEXT)], end={"disk": 1}),
        "multi-part zip archive",
    ),
    "a member of another part": (lambda m: _plain(m, central={"disk": 1}), "malformed header"),
    "fewer entries than announced": (
        lambda m: m.zip([m.Member("a", TEXT)], end={"here": 2, "count": 2}),
        "1 entries, not the declared 2",
    ),
    "more entries than announced": (
        lambda m: m.zip([m.Member("a", TEXT), m.Member("b", TEXT)], end={"here": 1, "count": 1}),
        "2 entries, not the declared 1",
    ),
    "a cut directory": (
        lambda m: m.zip([m.Member("a", TEXT)], extra_directory=b"PK\1\2"),
        "truncated",
    ),
    "a signature after the directory": (
        lambda m: m.zip([m.Member("a", TEXT)], extra_directory=b"PK\5\5" + bytes(42)),
        "malformed header",
    ),
    "a wide end record elsewhere": (lambda m: _wide_end(m, at=0), "misplaced ZIP64 end record"),
    "two end records that disagree": (lambda m: _wide_end(m, count=2), "disagree"),
    "a wide end record 4 GiB off": (lambda m: _wide_end(m, start=1 << 32), "disagree"),
    "overlapping entries": (_overlapping, "overlaps"),
    "two entries of the same bytes": (_shared, "overlapping entries"),
    "an entry inside another": (_quine, "overlaps"),
    "a start beyond the directory": (
        lambda m: m.zip([m.Member("a", TEXT), m.Member("b", TEXT, central={"start": 1 << 30})]),
        "stray bytes after the entry",
    ),
    "a gap": (
        lambda m: m.zip([m.Member("a", TEXT, after=b"x"), m.Member("b")]),
        "stray bytes after the entry",
    ),
    "a gap before the directory": (
        lambda m: _plain(m, after=b"smuggled"),
        "stray bytes after the entry",
    ),
    "an entry that no directory lists": (
        lambda m: _plain(m, after=m.zip([m.Member("evil", TEXT)])[: 30 + 4 + 60]),
        "stray bytes after the entry",
    ),
    "another local name": (lambda m: _plain(m, local={"name": b"b"}), "disagree"),
    "another local method": (lambda m: _plain(m, local={"method": 0}), "disagree"),
    "another local size": (lambda m: _plain(m, local={"size": 1}), "disagree"),
    "another local CRC": (lambda m: _plain(m, local={"crc": 1}), "disagree"),
    "no local CRC": (lambda m: _plain(m, local={"crc": 0}), "disagree"),
    "other local flags": (lambda m: _plain(m, local={"flags": 8}), "disagree"),
    "a size 4 GiB larger in the local header": (
        lambda m: _plain(
            m,
            local={"size": ONES},
            local_extra=struct.pack("<2HQ", 1, 8, len(TEXT) + (1 << 32)),
        ),
        "disagree",
    ),
    "a size 4 GiB larger in a repeated field": (
        lambda m: _plain(m, central_extra=struct.pack("<2HQ", 1, 8, len(TEXT) + (1 << 32))),
        "ZIP64 field and header disagree",
    ),
    "a size left out": (lambda m: _plain(m, central={"size": ONES}), "ZIP64 field"),
    "a ZIP64 field of half a number": (
        lambda m: _plain(m, central_extra=struct.pack("<2HL", 1, 4, 7)),
        "ZIP64 field",
    ),
    "a stored entry of two sizes": (
        lambda m: _plain(m, method=0, local={"size": 1}, central={"size": 1}),
        "stored, but",
    ),
    "a descriptor that lies": (
        lambda m: _plain(m, flags=8, descriptor=descriptor(packed=len(m.deflated(TEXT)), size=1)),
        "stray bytes after the entry",
    ),
    "a descriptor announced and missing": (
        lambda m: _plain(m, flags=8),
        "stray bytes after the entry",
    ),
    "a descriptor not announced": (
        lambda m: _plain(m, descriptor=descriptor(packed=len(m.deflated(TEXT)))),
        "stray bytes after the entry",
    ),
    "encryption": (lambda m: _plain(m, flags=1), "encrypted"),
    "strong encryption": (lambda m: _plain(m, flags=65), "encrypted"),
    "a masked directory": (lambda m: _plain(m, flags=1 << 13), "encrypted"),
    "patch data": (lambda m: _plain(m, flags=1 << 5), "unknown flags"),
    "Deflate64": (lambda m: _plain(m, method=9), "compressed with Deflate64"),
    "bzip2": (lambda m: _plain(m, method=12), "compressed with bzip2"),
    "LZMA": (lambda m: _plain(m, method=14), "compressed with LZMA"),
    "Zstandard": (lambda m: _plain(m, method=93), "compressed with Zstandard"),
    "XZ": (lambda m: _plain(m, method=95), "compressed with XZ"),
    "a method that nobody has": (lambda m: _plain(m, method=1000), "compressed with method 1000"),
    "a symbolic link": (lambda m: _plain(m, mode=0o120777), "a symbolic link"),
    "a device": (lambda m: _plain(m, mode=0o020666), "is not a regular file"),
    "a directory by mode only": (lambda m: _plain(m, mode=0o040755), "is not a regular file"),
    "a file by mode, a directory by name": (
        lambda m: m.zip([m.Member("a/", mode=0o100644, method=0)]),
        "is not a regular file",
    ),
    "a directory with content": (
        lambda m: m.zip([m.Member("a/", TEXT, mode=0o040755)]),
        "directory with content",
    ),
    "a directory with bytes that say nothing": (
        lambda m: m.zip([m.Member("a/", raw=b"\1\0\0\xff\xff", mode=0o040755)]),
        "directory with content",
    ),
    "a name twice": (lambda m: m.zip([m.Member("a"), m.Member("a")]), "duplicate path a"),
    "a name twice but for case": (
        lambda m: m.zip([m.Member("a"), m.Member("A")]),
        "differ only in case or Unicode form",
    ),
    "a name twice but for its form": (
        lambda m: m.zip([m.Member("e\u0301", flags=2048), m.Member("\u00e9", flags=2048)]),
        "differ only in case or Unicode form",
    ),
    "a file that is also a folder": (
        lambda m: m.zip([m.Member("a"), m.Member("a/b")]),
        "which is not a directory",
    ),
    "a traversal": (lambda m: m.zip([m.Member("a/../../b")]), "the name '..'"),
    "an absolute path": (lambda m: m.zip([m.Member("/etc/passwd")]), "absolute"),
    "a backslash": (lambda m: m.zip([m.Member("a\\b")]), "backslash"),
    "a NUL in a name": (lambda m: m.zip([m.Member("a\0b")]), "control character"),
    "no name": (lambda m: m.zip([m.Member("")]), "the name ''"),
    "a whiteout": (lambda m: m.zip([m.Member("a/.wh.b")]), "whiteout"),
    "an opaque whiteout": (lambda m: m.zip([m.Member(".wh..wh..opq")]), "whiteout"),
    "a name that is neither": (lambda m: m.zip([m.Member(b"\x81")]), "neither ASCII"),
    "a name that is wrongly marked": (lambda m: m.zip([m.Member(b"\x81", flags=2048)]), "neither"),
    "a second name": (
        lambda m: _plain(m, central_extra=struct.pack("<2HBL", 0x7075, 5, 1, 0)),
        "ambiguous extra",
    ),
    "extra fields that don't fit": (lambda m: _plain(m, central_extra=b"\1\2\3"), "extra fields"),
    "an extra field twice": (
        lambda m: _plain(m, local_extra=struct.pack("<4H", 9, 0, 9, 0)),
        "extra fields",
    ),
    "no local header": (
        lambda m: _plain(m).replace(b"PK\3\4", b"PK\3\5"),
        "disagree",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused(case, make):
    build, telling = HOSTILE[case]
    with pytest.raises(InputError) as caught:
        read_archive(build(make))
    assert caught.value.findings[0].code == "layer-unsafe"
    assert telling in str(caught.value)


LYING = {
    "a size too small": (lambda m: {"size": 9}, "more than the declared 9"),
    "a size too large": (lambda m: {"size": 2000}, "not the declared 2000"),
    "a wrong CRC": (lambda m: {"crc": 1}, "not the declared 00000001"),
}


@pytest.mark.parametrize("case", LYING)
def test_a_member_that_lies_about_its_content_is_refused_when_inflated(case, make):
    lies, telling = LYING[case]
    (entry,) = read_archive(_plain(make, local=lies(make), central=lies(make)))
    with pytest.raises(InputError) as caught:
        b"".join(entry.inflated())
    assert caught.value.findings[0].code == "layer-unsafe"
    assert caught.value.findings[0].where == "a"
    assert telling in str(caught.value)


def test_a_member_that_is_4_gib_short_of_what_it_says_is_refused(make):
    extra = struct.pack("<2HQ", 1, 8, len(TEXT) + (1 << 32))
    wide = {"size": ONES}
    data = _plain(make, local=wide, central=wide, local_extra=extra, central_extra=extra)
    (entry,) = read_archive(data)
    with pytest.raises(InputError, match=f"{len(TEXT)} bytes, not the declared 4294967"):
        b"".join(entry.inflated())


def test_a_gzip_member_smuggled_behind_a_members_stream_is_refused(make):
    raw = make.deflated(TEXT) + gzip.compress(b"a whole tar entry")
    (entry,) = read_archive(_plain(make, raw=raw))
    with pytest.raises(InputError, match="trailing bytes after the compressed stream"):
        b"".join(entry.inflated())


def test_a_stored_member_with_a_wrong_crc_is_refused(make):
    lie = {"crc": 7}
    (entry,) = read_archive(_plain(make, method=0, local=lie, central=lie))
    with pytest.raises(InputError, match="a: CRC-32 is") as caught:
        entry.checked()
    assert caught.value.findings[0].code == "layer-unsafe"


@settings(max_examples=250)
@given(st.data())
def test_a_mutated_archive_reads_or_is_refused(make, reads_or_refuses, data):
    archive = bytearray(
        make.zip(
            [
                make.Member("d/", mode=0o040755, method=0),
                make.Member("d/a", TEXT),
                make.Member("b", TEXT, method=0),
                make.Member(
                    "c", TEXT, flags=8, descriptor=descriptor(packed=len(make.deflated(TEXT)))
                ),
            ]
        )
    )
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    with reads_or_refuses("layer-unsafe"):
        found = contents(bytes(archive))
        assert sum(content == TEXT for content in found.values()) == 3


@settings(max_examples=60)
@given(st.data())
def test_an_archive_cut_anywhere_is_refused(make, data):
    archive = make.zip([make.Member("a", TEXT), make.Member("b", TEXT, method=0)])
    with pytest.raises(InputError):
        read_archive(archive[: data.draw(st.integers(0, len(archive) - 1))])
