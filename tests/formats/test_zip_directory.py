"""The central directory is read from the end of an archive alone, and is as strict there."""

import io
import zipfile

import pytest

from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.archive.zip import read_archive, read_entry
from mpbuild.formats.archive.zip_directory import LONGEST_TAIL, ends, find_directory, read_headers

FILES = {f"demo/{i}.py": b"%d\n" % i * i for i in range(60)}


def archive(files=FILES, comment=b"", **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.comment = comment
        for name, data in files.items():
            with made.open(zipfile.ZipInfo(name), "w", **options) as member:
                member.write(data)
    return out.getvalue()


def directory(data, tail):
    """What is found with the last ``tail`` bytes, and the archive's headers."""
    found = find_directory(data[-tail:], len(data))
    return found, read_headers(data[found.start : found.start + found.size], found)


@pytest.mark.parametrize("tail", [22, 100, 5000, LONGEST_TAIL])
def test_any_tail_with_the_end_record_tells_the_same(tail):
    data = archive()
    found, headers = directory(data, tail)
    assert (found.entries, found.start + found.size + 22) == (60, len(data))
    assert [header.name for header in headers] == list(FILES)


def test_entries_can_be_read_one_by_one(tmp_path):
    data = archive()
    found, headers = directory(data, 100)
    stops = ends(headers, found.start)
    entries = [read_entry(data[header.start : stops[header.start]], header) for header in headers]
    assert {entry.name: b"".join(entry.inflated()) for entry in entries} == FILES
    assert [entry.crc for entry in entries] == [entry.crc for entry in read_archive(data)]


def test_a_piece_with_bytes_of_the_next_entry_is_refused():
    data = archive()
    found, headers = directory(data, 100)
    stop = ends(headers, found.start)[headers[0].start]
    with pytest.raises(UnsafeError, match="stray bytes after the entry"):
        read_entry(data[: stop + 1], headers[0])


def test_a_long_comment_is_found_with_the_longest_tail_and_refused_with_less():
    data = archive(comment=b"c" * 60_000)
    assert directory(data, LONGEST_TAIL)[0].entries == 60
    with pytest.raises(UnsafeError, match="no end record"):
        directory(data, 50_000)


def test_wide_end_records_count_from_the_end_of_the_whole_file(monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    data = archive()
    assert b"PK\6\6" in data
    for tail in (98, 5000):
        assert directory(data, tail)[0].entries == 60
    with pytest.raises(UnsafeError, match="misplaced ZIP64 end record"):
        directory(data, 60)


def test_a_file_of_another_size_than_said_is_refused():
    data = archive()
    with pytest.raises(UnsafeError, match="does not end at the end record"):
        find_directory(data[-50:], len(data) + 1)


@pytest.mark.parametrize("lost", [1, 20, 46, 200])
def test_a_directory_that_is_cut_off_is_refused(lost):
    data = archive()
    found = find_directory(data, len(data))
    with pytest.raises(UnsafeError, match=r"truncated|malformed|not the declared 60"):
        read_headers(data[found.start : found.start + found.size - lost], found)
