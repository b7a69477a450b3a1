"""Hostile inputs, made byte by byte, and the ground round them that must stay as it was."""

import base64
import contextlib
import csv
import gzip
import hashlib
import io
import lzma
import re
import shutil
import stat
import struct
import warnings
import zipfile
from types import SimpleNamespace

import pytest

from mpbuild.base.errors import InputError
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock

INFO = "numpy-2.0.dist-info"
WHEEL = "numpy-2.0-py3-none-any.whl"
DEB = "python3.11-minimal_3.11.2-6_amd64.deb"
CODE = b"answer = 42\n" * 40
CONTROL = b"Package: python3.11-minimal\nVersion: 3.11.2-6\nArchitecture: amd64\n"
END = bytes(1024)

# Of a zip's headers: offset in the local one, in the central one, and form.
FIELDS = {
    "flags": (6, 8, "<H"),
    "method": (8, 10, "<H"),
    "crc": (14, 16, "<L"),
    "packed": (18, 20, "<L"),
    "size": (22, 24, "<L"),
    "mode": (None, 40, "<H"),
    "start": (None, 42, "<L"),
}


def wheel_files(files=None, *, scripts="", metadata=b"", record=True, sizes=True):
    """The files of a sound wheel of numpy 2.0 and ``files``, RECORD last."""
    everything = {
        "numpy/__init__.py": CODE,
        **(files or {}),
        f"{INFO}/METADATA": metadata or b"Metadata-Version: 2.1\nName: numpy\nVersion: 2.0\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if scripts:
        everything[f"{INFO}/entry_points.txt"] = scripts.encode()
    if record:
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        for path, data in everything.items():
            raw = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            writer.writerow((path, f"sha256={raw}", len(data) if sizes else ""))
        writer.writerow((f"{INFO}/RECORD", "", ""))
        everything[f"{INFO}/RECORD"] = rows.getvalue().encode("utf-8", "surrogateescape")
    return everything


def zipped(files, *, before=b""):
    """A zip of pairs of path and bytes, or of a mapping of these; ``before`` precedes it."""
    out = io.BytesIO()
    out.write(before)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items() if isinstance(files, dict) else files:
            member = zipfile.ZipInfo()
            member.filename = path  # as it is: the constructor would stop at a NUL
            member.external_attr = 0o100644 << 16
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of names that stand twice
                archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def wheel(files=None, **options):
    """A wheel of numpy 2.0."""
    return zipped(wheel_files(files, **options))


def patched(data, name="numpy/__init__.py", *, local=None, central=None, both=None):
    """``data`` with other values in the headers of one member."""
    out = bytearray(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.getinfo(name).header_offset
        directory = archive.start_dir
    at = next(at for at in _central_headers(data, directory) if _name(data, at) == name.encode())
    for place, base, fields in (
        (0, start, local),
        (1, at, central),
        (0, start, both),
        (1, at, both),
    ):
        for field, value in (fields or {}).items():
            offset, form = FIELDS[field][place], FIELDS[field][2]
            if offset is not None:
                struct.pack_into(form, out, base + offset, value)
    return bytes(out)


def _central_headers(data, at):
    while data[at : at + 4] == b"PK\1\2":
        yield at
        at += 46 + sum(struct.unpack_from("<3H", data, at + 28))


def _name(data, at):
    return data[at + 46 : at + 46 + struct.unpack_from("<H", data, at + 28)[0]]


def start(data, name="numpy/__init__.py"):
    """Where a member of a zip begins."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.getinfo(name).header_offset


def smuggled(data, hidden):
    """``hidden`` between the last member of a zip and its directory."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at = archive.start_dir
    out = bytearray(data[:at] + hidden + data[at:])
    struct.pack_into("<L", out, len(out) - 6, at + len(hidden))
    return bytes(out)


def tar_block(
    name=b"usr/x", *, kind=b"0", size=0, target=b"", mode=0o644, raw_size=b"", magic=b"ustar\x0000"
):
    """A tar header as it is told, with a good checksum."""
    block = bytearray(
        struct.pack(
            "100s8s8s8s12s12s8s1s100s8s247x",
            name,
            b"%07o" % mode,
            b"0000000",
            b"0000000",
            raw_size or b"%011o" % size,
            b"%011o" % 315532800,
            b" " * 8,
            kind,
            target,
            magic,
        )
    )
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tar_member(name=b"usr/x", content=b"", **fields):
    """A tar member: header, content, padding."""
    block = tar_block(name, **{"size": len(content), **fields})
    return block + content + bytes(-len(content) % 512)


def pax(*, kind=b"x", **records):
    """An extended header; two underlines in a key stand for a full stop."""
    body = b""
    for key, value in records.items():
        rest = f" {key.replace('__', '.')}={value}\n".encode()
        length = next(n for n in range(1, 9999) if n == len(str(n)) + len(rest))
        body += str(length).encode() + rest
    return tar_member(b"pax", body, kind=kind)


def ar(*members, sizes=None):
    """An ar archive; ``sizes`` are said instead of the true ones, by position."""
    out = b"!<arch>\n"
    for index, (name, data) in enumerate(members):
        size = (sizes or {}).get(index, len(data))
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def deb(tar=b"", *, end=END, control=CONTROL, sizes=None, **members):
    """The Debian package of the image's Python, with ``tar`` before a sound rest of its data."""
    data = tar + tar_member(b"./usr/bin/python3.11", b"#!/bin/false\n", mode=0o755) + end
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(tar_member(b"./control", control) + END),
        "data.tar.xz": lzma.compress(data, preset=0),
    }
    for key, value in members.items():
        name = key.replace("_", ".")
        stem = name.partition(".tar")[0]
        parts = {n if n.partition(".tar")[0] != stem else name: d for n, d in parts.items()}
        parts[name] = value
    return ar(*parts.items(), sizes=sizes)


def elf(*, needed="libc.so.6", cut=None):
    """A 64-bit shared object that needs a library."""
    strings = b"\0" + needed.encode() + b"\0"
    at = 64 + 2 * 56
    table = b"".join(
        struct.pack("<2Q", *entry)
        for entry in ((1, 1), (5, 0x1000 + at), (10, len(strings)), (0, 0))
    )
    dynamic = at + len(strings)
    size = dynamic + len(table)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<16s2HL3QL6H", ident, 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    head += struct.pack("<2L6Q", 1, 5, 0, 0x1000, 0x1000, size, size, 4096)
    address = 0x1000 + dynamic
    head += struct.pack("<2L6Q", 2, 6, dynamic, address, address, len(table), len(table), 8)
    return (head + strings + table)[:cut]


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
        ar=ar,
        deb=deb,
        elf=elf,
        layer=layer,
        patched=patched,
        pax=pax,
        smuggled=smuggled,
        start=start,
        tar_block=tar_block,
        tar_member=tar_member,
        wheel=wheel,
        wheel_files=wheel_files,
        zipped=zipped,
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
