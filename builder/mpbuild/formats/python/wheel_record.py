"""Reads and checks the RECORD of a wheel (packaging.python.org, "Recording installed projects")."""

import csv
import re
from collections.abc import Mapping

import msgspec

from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.archive.zip import ZipEntry

_HASH = re.compile(r"sha(256|384|512)=[A-Za-z0-9_-]{43,86}=*")


class RecordRow(msgspec.Struct, frozen=True):
    """A row of RECORD, as written: ``sha256=…`` and the size; each may be empty."""

    hash: str
    size: str


def read_record(text: str) -> dict[str, RecordRow]:
    """Reads the rows of RECORD by path; raises UnsafeError for a malformed or duplicate row."""
    record: dict[str, RecordRow] = {}
    try:
        for path, digest, size in filter(None, csv.reader(text.splitlines(), strict=True)):
            if path in record:
                raise UnsafeError(f"duplicate path {path[:200]} in RECORD")
            record[path] = RecordRow(digest, size)
    except (csv.Error, ValueError) as error:
        raise UnsafeError(f"malformed rows: {error}", where="RECORD") from error
    return record


def check_record(
    files: Mapping[str, ZipEntry], record: Mapping[str, RecordRow], dist_info: str
) -> None:
    """Checks that every file has a row with its true size and, if any, a hash that is strong.

    Raises UnsafeError. Hashes are not compared, since the lock pins the whole wheel; some published
    wheels lack those of a few files.
    """
    exempt = {f"{dist_info}/RECORD{suffix}" for suffix in ("", ".jws", ".p7s")}
    for path, entry in files.items():
        if path in exempt:
            continue
        row = record.get(path)
        if row is None:
            raise UnsafeError(f"RECORD does not list {path}")
        strong = not row.hash or _HASH.fullmatch(row.hash)
        if not strong or row.size not in ("", str(entry.size)):
            raise UnsafeError(
                f"RECORD has {row.hash},{row.size} for its {entry.size} bytes", where=path
            )
