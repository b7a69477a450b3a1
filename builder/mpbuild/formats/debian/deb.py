"""Reads binary Debian packages (deb(5), deb-control(5), Debian policy 4.6)."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError
from mpbuild.formats.archive import ar, gzip, stream, untar, xz
from mpbuild.formats.archive.tar import Kind, TarEntry
from mpbuild.formats.archive.tree import check_tree
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.debian.control import read_fields

_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"(?:[0-9]+:)?[0-9A-Za-z.+~-]+")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]*")


class DebEntry(NamedTuple):
    """A member of data.tar; ``content`` is empty for all but files."""

    path: str
    kind: Kind
    mode: int
    target: str
    content: bytes


class DebPackage(msgspec.Struct, frozen=True, kw_only=True):
    """The identity and content of a package.

    ``control`` has the fields of the control file, in order and as written; ``scripts`` the text of
    each maintainer script.
    """

    name: str
    version: str
    architecture: str
    control: dict[str, str]
    scripts: dict[str, str]
    entries: tuple[DebEntry, ...]


def read_deb(data: Buffer, *, largest: int = limits.DEB_DATA_BYTES) -> DebPackage:
    """Reads the package in ``data``; ``largest`` bounds the size of the uncompressed data.tar.

    Raises UnsafeError for a malformed or unsafe package, InputError (not-supported-yet) for a
    compression other than gzip, xz and none.
    """
    control_tar, data_tar = _members(data)
    texts = {
        entry.path: content
        for entry, content in _files(control_tar, limits.DEB_CONTROL_BYTES)
        if entry.kind == "file"
    }
    if "control" not in texts:
        raise UnsafeError("the package has no control file")
    control = _control(texts["control"])
    members = tuple(_files(data_tar, largest))
    check_tree((entry for entry, _ in members), absolute_links=True)
    return DebPackage(
        name=_field(control, "Package", _NAME),
        version=_field(control, "Version", _VERSION),
        architecture=_field(control, "Architecture", _ARCHITECTURE),
        control=control,
        scripts={name: texts[name].decode(errors="replace") for name in _SCRIPTS if name in texts},
        entries=tuple(
            DebEntry(entry.path, entry.kind, entry.mode, entry.target, content)
            for entry, content in members
        ),
    )


def _members(data: Buffer) -> tuple[ar.ArMember, ar.ArMember]:
    """control.tar and data.tar; the package has exactly debian-binary, control.tar, data.tar."""
    members = list(ar.read(data))
    stems = [member.name.partition(".tar")[0] for member in members]
    if stems != ["debian-binary", "control", "data"]:
        names = [member.name for member in members[:8]]
        raise UnsafeError(
            f"a package has the members debian-binary, control.tar and data.tar, not {names}"
        )
    version = bytes(members[0].data[:20])
    if version != b"2.0\n":
        raise InputError(
            f"not a package of format 2.0: {version!r}",
            code=Code.NOT_SUPPORTED_YET,
            hint="use the package of a current suite",
        )
    return members[1], members[2]


def _files(member: ar.ArMember, limit: int) -> Iterator[tuple[TarEntry, bytes]]:
    compression = member.name.partition(".tar")[2]
    if compression not in _COMPRESSIONS:
        raise InputError(
            f"unsupported compression of {member.name}",
            code=Code.NOT_SUPPORTED_YET,
            hint="use a package of Debian's archive; gzip, xz and none are supported",
        )
    try:
        chunks = _COMPRESSIONS[compression](member.data)
        for entry, content in untar.read(stream.at_most(chunks, limit)):
            yield entry, b"".join(content)
    except UnsafeError as error:
        raise error.within(member.name) from error


def _plain(data: Buffer) -> Iterator[Buffer]:
    yield data


def _gzip(data: Buffer) -> Iterator[Buffer]:
    return gzip.decompress((data,))


_COMPRESSIONS: dict[str, Callable[[Buffer], Iterator[Buffer]]] = {
    "": _plain,
    ".gz": _gzip,
    ".xz": xz.decompress,
}


def _control(data: bytes) -> dict[str, str]:
    """The fields of the control file, a single paragraph."""
    try:
        return read_fields(data.decode().rstrip("\n").split("\n"))
    except UnicodeDecodeError as error:
        raise UnsafeError("is not UTF-8", where="control") from error
    except InputError as error:
        finding = error.findings[0]
        raise UnsafeError(finding.message, where=f"control: {finding.where}") from error


def _field(control: dict[str, str], name: str, form: re.Pattern[str]) -> str:
    value = control.get(name, "")
    if not form.fullmatch(value):
        raise UnsafeError(f"malformed {name}: {value[:80]!r}", where="control")
    return value
