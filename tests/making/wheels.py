"""Wheels (binary distribution format 1.0), sound unless an argument says otherwise."""

import base64
import csv
import hashlib
import io
from collections.abc import Iterable, Mapping

from tests.making.zips import write_zip


def record_hash(data: bytes) -> str:
    """The hash of a RECORD row."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + digest.rstrip(b"=").decode()


def write_record(
    files: Mapping[str, bytes], record: str, *, sizes: bool = True, line_end: str = "\n"
) -> bytes:
    """The RECORD of ``files``, whose own path is ``record``."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator=line_end)
    for path, data in files.items():
        writer.writerow((path, record_hash(data), len(data) if sizes else ""))
    writer.writerow((record, "", ""))
    return rows.getvalue().encode("utf-8", "surrogateescape")


def wheel_files(
    filename: str,
    files: Mapping[str, bytes] | None = None,
    *metadata: str,
    name: str = "",
    version: str = "",
    tags: Iterable[str] | None = None,
    entry_points: str = "",
    overrides: Mapping[str, str | bytes] | None = None,
    record: bool = True,
    sizes: bool = True,
    line_end: str = "\n",
) -> dict[str, bytes]:
    """The files of the wheel ``filename`` by path, RECORD last.

    ``metadata`` are further lines of METADATA. METADATA and WHEEL give ``name``, ``version`` and
    ``tags`` where they are not those of the file name. ``overrides`` replaces whole files of
    ``.dist-info``; without ``record`` there is no RECORD; ``sizes`` and ``line_end`` are those of
    ``write_record``.
    """
    own, release, tag = filename.removesuffix(".whl").split("-", 2)
    info = f"{own}-{release}.dist-info"
    head = ("Metadata-Version: 2.1", f"Name: {name or own}", f"Version: {version or release}")
    pure = str(tag.endswith("-none-any")).lower()
    lines = ("Wheel-Version: 1.0", f"Root-Is-Purelib: {pure}")
    lines += tuple(f"Tag: {one}" for one in ((tag,) if tags is None else tags))
    about = {"METADATA": "\n".join([*head, *metadata, ""]), "WHEEL": "\n".join([*lines, ""])}
    about |= {"entry_points.txt": entry_points} if entry_points else {}
    about |= overrides or {}
    everything = dict(files or {})
    for path, text in about.items():
        everything[f"{info}/{path}"] = text.encode() if isinstance(text, str) else text
    if record:
        path = f"{info}/RECORD"
        everything[path] = write_record(everything, path, sizes=sizes, line_end=line_end)
    return everything


def write_wheel(
    filename: str,
    files: Mapping[str, bytes] | None = None,
    *metadata: str,
    stored: Iterable[str] = (),
    executable: Iterable[str] = (),
    flags: int = 0,
    zip64: bool = False,
    **contents,
) -> bytes:
    """The wheel of ``wheel_files``; the other arguments are those of ``write_zip``."""
    everything = wheel_files(filename, files, *metadata, **contents)
    return write_zip(
        everything, stored=tuple(stored), executable=tuple(executable), flags=flags, zip64=zip64
    )
