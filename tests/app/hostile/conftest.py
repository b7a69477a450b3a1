"""Hostile inputs, made byte by byte, and the ground round them that must stay as it was."""

import contextlib
import gzip
import hashlib
import re
import shutil
import stat
from types import SimpleNamespace

import pytest

from mpbuild.base.errors import InputError
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from tests.making.debs import pack_deb, write_ar
from tests.making.elf import write_shared_object
from tests.making.tars import END, pax_header, tar_block, tar_member
from tests.making.wheels import wheel_files
from tests.making.zips import hide_in_zip, member_start, patch_zip, write_zip

INFO = "numpy-2.0.dist-info"
WHEEL = "numpy-2.0-py3-none-any.whl"
DEB = "python3.11-minimal_3.11.2-6_amd64.deb"
CODE = b"answer = 42\n" * 40
CONTROL = b"Package: python3.11-minimal\nVersion: 3.11.2-6\nArchitecture: amd64\n"


def numpy_files(files=None, *, scripts="", metadata=b"", **options):
    """The files of a sound wheel of numpy 2.0 and ``files``, RECORD last."""
    everything = {"numpy/__init__.py": CODE, **(files or {})}
    overrides = {"METADATA": metadata} if metadata else {}
    return wheel_files(WHEEL, everything, entry_points=scripts, overrides=overrides, **options)


def wheel(files=None, **options):
    """A wheel of numpy 2.0."""
    return write_zip(numpy_files(files, **options))


def patched(data, name="numpy/__init__.py", **fields):
    """``data`` with other values in the headers of one member."""
    return patch_zip(data, name, **fields)


def start(data, name="numpy/__init__.py"):
    """The offset of a member's local header."""
    return member_start(data, name)


def deb(tar=b"", *, end=END, control=CONTROL, sizes=None, **members):
    """The Debian package of the image's Python, with ``tar`` before a sound rest of its data.

    ``members`` replaces members of the ar archive; an underscore stands for a full stop.
    """
    data = tar + tar_member(b"./usr/bin/python3.11", b"#!/bin/false\n", mode=0o755) + end
    members = {name.replace("_", "."): content for name, content in members.items()}
    return pack_deb(data, control=control, sizes=sizes, members=members)


def pax(*, kind=b"x", **records):
    """An extended header; two underscores in a key stand for a full stop."""
    pairs = ((key.replace("__", "."), value) for key, value in records.items())
    return pax_header(*pairs, kind=kind)


def elf(*, needed="libc.so.6", cut=None):
    """A shared object that needs a library, cut off after ``cut`` bytes."""
    return write_shared_object(needed=[needed])[:cut]


def layer(*members, end=END):
    """A layer's blob of raw tar members."""
    return gzip.compress(b"".join(members) + end, mtime=0)


@pytest.fixture(scope="session")
def craft():
    """The builders by what they make."""
    return SimpleNamespace(
        CODE=CODE,
        CONTROL=CONTROL,
        END=END,
        INFO=INFO,
        ar=write_ar,
        deb=deb,
        elf=elf,
        layer=layer,
        patched=patched,
        pax=pax,
        smuggled=hide_in_zip,
        start=start,
        tar_block=tar_block,
        tar_member=tar_member,
        wheel=wheel,
        wheel_files=numpy_files,
        zipped=write_zip,
    )


def listing(root, spared):
    """Every entry below ``root`` but those below ``spared``: what it is, and what it holds."""
    found = {}
    waiting = [root]
    while waiting:
        for path in waiting.pop().iterdir():
            if path in spared:
                continue
            about = path.lstat()
            held = str(path.readlink()) if stat.S_ISLNK(about.st_mode) else ""
            if stat.S_ISREG(about.st_mode):
                held = path.read_bytes()
            found[path] = (about.st_mode, about.st_mtime_ns, about.st_nlink, held)
            if stat.S_ISDIR(about.st_mode):
                waiting.append(path)
    return found


class Ground:
    """Where a hostile input is read: deep in a folder whose every other entry is a canary."""

    def __init__(self, tiny, root, cli):
        self._root = root
        self._cli = cli
        self.here = root / "a/b/c/d/e/here"
        self.here.mkdir(parents=True)
        self.canary = root / "canary"
        self.canary.mkdir()
        (self.canary / "file").write_text("as it was\n")
        (self.canary / "link").symlink_to("file")
        (root / "a/b/canary").write_text("as it was\n")
        self.store = self.here / "store"
        self.spared = [self.here / name for name in ("store", "made", "state")]
        for path in self.spared:
            path.mkdir()
        self.output = self.here / "made/layout"
        shutil.copytree(tiny.store.path, self.store, dirs_exist_ok=True)
        for name in ("last", "trees"):
            shutil.rmtree(self.store / name, ignore_errors=True)
        self.workspace = self.here / "workspace"
        shutil.copytree(tiny.workspace, self.workspace)
        self._locks = {path: path.read_text() for path in self.workspace.rglob("*.cpu.toml")}

    @contextlib.contextmanager
    def untouched(self):
        """Nothing outside of store, state and output is made, changed or removed."""
        before = listing(self._root, self.spared)
        yield
        assert listing(self._root, self.spared) == before

    def build(self, *, name, data):
        """The answer to building the package whose locks name ``data`` as the file ``name``."""
        digest = hashlib.sha256(data).hexdigest()
        (self.store / "blobs/sha256" / digest).write_bytes(data)
        for path, text in self._locks.items():
            form = pylock if path.name.startswith("pylock.") else deblock
            edited = renamed(text, name, digest, len(data))
            # What the reader refuses is refused before anybody looks at who wrote it.
            with contextlib.suppress(InputError):
                edited = form.write(form.read(edited, file=path.name))
            path.write_text(edited)
        words = ("build", "//...", "--offline", "--output", self.output)
        with self.untouched():
            return self.command("-C", self.workspace, *words)

    def command(self, *words):
        """The answer to a command, with a store of its own."""
        return self._cli(*words, store=self.store)


def renamed(text, name, digest, size):
    """A lock that gives the file ``name`` another digest and size."""
    if name.endswith(".whl"):
        pattern = rf'(path = "wheels/{re.escape(name)}", size = )\d+(, hashes = {{ sha256 = ")\w+'
        return re.sub(pattern, rf"\g<1>{size}\g<2>{digest}", text)
    pattern = rf'({re.escape(name)}"\nsize = )\d+(\nsha256 = ")\w+'
    return re.sub(pattern, rf"\g<1>{size}\g<2>{digest}", text)


@pytest.fixture
def ground(tiny, tmp_path, cli, monkeypatch):
    """The ground that a hostile input is read on."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a/b/c/d/e/here/state"))
    return Ground(tiny, tmp_path, cli)
