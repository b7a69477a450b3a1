"""Tar archives: sound ones by the standard library, unsound ones block by block (POSIX pax)."""

import io
import struct
import tarfile
from collections.abc import Collection, Iterable, Mapping

END = bytes(1024)


def write_tar(
    members: Mapping[str, bytes | str | int | None] | Iterable[tuple],
    *,
    executable: Collection[str] = (),
    folder: str = "",
    compression: str = "",
    form: int = tarfile.GNU_FORMAT,
) -> bytes:
    """A tar archive of pairs of path and content, and optionally the mode.

    The content is bytes, ``None`` for a folder, ``->x`` for a symbolic link, ``=>x`` for a hard
    link, an integer for an entry of that type. Files are executable if they are in ``executable``
    or in a folder ``bin``. ``folder`` precedes each path; ``compression`` is that of ``tarfile``,
    such as ``gz``.
    """
    out = io.BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    mode = f"w:{compression}" if compression else "w"
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:
        for path, content, *modes in pairs:
            info = tarfile.TarInfo(folder + path)
            info.mtime = 315532800
            data = b""
            runnable = content is None or path in executable or "/bin/" in f"/{path}"
            info.mode = modes[0] if modes else 0o755 if runnable else 0o644
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type = tarfile.SYMTYPE if content.startswith("->") else tarfile.LNKTYPE
                info.linkname = content[2:]
            elif isinstance(content, int):
                info.type = bytes([content])
            else:
                data, info.size = content, len(content)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_block(
    name: bytes = b"a",
    *,
    kind: bytes = b"0",
    size: int = 0,
    target: bytes = b"",
    prefix: bytes = b"",
    mode: int | bytes = 0o644,
    magic: bytes = b"ustar\x0000",
    size_field: bytes | None = None,
    checksum: bytes | None = None,
) -> bytes:
    """One tar header with the given fields; the checksum is right unless given."""
    block = bytearray(
        struct.pack(
            "100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x",
            name,
            mode if isinstance(mode, bytes) else b"%07o\0" % mode,
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


def tar_member(name: bytes = b"a", content: bytes = b"", **fields) -> bytes:
    """A tar member: header, content, padding."""
    block = tar_block(name, **{"size": len(content)} | fields)
    return block + content + bytes(-len(content) % 512)


def pax_header(*records: tuple[str, str], kind: bytes = b"x") -> bytes:
    """An extended header of a pax archive with ``records``."""
    body = b""
    for key, value in records:
        rest = f" {key}={value}\n".encode()
        length = next(n for n in range(1, 9999) if n == len(str(n)) + len(rest))
        body += str(length).encode() + rest
    return tar_member(b"pax", body, kind=kind)
