"""Reading tar: what is understood is read as other tools read it, everything else is refused."""

import io
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.archive import tar, untar
from mpbuild.formats.archive.tar import TarEntry

END = bytes(1024)


def read(data: bytes, step: int = 1 << 20) -> list[tuple[TarEntry, bytes]]:
    chunks = (memoryview(data)[start : start + step] for start in range(0, len(data), step))
    return [(entry, b"".join(content)) for entry, content in untar.read(chunks)]


@pytest.mark.parametrize("form", ["gnu", "ustar", "posix"])
def test_what_gnu_tar_packs_reads_as_it_was(form, tmp_path):
    deep = "directory-" * 9 + "/" + "name-" * 10
    root = tmp_path / "root"
    (root / deep).parent.mkdir(parents=True)
    (root / deep).write_bytes(b"deep")
    (root / "empty").touch()
    (root / "exact").write_bytes(bytes(512))
    (root / "link").symlink_to("exact")
    (root / "hard").hardlink_to(root / "exact")
    if form != "ustar":
        (root / ("n" * 150)).write_bytes(b"long")
        (root / "far").symlink_to("t" * 150)
    command = ["tar", "-C", root, f"--format={form}", "--sort=name", "-cf", "-", "."]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    found = {entry.path: (entry.kind, entry.target, content) for entry, content in read(data)}
    assert found[deep] == ("file", "", b"deep")
    assert found["empty"] == ("file", "", b"")
    assert found["exact"] == ("file", "", bytes(512))
    assert found["hard"] == ("hardlink", "exact", b"")
    assert found["link"] == ("symlink", "exact", b"")
    if form != "ustar":
        assert found["n" * 150] == ("file", "", b"long")
        assert found["far"] == ("symlink", "t" * 150, b"")
    assert "" not in found, "the root itself is no member"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_packs_reads_as_it_was(form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name in ("a", "ü" * 80, "x/" * 70 + "y"):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid = 700, 1234567890.5, 70_000_000
            archive.addfile(member, io.BytesIO(bytes(700)))
    assert [entry.path for entry, _ in read(out.getvalue())] == ["a", "ü" * 80, "x/" * 70 + "y"]


@settings(max_examples=30)
@given(st.integers(1, 2000))
def test_chunks_of_any_size_give_the_same(step):
    entries = [TarEntry("a", "file", 0o644, 700), TarEntry("ü", "file", 0o755, 512)]
    data = b"".join(
        tar.header(entry) + b"x" * entry.size + tar.padding(entry.size) for entry in entries
    )
    assert read(data + END, step) == [(entry, b"x" * entry.size) for entry in entries]


def test_contents_need_not_be_read(make):
    data = make.tar_member(b"a", b"x" * 5000) + make.tar_member(b"b", b"y") + END
    assert [entry.path for entry, _ in untar.read([data])] == ["a", "b"]
    first = next(content for _, content in untar.read([data]))
    assert bytes(next(first)) == b"x" * 5000


def test_modes_are_those_of_the_package(make):
    data = make.tar_member(b"su", mode=b"0004755\0") + END
    assert read(data)[0][0].mode == 0o4755


def test_a_size_beyond_octal_is_understood(make):
    size = b"\x80" + (5).to_bytes(11, "big")
    data = make.tar_member(b"a", b"hello", size_field=size) + END
    assert read(data) == [(TarEntry("a", "file", 0o644, 5), b"hello")]
    extended = make.pax(("size", "5"), ("mtime", "1.5")) + make.tar_member(b"a", b"hello", size=0)
    assert read(extended + END) == [(TarEntry("a", "file", 0o644, 5), b"hello")]


HOSTILE = {
    "a wrong checksum": (lambda m: m.tar_member(checksum=b"000000\0 ") + END, "checksum"),
    "no checksum": (lambda m: m.tar_member(checksum=b"        ") + END, "malformed number"),
    "a character device": (lambda m: m.tar_member(kind=b"3") + END, "a character device"),
    "a block device": (lambda m: m.tar_member(kind=b"4") + END, "a block device"),
    "a named pipe": (lambda m: m.tar_member(kind=b"6") + END, "a named pipe"),
    "a sparse file": (lambda m: m.tar_member(kind=b"S") + END, "a sparse file"),
    "a type nobody knows": (lambda m: m.tar_member(kind=b"Z") + END, "unknown type b'Z'"),
    "a sparse file by pax": (
        lambda m: m.pax(("GNU.sparse.major", "1")) + m.tar_member() + END,
        "unknown record 'GNU.sparse.major'",
    ),
    "an extended attribute": (
        lambda m: m.pax(("SCHILY.xattr.security.capability", "x")) + m.tar_member() + END,
        "unknown record",
    ),
    "another character set": (
        lambda m: m.pax(("hdrcharset", "BINARY")) + m.tar_member() + END,
        "unknown record",
    ),
    "a path traversal by pax": (
        lambda m: m.pax(("path", "../../etc/passwd")) + m.tar_member() + END,
        "the name '..'",
    ),
    "a NUL in a pax path": (
        lambda m: m.pax(("path", "a\0b")) + m.tar_member() + END,
        "control character",
    ),
    "a pax path twice": (
        lambda m: m.pax(("path", "a"), ("path", "b")) + m.tar_member() + END,
        "duplicate record b'path' in an extended header",
    ),
    "two pax headers": (
        lambda m: m.pax(("path", "a")) + m.pax(("path", "b")) + m.tar_member() + END,
        "duplicate records in the extended headers",
    ),
    "a long name twice": (
        lambda m: m.tar_member(b"L", b"x\0", kind=b"L") * 2 + m.tar_member() + END,
        "duplicate records in the extended headers",
    ),
    "a pax header without a member": (
        lambda m: m.pax(("path", "a")) + END,
        "extended header without a member",
    ),
    "a pax size beside another in the header": (
        lambda m: m.pax(("size", "0")) + m.tar_member(b"a", b"hello") + END,
        "has 5 bytes in one header and 0 in another",
    ),
    "a pax size that is none": (
        lambda m: m.pax(("size", "-1")) + m.tar_member() + END,
        "malformed size",
    ),
    "a pax record beyond its header": (
        lambda m: m.tar_member(b"p", b"99 path=x\n", kind=b"x") + m.tar_member() + END,
        "malformed extended header",
    ),
    "a pax record without an end": (
        lambda m: m.tar_member(b"p", b"9 path=xx", kind=b"x") + m.tar_member() + END,
        "malformed extended header",
    ),
    "a pax header of gigabytes": (
        lambda m: m.tar_block(kind=b"x", size=1 << 32) + END,
        "extended header of 4294967296 bytes; at most 1048576",
    ),
    "a global header": (
        lambda m: m.pax(("path", "a"), kind=b"g") + m.tar_member() + END,
        "global header that affects members",
    ),
    "a whiteout": (lambda m: m.tar_member(b"a/.wh.b") + END, "whiteout"),
    "an absolute path": (lambda m: m.tar_member(b"/etc/passwd") + END, "absolute"),
    "a traversal": (lambda m: m.tar_member(b"a/../../b") + END, "the name '..'"),
    "a traversal by prefix": (lambda m: m.tar_member(b"b", prefix=b"..") + END, "the name '..'"),
    "a name that is no UTF-8": (lambda m: m.tar_member(b"\xff") + END, "not UTF-8"),
    "a file named as a directory": (lambda m: m.tar_member(b"a/") + END, "the name ''"),
    "a hard link out": (
        lambda m: m.tar_member(b"a", kind=b"1", target=b"../b") + END,
        "the name '..'",
    ),
    "a link with content": (
        lambda m: m.tar_member(b"a", b"x", kind=b"2", target=b"b") + END,
        "is not a file, but has 1 bytes",
    ),
    "a directory with content": (
        lambda m: m.tar_member(b"a", b"x", kind=b"5") + END,
        "is not a file",
    ),
    "a negative size": (
        lambda m: m.tar_block(size_field=b"\xff" * 12) + END,
        "malformed number",
    ),
    "a size beyond the archive": (lambda m: m.tar_block(size=1 << 30) + END, "truncated"),
    "no magic": (lambda m: m.tar_member(magic=bytes(8)) + END, "neither a POSIX nor a GNU"),
    "nothing": (lambda m: b"", "truncated"),
    "no end": (lambda m: m.tar_member(), "truncated"),
    "half an end": (lambda m: m.tar_member() + bytes(512), "truncated"),
    "zeros between members": (
        lambda m: m.tar_member() + bytes(512) + m.tar_member(b"b") + END,
        "between members",
    ),
    "a member after the end": (lambda m: END + m.tar_member(), "trailing bytes after the end"),
    "a cut header": (lambda m: m.tar_member()[:300], "truncated"),
    "a cut content": (lambda m: m.tar_member(b"a", b"x" * 600)[:900], "truncated"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused(case, make):
    build, telling = HOSTILE[case]
    with pytest.raises(InputError) as caught:
        read(build(make))
    assert caught.value.findings[0].code == "layer-unsafe"
    assert telling in str(caught.value)


def test_remarks_in_a_global_header_are_let_pass(make):
    data = make.pax(("comment", "made by git"), kind=b"g") + make.tar_member() + END
    assert [entry.path for entry, _ in read(data)] == ["a"]


@settings(max_examples=150)
@given(st.data())
def test_a_mutated_archive_reads_or_is_refused(make, reads_or_refuses, data):
    archive = bytearray(
        make.tar_member(b"d/", kind=b"5")
        + make.pax(("path", "a" * 120))
        + make.tar_member(b"a", b"x" * 30)
        + make.tar_member(b"L", b"n" * 120 + b"\0", kind=b"L", magic=b"ustar  \0")
        + make.tar_member(b"b", b"y", magic=b"ustar  \0")
        + END
    )
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    # Half of the time the checksums are made right again, so that the fields are reached.
    if data.draw(st.booleans()):
        for start in range(0, len(archive), 512):
            block = archive[start : start + 512]
            block[148:156] = b" " * 8
            if block[257:262] == b"ustar":
                archive[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    with reads_or_refuses("layer-unsafe"):
        read(bytes(archive))
