"""Zip archives: sound ones by the standard library, unsound ones byte by byte (APPNOTE.TXT 6.3)."""

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

# Fields of a member's headers: offset in the local header, offset in the central header, format.
FIELDS = {
    "flags": (6, 8, "<H"),
    "method": (8, 10, "<H"),
    "crc": (14, 16, "<L"),
    "packed": (18, 20, "<L"),
    "size": (22, 24, "<L"),
    "mode": (None, 40, "<H"),
    "start": (None, 42, "<L"),
}


def write_zip(
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]],
    *,
    before: bytes = b"",
    stored: Collection[str] = (),
    executable: Collection[str] = (),
    flags: int = 0,
    zip64: bool = False,
) -> bytes:
    """A zip archive of ``files``, which may contain a name twice; ``before`` precedes it.

    Members are deflated, except those in ``stored``. ``flags`` are set in each member's header.
    """
    out = io.BytesIO()
    out.write(before)
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate name")
        for path, data in files.items() if isinstance(files, Mapping) else files:
            member = zipfile.ZipInfo()
            member.filename = path  # the constructor would cut it at a NUL
            mode = 0o40755 if path.endswith("/") else 0o100755 if path in executable else 0o100644
            member.external_attr = mode << 16
            member.flag_bits |= flags
            member.compress_type = zipfile.ZIP_STORED if path in stored else zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=zip64) as file:
                file.write(data)
    return out.getvalue()


def deflated(data: bytes) -> bytes:
    """``data`` as a raw DEFLATE stream (RFC 1951)."""
    codec = zlib.compressobj(6, zlib.DEFLATED, -15)
    return codec.compress(data) + codec.flush()


@dataclass
class Member:
    """A member of ``pack_zip``; ``local`` and ``central`` override header fields by name."""

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


def pack_zip(members, *, before=b"", comment=b"", end=None, extra_directory=b""):
    """The archive of ``members``; ``end`` overrides fields of the end record."""
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


def patch_zip(data: bytes, name: str, *, local=None, central=None, both=None) -> bytes:
    """``data`` with other values in the headers of the member ``name``."""
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
        for field_name, value in (fields or {}).items():
            offset, form = FIELDS[field_name][place], FIELDS[field_name][2]
            if offset is not None:
                struct.pack_into(form, out, base + offset, value)
    return bytes(out)


def _central_headers(data: bytes, at: int):
    while data[at : at + 4] == b"PK\1\2":
        yield at
        at += 46 + sum(struct.unpack_from("<3H", data, at + 28))


def _name(data: bytes, at: int) -> bytes:
    return data[at + 46 : at + 46 + struct.unpack_from("<H", data, at + 28)[0]]


def member_start(data: bytes, name: str) -> int:
    """The offset of a member's local header."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.getinfo(name).header_offset


def hide_in_zip(data: bytes, hidden: bytes) -> bytes:
    """``data`` with ``hidden`` between its last member and its directory."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at = archive.start_dir
    out = bytearray(data[:at] + hidden + data[at:])
    struct.pack_into("<L", out, len(out) - 6, at + len(hidden))
    return bytes(out)
