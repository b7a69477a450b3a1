"""Builders of small archives, sound ones and lying ones, as one fixture."""

import base64
import contextlib
import hashlib
import lzma
import struct
import zlib
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from mpbuild.base.errors import InputError
from mpbuild.formats.archive import gzip


@dataclass
class Member:
    """A zip member; ``local`` and ``central`` overwrite header fields by name."""

    name: str | bytes
    content: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    raw: bytes | None = None
    local: dict = field(default_factory=dict)
    central: dict = field(default_factory=dict)
    local_extra: bytes = b""
    central_extra: bytes = b""
    descriptor: bytes = b""
    after: bytes = b""


def deflated(data: bytes) -> bytes:
    codec = zlib.compressobj(6, zlib.DEFLATED, -15)
    return codec.compress(data) + codec.flush()


def zip_bytes(members, *, before=b"", comment=b"", end=None, extra_directory=b""):
    """The archive of ``members``; ``end`` overwrites fields of the end record."""
    out = bytearray(before)
    directory = bytearray()
    for member in members:
        name = member.name if isinstance(member.name, bytes) else member.name.encode()
        raw = member.raw
        if raw is None:
            raw = member.content if member.method == 0 else deflated(member.content)
        start = len(out)
        fields = {
            "flags": member.flags,
            "method": member.method,
            "crc": zlib.crc32(member.content),
            "packed": len(raw),
            "size": len(member.content),
        }
        local, central = fields | member.local, fields | {"start": start} | member.central
        out += struct.pack(
            "<4s5H3L2H",
            b"PK\3\4",
            20,
            local["flags"],
            local["method"],
            0,
            33,
            local["crc"],
            local["packed"],
            local["size"],
            len(local.get("name", name)),
            len(member.local_extra),
        )
        out += local.get("name", name) + member.local_extra + raw + member.descriptor + member.after
        directory += struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            3 << 8 | 20,
            20,
            central["flags"],
            central["method"],
            0,
            33,
            central["crc"],
            central["packed"],
            central["size"],
            len(name),
            len(member.central_extra),
            0,
            central.get("disk", 0),
            0,
            member.mode << 16,
            central["start"],
        )
        directory += name + member.central_extra
    directory += extra_directory
    fields = {
        "disk": 0,
        "first": 0,
        "here": len(members),
        "count": len(members),
        "size": len(directory),
        "start": len(out),
        "comment": len(comment),
    } | (end or {})
    return bytes(out + directory + struct.pack("<4s4H2LH", b"PK\5\6", *fields.values()) + comment)


def record_row(path: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def wheel_files(files=None, *, name="demo", version="1.0", scripts="", metadata=None, wheel=None):
    """The files of a sound wheel by path, RECORD last."""
    info = f"{name}-{version}.dist-info"
    everything = {
        "demo/__init__.py": b"answer = 42\n" * 20,
        "demo/native.so": bytes(range(256)) * 8,
        f"{info}/METADATA": (
            metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText: too\n"
        ).encode(),
        f"{info}/WHEEL": (
            wheel or "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ).encode(),
        **(files or {}),
    }
    if scripts:
        everything[f"{info}/entry_points.txt"] = scripts.encode()
    rows = "".join(record_row(path, content) for path, content in everything.items())
    return everything | {f"{info}/RECORD": f"{rows}{info}/RECORD,,\n".encode()}


def wheel_bytes(files=None, **options):
    return zip_bytes([Member(path, data) for path, data in wheel_files(files, **options).items()])


def tar_block(
    name=b"a",
    *,
    kind=b"0",
    size=0,
    target=b"",
    prefix=b"",
    mode=b"0000644\0",
    magic=b"ustar\x0000",
    size_field=None,
    checksum=None,
):
    """One tar header with any field as it is given."""
    block = bytearray(
        struct.pack(
            "100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x",
            name,
            mode,
            b"0000000\0",
            b"0000000\0",
            size_field or b"%011o\0" % size,
            b"00000000000\0",
            b" " * 8,
            kind,
            target,
            magic,
            b"",
            b"",
            b"",
            b"",
            prefix,
        )
    )
    block[148:156] = checksum or b"%06o\0 " % sum(block)
    return bytes(block)


def tar_member(name=b"a", content=b"", **fields):
    block = tar_block(name, **{"size": len(content)} | fields)
    return block + content + bytes(-len(content) % 512)


def pax(*records: tuple[str, str], kind=b"x"):
    body = b""
    for key, value in records:
        rest = f" {key}={value}\n".encode()
        length = next(n for n in range(1, 9999) if n == len(str(n)) + len(rest))
        body += str(length).encode() + rest
    return tar_member(b"pax", body, kind=kind)


def ar_bytes(*members: tuple[str, bytes], sizes=None):
    out = b"!<arch>\n"
    for index, (name, data) in enumerate(members):
        size = (sizes or {}).get(index, len(data))
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


CONTROL = """Package: demo
Version: 1:2.0-1+b1
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
Description: a package
 with a longer text
 .
 and its end
"""


def deb_bytes(data_tar=None, *, control=CONTROL, scripts=None, compression="xz", **parts):
    """A package; ``data_tar`` is the plain tar, ``parts`` replace whole members."""
    compress = {
        "xz": lzma.compress,
        "gz": gzip.compress,
        "": lambda plain: plain,
    }.get(compression, lzma.compress)
    suffix = f".{compression}" if compression else ""
    controls = {"control": control, **(scripts or {})}
    control_tar = tar_member(b"./", kind=b"5") + b"".join(
        tar_member(f"./{name}".encode(), text.encode()) for name, text in controls.items()
    )
    if data_tar is None:
        data_tar = tar_member(b"./", kind=b"5") + tar_member(b"./usr", kind=b"5")
        data_tar += tar_member(b"./usr/data", b"content", mode=b"0000755\0") + bytes(1024)
    return ar_bytes(
        ("debian-binary", parts.get("version", b"2.0\n")),
        (f"control.tar{suffix}", compress(control_tar + bytes(1024))),
        (f"data.tar{suffix}", compress(data_tar)),
    )


def elf_bytes(
    *,
    needed=(),
    soname=None,
    rpath=None,
    runpath=None,
    versions_needed=None,
    versions_defined=(),
    interpreter=None,
    machine=62,
    dynamic=None,
    raw_needs=None,
):
    """A 64-bit little-endian shared object of headers, strings, versions and a dynamic section.

    ``dynamic`` gives further dynamic entries, which come first; ``raw_needs`` the bytes of the
    versions needed and how many there are.
    """
    strings = bytearray(b"\0")

    def text(value: str) -> int:
        strings.extend(value.encode() + b"\0")
        return len(strings) - len(value.encode()) - 1

    base = 0x1000
    entries = list(dynamic or [])
    entries += [(1, text(name)) for name in needed]
    entries += [
        (tag, text(value))
        for tag, value in ((14, soname), (15, rpath), (29, runpath))
        if value is not None
    ]
    needs = b""
    libraries = list((versions_needed or {}).items())
    for index, (library, versions) in enumerate(libraries):
        size = 16 + 16 * len(versions)
        last = index == len(libraries) - 1
        needs += struct.pack("<2H3L", 1, len(versions), text(library), 16, 0 if last else size)
        for number, version in enumerate(versions):
            weak = version.startswith("weak:")
            following = 0 if number == len(versions) - 1 else 16
            name = text(version.removeprefix("weak:"))
            needs += struct.pack("<L2H2L", 0, 2 if weak else 0, 2, name, following)
    needs, needs_count = raw_needs or (needs, len(libraries))
    definitions = b""
    names = [soname or "base", *versions_defined] if versions_defined else []
    for index, version in enumerate(names):
        following = 0 if index == len(names) - 1 else 28
        flags = 1 if index == 0 else 0
        definitions += struct.pack("<4H3L", 1, flags, index + 1, 1, 0, 20, following)
        definitions += struct.pack("<2L", text(version), 0)
    count = 2 + (interpreter is not None)
    start = 64 + 56 * count
    path = interpreter.encode() + b"\0" if interpreter is not None else b""
    at_strings = start + len(path)
    at_needs = at_strings + len(strings)
    at_definitions = at_needs + len(needs)
    at_dynamic = at_definitions + len(definitions)
    if needs:
        entries += [(0x6FFFFFFE, base + at_needs), (0x6FFFFFFF, needs_count)]
    if definitions:
        entries += [(0x6FFFFFFC, base + at_definitions), (0x6FFFFFFD, len(names))]
    entries += [(5, base + at_strings), (10, len(strings)), (0, 0)]
    table = b"".join(struct.pack("<2Q", *entry) for entry in entries)
    size = at_dynamic + len(table)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<16s2HL3QL6H", ident, 3, machine, 1, 0, 64, 0, 0, 64, 56, count, 64, 0, 0)
    segments = struct.pack("<2L6Q", 1, 5, 0, base, base, size, size, 4096)
    address = base + at_dynamic
    segments += struct.pack("<2L6Q", 2, 6, at_dynamic, address, address, len(table), len(table), 8)
    if path:
        segments += struct.pack("<2L6Q", 3, 4, start, base, base, len(path), len(path), 1)
    return header + segments + path + bytes(strings) + needs + definitions + table


@pytest.fixture(scope="session")
def make():
    """The builders by what they make."""
    return SimpleNamespace(
        Member=Member,
        ar=ar_bytes,
        deb=deb_bytes,
        deflated=deflated,
        elf=elf_bytes,
        pax=pax,
        tar_block=tar_block,
        tar_member=tar_member,
        wheel=wheel_bytes,
        wheel_files=wheel_files,
        zip=zip_bytes,
    )


@pytest.fixture(scope="session")
def reads_or_refuses():
    """A block that may do its work, or be refused with one of the codes: nothing else."""

    @contextlib.contextmanager
    def block(*codes):
        try:
            yield
        except InputError as error:
            if error.findings[0].code not in codes:
                raise

    return block
