"""Zip archives at the edges: many entries, long names, empty contents, more than 4 GiB."""

import mmap
import struct
import zipfile
import zlib

import pytest

from mpbuild.base.errors import InputError
from mpbuild.formats.archive.zip import read_archive

GIB = 1 << 30
CHUNK = bytes(1 << 24)


def test_twenty_thousand_entries_read(make):
    members = [
        make.Member(f"d{n % 7}/{n}", b"%d" % n, method=8 if n % 2 else 0) for n in range(20_000)
    ]
    entries = read_archive(make.zip(members))
    assert len(entries) == 20_000
    assert b"".join(entries[-1].inflated()) == b"19999"


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "d/" * 100 + "ab", f"{'d' * 255}/x"])
def test_names_and_paths_as_long_as_they_may_be_read(make, name):
    (entry,) = read_archive(make.zip([make.Member(name, flags=1 << 11)]))
    assert entry.name == name


@pytest.mark.parametrize("name", ["n" * 256, "ü" * 128, "d/" * 2048 + "a", f"{'d' * 256}/x"])
def test_names_and_paths_longer_than_file_systems_hold_are_refused(make, name):
    with pytest.raises(InputError, match="longer than") as caught:
        read_archive(make.zip([make.Member(name, flags=1 << 11)]))
    assert caught.value.findings[0].code == "layer-unsafe"


@pytest.mark.parametrize("method", [0, 8])
def test_an_empty_file_is_stored_or_deflated(make, method):
    (entry,) = read_archive(make.zip([make.Member("empty", method=method)]))
    assert (entry.size, b"".join(entry.inflated())) == (0, b"")


def test_a_deflated_entry_without_a_stream_is_refused(make):
    (entry,) = read_archive(make.zip([make.Member("empty", raw=b"")]))
    with pytest.raises(InputError, match="empty: truncated compressed stream"):
        b"".join(entry.inflated())


def test_extra_fields_of_times_and_owners_are_let_pass(make):
    times = struct.pack("<2HBL", 0x5455, 5, 1, 0) + struct.pack(
        "<2HBBLBL", 0x7875, 11, 1, 4, 0, 4, 0
    )
    data = make.zip([make.Member("a", b"x", local_extra=times, central_extra=times[:9])])
    assert [b"".join(entry.inflated()) for entry in read_archive(data)] == [b"x"]


@pytest.mark.soak
def test_entries_of_more_than_4_gib_read(tmp_path):
    """One stored, as a hole in the file; one DEFLATEd."""
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        hole(archive, "stored", 4 * GIB + 1)
        with archive.open("deflated", "w", force_zip64=True) as file:
            for _ in range(4 * GIB // len(CHUNK)):
                file.write(CHUNK)
            file.write(b"end")
    assert path.stat().st_blocks * 512 < GIB
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        sizes = {
            entry.name: sum(len(piece) for piece in entry.inflated())
            for entry in read_archive(data)
        }
    assert sizes == {"stored": 4 * GIB + 1, "deflated": 4 * GIB + 3}


def hole(archive, name, size):
    """A stored entry of zeros that take no room."""
    info = zipfile.ZipInfo(name)
    info.file_size = info.compress_size = size
    info.external_attr = 0o100644 << 16
    info.header_offset = archive.fp.tell()
    info.CRC = 0
    for start in range(0, size, len(CHUNK)):
        info.CRC = zlib.crc32(CHUNK[: min(len(CHUNK), size - start)], info.CRC)
    archive.fp.write(info.FileHeader(zip64=True))
    archive.fp.seek(size - 1, 1)
    archive.fp.write(b"\0")
    archive.start_dir = archive.fp.tell()
    archive.filelist.append(info)
    archive.NameToInfo[name] = info
