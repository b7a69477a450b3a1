"""ELF files (System V ABI, gABI 4) for x86-64: shared objects without code, and a small program."""

import struct
from collections.abc import Iterable, Mapping

X86_64 = 62


def write_shared_object(
    *,
    needed: Iterable[str] = (),
    soname: str | None = None,
    rpath: str | None = None,
    runpath: str | None = None,
    needs: Mapping[str, Iterable[str]] | None = None,
    defines: Iterable[str] = (),
    interpreter: str | None = None,
    machine: int = X86_64,
    dynamic: Iterable[tuple[int, int]] = (),
    raw_needs: tuple[bytes, int] | None = None,
    gap: int = 0,
    after: int = 0,
) -> bytes:
    """A 64-bit little-endian shared object: headers, strings, versions and a dynamic section.

    ``needs`` gives the versions that are needed by library (``weak:V`` is a weak need), ``defines``
    the versions that it defines. ``dynamic`` entries precede all others; ``raw_needs`` replaces the
    table of needed versions by these bytes and their count. ``gap`` and ``after`` are the zero
    bytes in front of the tables and behind them.
    """
    strings = bytearray(b"\0")

    def text(value: str) -> int:
        strings.extend(value.encode() + b"\0")
        return len(strings) - len(value.encode()) - 1

    base = 0x1000
    entries = list(dynamic)
    entries += [(1, text(name)) for name in needed]
    entries += [
        (tag, text(value))
        for tag, value in ((14, soname), (15, rpath), (29, runpath))
        if value is not None
    ]
    versions = {library: tuple(names) for library, names in (needs or {}).items()}
    needs_table, needs_count = raw_needs or (_needs(versions, text), len(versions))
    names = [soname or "base", *defines] if defines else []
    definitions = _definitions(names, text)
    count = 2 + (interpreter is not None)
    start = 64 + 56 * count
    path = interpreter.encode() + b"\0" if interpreter is not None else b""
    at_strings = start + len(path) + gap
    at_needs = at_strings + len(strings)
    at_definitions = at_needs + len(needs_table)
    at_dynamic = at_definitions + len(definitions)
    if needs_table:
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
    tables = bytes(gap) + bytes(strings) + needs_table + definitions + table
    return header + segments + path + tables + bytes(after)


def _needs(versions: Mapping[str, tuple[str, ...]], text) -> bytes:
    """The table of needed versions (SHT_GNU_verneed)."""
    table = b""
    for left, (library, names) in zip(range(len(versions))[::-1], versions.items(), strict=True):
        size = 16 + 16 * len(names)
        table += struct.pack("<2H3L", 1, len(names), text(library), 16, size if left else 0)
        for rest, name in zip(range(len(names))[::-1], names, strict=True):
            weak = 2 if name.startswith("weak:") else 0
            at = text(name.removeprefix("weak:"))
            table += struct.pack("<L2H2L", 0, weak, 2, at, 16 if rest else 0)
    return table


def _definitions(names: list[str], text) -> bytes:
    """The table of defined versions (SHT_GNU_verdef); the first is that of the file itself."""
    table = b""
    for index, name in enumerate(names):
        following = 28 if index + 1 < len(names) else 0
        table += struct.pack("<4H3L", 1, not index, index + 1, 1, 0, 20, following)
        table += struct.pack("<2L", text(name), 0)
    return table


def write_program(text: str) -> bytes:
    """A static program for Linux that writes ``text`` to standard output and exits with 0."""
    base, headers, length = 0x400000, 64 + 56, 34
    code = b"\xb8\1\0\0\0\xbf\1\0\0\0\xbe" + struct.pack("<I", base + headers + length)
    code += b"\xba" + struct.pack("<I", len(text)) + b"\x0f\5\xb8\x3c\0\0\0\x31\xff\x0f\5"
    size = headers + length + len(text)
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    entry = base + headers
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 2, X86_64, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return head + segment + code.ljust(length, b"\x90") + text.encode()
