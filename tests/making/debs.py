"""Debian packages (deb(5)): ar archives of a version, a control archive and a data archive."""

import gzip
import lzma
from collections.abc import Iterable, Mapping

from tests.making.tars import END, tar_member, write_tar

COMPRESSORS = {"xz": lzma.compress, "gz": gzip.compress, "": lambda plain: plain}


def control(name: str, version: str) -> str:
    """The control file of an amd64 package."""
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: made for a test\n"
    )


def write_ar(*members: tuple[str, bytes], sizes: Mapping[int, int] | None = None) -> bytes:
    """An ar archive; ``sizes`` replaces the sizes in the headers, by position."""
    out = b"!<arch>\n"
    for index, (name, data) in enumerate(members):
        size = (sizes or {}).get(index, len(data))
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def write_deb(
    name: str,
    version: str,
    members: Mapping[str, bytes | str | None] | Iterable[tuple],
    scripts: Mapping[str, str] | None = None,
) -> bytes:
    """A Debian package of ``members``, as ``write_tar`` takes them, and maintainer scripts."""
    controls = {"control": control(name, version), **(scripts or {})}
    return write_ar(
        ("debian-binary", b"2.0\n"),
        (
            "control.tar.xz",
            lzma.compress(write_tar({f"./{n}": text.encode() for n, text in controls.items()})),
        ),
        ("data.tar.xz", lzma.compress(write_tar(members))),
    )


def pack_deb(
    data_tar: bytes,
    *,
    control: bytes,
    scripts: Mapping[str, bytes] | None = None,
    compression: str = "xz",
    version: bytes = b"2.0\n",
    sizes: Mapping[int, int] | None = None,
    members: Mapping[str, bytes] | None = None,
) -> bytes:
    """A Debian package of a plain data archive, packed member by member.

    ``members`` of the ar archive replace those with the same stem (``data.tar.zst`` replaces
    ``data.tar.xz``) or come last; ``sizes`` is that of ``write_ar``.
    """
    compress = COMPRESSORS.get(compression, lzma.compress)
    suffix = f".{compression}" if compression else ""
    files = {"control": control, **(scripts or {})}
    control_tar = tar_member(b"./", kind=b"5")
    control_tar += b"".join(tar_member(f"./{name}".encode(), data) for name, data in files.items())
    parts = {
        "debian-binary": version,
        f"control.tar{suffix}": compress(control_tar + END),
        f"data.tar{suffix}": compress(data_tar),
    }
    for name, data in (members or {}).items():
        stem = name.partition(".tar")[0]
        parts = {n if n.partition(".tar")[0] != stem else name: d for n, d in parts.items()}
        parts[name] = data
    return write_ar(*parts.items(), sizes=sizes)
