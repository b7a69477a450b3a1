"""Files whose digest nobody knows yet: kept whole, of one version, or not at all."""

import errno
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.acquire import acquire
from mpbuild.effects.http.download import FileSink
from mpbuild.engine.action import Output

DATA = bytes(range(256)) * 8192
OTHER = DATA[::-1]
ETAG, OTHER_ETAG = {"ETag": '"one"'}, {"ETag": '"other"'}
DATE = {"Last-Modified": "Sat, 28 Nov 2026 10:00:00 GMT"}
HALF = len(DATA) // 2


class Kept:
    """A folder of finished files and one of unfinished ones."""

    def __init__(self, folder: Path) -> None:
        self.files, self.partial = folder / "kept", folder / "partial"
        self.files.mkdir()
        self.depot = FileSink(self.partial, lambda d: (self.files / d.hex).exists(), self.keep)

    def keep(self, path: Path, digest: Digest) -> None:
        path.replace(self.files / digest.hex)

    @property
    def contents(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.files.iterdir())]


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path)


@pytest.fixture
def get(site, kept, web):
    """``get()``: what is at ``/a``."""
    site.files["/a"] = DATA
    heard = []
    get = partial(acquire, f"{site.url}/a", into=kept.depot, web=web, progress=heard.append)
    get.heard = heard
    return get


def interrupted(get, site, faults, data=DATA, after=HALF, **headers):
    """A first call that ends after some bytes, and with it what it had."""
    site.faults["/a"] = [faults.cut(data, after, **headers), faults.status(404)]
    with pytest.raises(EnvironmentFailureError, match="404"):
        get()
    get.heard.clear()
    site.seen.clear()


def test_a_file_is_kept_under_what_it_is(get, kept):
    assert get() == Output(Digest.of(DATA), len(DATA))
    assert kept.contents == [DATA]
    assert sum(get.heard) == len(DATA)
    assert list(kept.partial.iterdir()) == []


def test_an_empty_file_is_one_too(get, site, kept):
    site.files["/a"] = b""
    assert get() == Output(Digest.of(b""), 0)
    assert kept.contents == [b""]


def test_what_is_kept_already_is_left_alone(get, kept):
    get()
    (path,) = kept.files.iterdir()
    before = path.stat().st_ino
    assert get() == Output(Digest.of(DATA), len(DATA))
    assert path.stat().st_ino == before
    assert list(kept.partial.iterdir()) == []


@pytest.mark.parametrize("version", [ETAG, DATE, ETAG | DATE])
def test_a_cut_connection_is_continued_where_the_file_is_the_same(get, site, faults, kept, version):
    site.versions["/a"] = version
    site.faults["/a"] = [faults.cut(DATA, HALF, **version)]
    get()
    assert kept.contents == [DATA]
    assert sum(get.heard) == len(DATA)
    assert [headers.get("Range") for headers in site.asked("/a")] == [
        None,
        "bytes=0-0",
        f"bytes={HALF}-",
    ]


@pytest.mark.parametrize("version", [{}, {"ETag": 'W/"one"'}])
def test_without_a_version_an_interrupted_file_is_begun_anew(get, site, faults, kept, version):
    site.versions["/a"] = version
    interrupted(get, site, faults, OTHER, **version)
    assert get() == Output(Digest.of(DATA), len(DATA))
    assert kept.contents == [DATA]
    assert sum(get.heard) == len(DATA)


def test_an_interrupted_file_is_continued_by_the_next_call(get, site, faults, kept):
    site.versions["/a"] = ETAG
    interrupted(get, site, faults, **ETAG)
    assert get() == Output(Digest.of(DATA), len(DATA))
    assert kept.contents == [DATA]
    assert sum(get.heard) == len(DATA) - HALF


def test_a_file_that_is_another_one_by_the_next_call_is_begun_anew(get, site, faults, kept):
    site.versions["/a"] = OTHER_ETAG
    interrupted(get, site, faults, OTHER, **ETAG)
    get()
    assert kept.contents == [DATA]
    assert sum(get.heard) == len(DATA)


def test_a_file_that_changes_while_it_is_fetched_is_refused(get, site, faults, kept):
    site.versions["/a"] = OTHER_ETAG
    site.faults["/a"] = [faults.cut(OTHER, HALF, **ETAG)]
    with pytest.raises(
        EnvironmentFailureError, match="the file changed during the download"
    ) as caught:
        get()
    assert caught.value.findings[0].code == "content-mismatch"
    assert kept.contents == []
    assert get() == Output(Digest.of(DATA), len(DATA)), "once it rests it is had"


def test_a_complete_copy_is_kept_if_it_still_is_the_file(get, site, faults, kept):
    site.versions["/a"] = ETAG
    interrupted(get, site, faults, **ETAG)
    (part,) = kept.partial.glob("*.part")
    part.write_bytes(DATA)
    get()
    assert kept.contents == [DATA]
    assert [headers.get("Range") for headers in site.asked("/a")] == ["bytes=0-0"]


@pytest.mark.parametrize("junk", [b"", b"{", b'{"name": "one"}', b"\xff"])
def test_a_copy_of_unknown_version_is_begun_anew(get, site, faults, kept, junk):
    site.versions["/a"] = ETAG
    interrupted(get, site, faults, OTHER, **ETAG)
    (note,) = kept.partial.glob("*.version")
    note.write_bytes(junk)
    get()
    assert kept.contents == [DATA]


def test_a_copy_that_is_too_long_is_begun_anew(get, site, faults, kept):
    site.versions["/a"] = ETAG
    interrupted(get, site, faults, **ETAG)
    (part,) = kept.partial.glob("*.part")
    part.write_bytes(OTHER + b"more")
    get()
    assert kept.contents == [DATA]


def test_a_server_without_ranges_sends_it_from_the_start(get, site, faults, kept):
    site.ranges = False
    site.versions["/a"] = ETAG
    interrupted(get, site, faults, **ETAG)
    get()
    assert kept.contents == [DATA]


def test_a_full_disk_is_reported_and_what_came_is_kept_once_there_is_space(get, site, kept):
    def full(path: Path, digest: Digest) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    site.versions["/a"] = ETAG
    with pytest.raises(EnvironmentFailureError) as caught:
        get(into=msgspec.structs.replace(kept.depot, keep=full))
    assert caught.value.findings[0].code == "disk-full"
    site.seen.clear()
    get()
    assert kept.contents == [DATA]
    assert [headers.get("Range") for headers in site.asked("/a")] == ["bytes=0-0"]


def test_two_at_once_get_one_file_each_whole(get, kept, site):
    site.versions["/a"] = ETAG
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: get(), range(4)))
    assert set(found) == {Output(Digest.of(DATA), len(DATA))}
    assert kept.contents == [DATA]
    assert list(kept.partial.iterdir()) == []
