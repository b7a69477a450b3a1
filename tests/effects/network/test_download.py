"""Downloads: nothing is kept that isn't the locked file, and nothing is fetched twice."""

import errno
import hashlib
import threading
from pathlib import Path

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.http.download import FileSink, download
from mpbuild.effects.http.file_request import FileRequest

DATA = bytes(range(256)) * 4096


class Kept:
    """A folder of finished files and one of unfinished ones."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "kept"
        self.files.mkdir()
        self.partial = folder / "partial"
        self.depot = FileSink(
            self.partial, lambda digest: (self.files / digest.hex).exists(), self.keep
        )

    def keep(self, path: Path, digest: Digest) -> None:
        path.replace(self.files / digest.hex)

    def part(self, data: bytes) -> Path:
        return self.partial / f"{hashlib.sha256(data).hexdigest()}.part"

    def content(self, data: bytes) -> bytes:
        return (self.files / hashlib.sha256(data).hexdigest()).read_bytes()

    def nothing(self) -> bool:
        return not list(self.files.iterdir())


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path)


def request(*urls: str, data: bytes = DATA, name: str = "a.whl") -> FileRequest:
    return FileRequest(name=name, urls=urls, digest=Digest.of(data), size=len(data))


def failing(requests, kept, web) -> EnvironmentFailureError:
    with pytest.raises(EnvironmentFailureError) as caught:
        download(requests, into=kept.depot, web=web)
    return caught.value


def test_files_arrive_whole_and_leave_no_partial_ones(site, kept, web):
    contents = [bytes([i]) * (i * 1000 + 1) for i in range(20)]
    site.files = {f"/{i}": data for i, data in enumerate(contents)}
    requests = [request(f"{site.url}/{i}", data=data) for i, data in enumerate(contents)]
    heard: list[int] = []
    download(requests, into=kept.depot, web=web, progress=heard.append)
    assert [kept.content(data) for data in contents] == contents
    assert sum(heard) == sum(map(len, contents))
    assert not list(kept.partial.iterdir())


def test_what_is_kept_is_not_asked_for(site, kept, web):
    site.files["/a"] = DATA
    for _ in range(2):
        download([request(f"{site.url}/a")] * 2, into=kept.depot, web=web)
    assert len(site.seen) == 1


def test_a_partial_file_is_continued_where_it_ends(site, kept, web):
    site.files["/a"] = DATA
    kept.partial.mkdir()
    kept.part(DATA).write_bytes(DATA[:1000])
    heard: list[int] = []
    download([request(f"{site.url}/a")], into=kept.depot, web=web, progress=heard.append)
    assert kept.content(DATA) == DATA
    assert site.asked("/a")[0]["Range"] == "bytes=1000-"
    assert sum(heard) == len(DATA) - 1000


def test_a_complete_partial_file_needs_no_server(kept, web):
    kept.partial.mkdir()
    kept.part(DATA).write_bytes(DATA)
    download([request("http://127.0.0.1:9/a")], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA


def test_a_server_without_ranges_sends_it_from_the_start(site, kept, web):
    site.files["/a"] = DATA
    site.ranges = False
    kept.partial.mkdir()
    kept.part(DATA).write_bytes(DATA[:1000])
    download([request(f"{site.url}/a")], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA


@pytest.mark.parametrize("junk", [b"x" * 1000, b"x" * len(DATA), b"x" * (len(DATA) + 1)])
def test_a_partial_file_of_something_else_is_begun_anew(site, kept, web, junk):
    site.files["/a"] = DATA
    kept.partial.mkdir()
    kept.part(DATA).write_bytes(junk)
    download([request(f"{site.url}/a")], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA


def test_a_busy_server_is_asked_again(site, faults, kept, web):
    site.files["/a"] = DATA
    site.faults["/a"] = [faults.status(503), faults.status(429)]
    download([request(f"{site.url}/a")], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA
    assert len(site.seen) == 3


def test_a_cut_connection_is_continued_not_repeated(site, faults, kept, web):
    site.files["/a"] = DATA
    site.faults["/a"] = [faults.cut(DATA, 300_000)]
    download([request(f"{site.url}/a")], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA
    assert site.asked("/a")[1]["Range"] == "bytes=300000-"


def test_a_server_that_stays_busy_is_given_up(site, faults, kept, web):
    site.faults["/a"] = [faults.status(503)] * 9
    error = failing([request(f"{site.url}/a")], kept, web)
    assert error.findings[0].code == "fetch-failed"
    assert "503" in str(error)
    assert len(site.seen) == 4


def test_the_next_mirror_has_what_the_first_lacks(make_site, kept, web):
    first, second = make_site(), make_site()
    second.files["/a"] = DATA
    urls = ("http://127.0.0.1:9/a", f"{first.url}/a", f"{second.url}/a")
    download([request(*urls)], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA


def test_every_address_that_failed_is_named(make_site, kept, web):
    first, second = make_site(), make_site()
    error = failing([request(f"{first.url}/a?key=k", f"{second.url}/a")], kept, web)
    assert [finding.where for finding in error.findings] == sorted(
        f"a.whl: {site.url}/a" for site in (first, second)
    )
    assert {finding.message for finding in error.findings} == {"the server answered 404 Not Found"}


def test_one_missing_file_does_not_keep_the_others_from_arriving(site, kept, web):
    site.files["/a"] = DATA
    other = request(f"{site.url}/b", data=b"other", name="b.whl")
    error = failing([other, request(f"{site.url}/a")], kept, web)
    assert [finding.where for finding in error.findings] == [f"b.whl: {site.url}/b"]
    assert kept.content(DATA) == DATA


@pytest.mark.parametrize(
    "served", [DATA[:-1] + b"x", DATA + b"x", DATA[:-1], b""], ids=["other", "more", "less", "none"]
)
@pytest.mark.parametrize("begun", [0, 1000])
def test_other_bytes_than_the_locked_ones_are_never_kept(site, kept, web, served, begun):
    site.files["/a"] = served
    kept.partial.mkdir()
    kept.part(DATA).write_bytes(DATA[:begun])
    error = failing([request(f"{site.url}/a")], kept, web)
    assert error.findings[0].code == "content-mismatch"
    assert error.findings[0].where == f"a.whl: {site.url}/a"
    assert kept.nothing()
    assert not kept.part(DATA).exists()


def test_a_false_mirror_does_not_spoil_what_the_next_one_gives(make_site, kept, web):
    false, true = make_site(), make_site()
    false.files["/a"] = DATA[:-1] + b"x"
    true.files["/a"] = DATA
    download([request(f"{false.url}/a", f"{true.url}/a")], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA


def test_a_file_without_an_address_fails(kept, web):
    assert "no URL is known" in str(failing([request()], kept, web))


def test_a_file_may_lie_on_this_machine(tmp_path, kept, web):
    path = tmp_path / "a b.whl"
    path.write_bytes(DATA)
    download([request(path.as_uri())], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA


def test_a_missing_file_on_this_machine_is_a_failed_fetch(tmp_path, kept, web):
    error = failing([request((tmp_path / "a").as_uri())], kept, web)
    assert error.findings[0].message == "no such file"


def test_a_full_disk_says_so(site, tmp_path, web):
    site.files["/a"] = DATA

    def keep(path: Path, digest: Digest) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.raises(EnvironmentFailureError) as caught:
        download(
            [request(f"{site.url}/a")],
            into=FileSink(tmp_path / "partial", lambda _: False, keep),
            web=web,
        )
    assert caught.value.findings[0].code == "disk-full"


def test_an_error_of_ours_from_keeping_goes_through(site, tmp_path, web):
    site.files["/a"] = DATA

    def keep(path: Path, digest: Digest) -> None:
        raise InputError("no such store")

    with pytest.raises(InputError, match="no such store"):
        download(
            [request(f"{site.url}/a")], into=FileSink(tmp_path, lambda _: False, keep), web=web
        )


def test_an_interrupted_download_is_continued_by_the_next(site, kept, web):
    site.files["/a"] = DATA

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([request(f"{site.url}/a")], into=kept.depot, web=web, progress=interrupt)
    begun = kept.part(DATA).stat().st_size
    assert 0 < begun < len(DATA)
    download([request(f"{site.url}/a")], into=kept.depot, web=web)
    assert kept.content(DATA) == DATA
    assert site.asked("/a")[1]["Range"] == f"bytes={begun}-"


def test_two_that_want_the_same_file_fetch_it_once(site, kept, web):
    site.files["/a"] = DATA
    errors: list[BaseException] = []

    def get() -> None:
        try:
            download([request(f"{site.url}/a")], into=kept.depot, web=web)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=get) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert kept.content(DATA) == DATA
    assert len(site.seen) == 1
    assert not list(kept.partial.iterdir())
