"""Reads wheels and checks that their metadata is consistent.

Follows packaging.python.org, "Binary distribution format" and "Entry points specification";
wheel_record.py checks RECORD.
"""

import configparser
import re
from collections.abc import Mapping
from email.message import Message
from email.parser import HeaderParser

import msgspec
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.archive.zip import ZipEntry, read_archive
from mpbuild.formats.python.wheel_record import RecordRow, check_record, read_record

_SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. +-]*")
_REFERENCE = re.compile(r"([\w.]+)\s*:\s*([\w.]+)\s*(?:\[[^\]]*\])?")


class EntryPoint(msgspec.Struct, frozen=True):
    """A script that installers make: it calls ``attribute`` of ``module``."""

    name: str
    module: str
    attribute: str


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """The identity and content of a wheel.

    ``name`` and ``version`` are normalized. ``tags`` are those of the file name, ``declared_tags``
    those of WHEEL, both sorted; they need not agree.
    """

    name: str
    version: str
    tags: tuple[str, ...]
    declared_tags: tuple[str, ...]
    root_is_purelib: bool
    dist_info: str
    entries: tuple[ZipEntry, ...]
    record: dict[str, RecordRow]
    console_scripts: tuple[EntryPoint, ...]
    gui_scripts: tuple[EntryPoint, ...]


def read_wheel(data: Buffer, filename: str) -> Wheel:
    """Reads the wheel in ``data``; inflates only its metadata.

    Raises UnsafeError for an unsafe archive and an incomplete RECORD, InputError (content-mismatch)
    if file name, ``.dist-info`` and METADATA disagree.
    """
    name, version, tags = _parse_filename(filename)
    entries = read_archive(data)
    files = {entry.name: entry for entry in entries if not entry.is_directory}
    dist_info = _dist_info(files, name, version)
    _check_metadata(_headers(files, f"{dist_info}/METADATA"), name, version)
    declared = _headers(files, f"{dist_info}/WHEEL")
    _check_wheel_version(declared)
    record = read_record(_text(files, f"{dist_info}/RECORD"))
    check_record(files, record, dist_info)
    console_scripts, gui_scripts = _scripts(files, f"{dist_info}/entry_points.txt")
    return Wheel(
        name=name,
        version=str(version),
        tags=tags,
        declared_tags=tuple(sorted(declared.get_all("Tag", []))),
        root_is_purelib=_only(declared, "Root-Is-Purelib").lower() == "true",
        dist_info=dist_info,
        entries=entries,
        record=record,
        console_scripts=console_scripts,
        gui_scripts=gui_scripts,
    )


def _parse_filename(filename: str) -> tuple[str, Version, tuple[str, ...]]:
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise InputError(
            f"not the file name of a wheel: {error}", code=Code.CONTENT_MISMATCH
        ) from error
    return name, version, tuple(sorted(map(str, tags)))


def _dist_info(files: Mapping[str, ZipEntry], name: str, version: Version) -> str:
    folders = {path.partition("/")[0] for path in files if "/" in path}
    found = sorted(folder for folder in folders if folder.endswith(".dist-info"))
    if len(found) != 1:
        raise UnsafeError(f"a wheel has one .dist-info folder, not {found[:3]}")
    stem = found[0].removesuffix(".dist-info")
    its_name, _, its_version = stem.partition("-")
    _check_identity(its_name, its_version, name, version, found[0])
    return found[0]


def _check_metadata(metadata: Message, name: str, version: Version) -> None:
    _check_identity(_only(metadata, "Name"), _only(metadata, "Version"), name, version, "METADATA")


def _check_identity(
    its_name: str, its_version: str, name: str, version: Version, where: str
) -> None:
    try:
        same = canonicalize_name(its_name) == name and Version(its_version) == version
    except InvalidVersion:
        same = False
    if not same:
        raise InputError(
            f"has {its_name[:80]} {its_version[:80]}, the file name {name} {version}",
            where=where,
            code=Code.CONTENT_MISMATCH,
            hint="restore the file name under which the wheel was published",
        )


def _check_wheel_version(declared: Message) -> None:
    wheel_version = _only(declared, "Wheel-Version")
    if not re.fullmatch(r"1\.[0-9]+", wheel_version):
        raise InputError(
            f"Wheel-Version {wheel_version[:80]!r} is not 1.x",
            where="WHEEL",
            code=Code.NOT_SUPPORTED_YET,
            hint="use an older build of the package",
        )


def _text(files: Mapping[str, ZipEntry], path: str) -> str:
    entry = files.get(path)
    if entry is None:
        raise UnsafeError(f"the wheel has no {path}")
    if entry.size > limits.PYTHON_METADATA_BYTES:
        raise UnsafeError(f"{entry.size} bytes of metadata", where=path)
    try:
        return b"".join(entry.inflated()).decode()
    except UnicodeDecodeError as error:
        raise UnsafeError("is not UTF-8", where=path) from error


def _headers(files: Mapping[str, ZipEntry], path: str) -> Message:
    return HeaderParser().parsestr(_text(files, path))


def _only(headers: Message, key: str) -> str:
    values = headers.get_all(key, [])
    if len(values) != 1:
        raise UnsafeError(f"the metadata has {key} {len(values)} times, not once")
    return str(values[0]).strip()


def _scripts(
    files: Mapping[str, ZipEntry], path: str
) -> tuple[tuple[EntryPoint, ...], tuple[EntryPoint, ...]]:
    if path not in files:
        return (), ()
    parser = configparser.ConfigParser(
        delimiters=("=",), interpolation=None, default_section="\0", strict=True
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        parser.read_string(_text(files, path))
    except configparser.Error as error:
        raise UnsafeError(f"malformed: {error.message[:200]}", where=path) from error
    console, gui = (
        tuple(_entry_point(*item, path) for item in parser.items(group))
        if parser.has_section(group)
        else ()
        for group in ("console_scripts", "gui_scripts")
    )
    return console, gui


def _entry_point(name: str, reference: str, where: str) -> EntryPoint:
    match = _REFERENCE.fullmatch(reference or "")
    if not match or not _SCRIPT.fullmatch(name):
        raise UnsafeError(f"malformed entry point: {name[:80]!r} = {reference!r:.80}", where=where)
    return EntryPoint(name, match[1], match[2])
