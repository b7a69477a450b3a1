"""Unpacking a layer: the same folder under every umask, and no privileges."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from mpbuild.base import epoch
from mpbuild.base.errors import InputError
from mpbuild.effects.store.unpacker import Unpacker
from mpbuild.formats.archive.tar import TarEntry


class Node(msgspec.Struct, frozen=True):
    entry: TarEntry
    content: bytes = b""


def folder(path, mode=0o755):
    return Node(TarEntry(path, "directory", mode))


def file(path, content=b"", mode=0o644):
    return Node(TarEntry(path, "file", mode, len(content)), content)


def link(path, target, kind="symlink"):
    return Node(TarEntry(path, kind, 0o777, target=target))


def unpack(root, nodes):
    with Unpacker(root) as unpacker:
        for node in nodes:
            unpacker.begin(node)
            for at in range(0, len(node.content), 3):
                unpacker.write(node.content[at : at + 3])
    return root


NODES = [
    folder("a", 0o700),
    folder("a/b"),
    file("a/b/file", b"content"),
    file("a/b/tool", b"#!", 0o755),
    link("a/b/up", "../.."),
    link("a/b/absolute", "/etc/passwd"),
    link("a/b/second", "a/b/file", "hardlink"),
    folder("tmp", 0o1777),
    file("z"),
]


def listing(root):
    """Kind, mode, time and content of everything, by path; the root too."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        target = str(path.readlink()) if path.is_symlink() else ""
        name = path.relative_to(root).as_posix()
        found[name] = (oct(status.st_mode), status.st_mtime, content, target)
    return found


def test_everything_is_made_as_in_its_entry(tmp_path):
    found = listing(unpack(tmp_path / "tree", NODES))
    assert {
        name: (mode, content or target) for name, (mode, _, content, target) in found.items()
    } == {
        ".": ("0o40755", ""),
        "a": ("0o40700", ""),
        "a/b": ("0o40755", ""),
        "a/b/absolute": ("0o120777", "/etc/passwd"),
        "a/b/file": ("0o100644", b"content"),
        "a/b/second": ("0o100644", b"content"),
        "a/b/tool": ("0o100755", b"#!"),
        "a/b/up": ("0o120777", "../.."),
        "tmp": ("0o41777", ""),
        "z": ("0o100644", ""),
    }
    assert {time for _, time, _, _ in found.values()} == {epoch.SECONDS}
    assert (tmp_path / "tree/a/b/second").samefile(tmp_path / "tree/a/b/file")


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_the_umask_decides_nothing(tmp_path, mask):
    usual = listing(unpack(tmp_path / "usual", NODES))
    before = os.umask(mask)
    try:
        assert listing(unpack(tmp_path / "other", NODES)) == usual
    finally:
        os.umask(before)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755, 0o1755])
def test_no_file_gets_a_privilege(tmp_path, mode):
    """The tree belongs to the user of mpbuild, who may be root, and other users can read it."""
    root = unpack(tmp_path / "tree", [file("su", b"", mode), folder("shared", 0o2777)])
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "shared").stat().st_mode) == 0o777


def test_nothing_is_unpacked_over_what_is_there(tmp_path):
    (tmp_path / "tree").mkdir()
    with pytest.raises(FileExistsError):
        unpack(tmp_path / "tree", NODES)
    with pytest.raises(InputError, match="duplicate entry a"):
        unpack(tmp_path / "other", [file("a"), file("a", b"again")])


def test_an_error_closes_what_was_open(tmp_path):
    def cut_off():
        yield file("a", b"content")
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        unpack(tmp_path / "tree", cut_off())
    assert "tree" not in "".join(str(fd.resolve()) for fd in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([link("x", "/tmp"), file("x/evil", b"1")], "no folder before x/evil"),
        ([link("x", "/tmp"), folder("x"), file("x/evil", b"1")], "duplicate entry x"),
        ([file("a/b", b"1")], "no folder before a/b"),
        ([link("x", "/etc"), link("y", "x/passwd", "hardlink")], "which is not an earlier file"),
        ([file("a", b"1"), file("a", b"2")], "duplicate entry a"),
        ([file("a", b"1"), folder("a")], "duplicate entry a"),
    ],
)
def test_nothing_is_written_through_a_link_whatever_was_checked_before(tmp_path, nodes, message):
    with pytest.raises(InputError, match=message) as caught:
        unpack(tmp_path / "tree", nodes)
    assert caught.value.findings[0].code == "layer-unsafe"
