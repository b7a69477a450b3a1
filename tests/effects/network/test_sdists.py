"""Source distributions of an index: which one is taken, and where uv's own index is."""

from datetime import UTC, datetime

import pytest
from packaging.specifiers import SpecifierSet

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.http.download import FileSink
from mpbuild.effects.python import sdists
from mpbuild.effects.python.projects import ProjectFile
from mpbuild.effects.python.uv import Uv

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def file(filename, **said):
    settings = {"sha256": Digest.of(filename.encode()), "url": f"https://x/{filename}"}
    return ProjectFile(filename=filename, **(settings | said))


def newest(*files, wanted="", before=None):
    wanted = SpecifierSet(wanted)
    return sdists.newest(files, "a-thing", wanted, "3.11", released_before=before).filename


def test_the_newest_version_wanted_is_taken():
    files = [file(f"a_thing-{version}.tar.gz") for version in ("1.0", "1.10", "1.9", "2.0")]
    assert newest(*files) == "a_thing-2.0.tar.gz"
    assert newest(*files, wanted="<2") == "a_thing-1.10.tar.gz"
    assert newest(*files, wanted="==1.9") == "a_thing-1.9.tar.gz"


def test_names_of_older_times_are_understood():
    assert newest(file("A.Thing-1.0.zip")) == "A.Thing-1.0.zip"
    assert newest(file("a-thing-1.0.tar.gz")) == "a-thing-1.0.tar.gz"


def test_of_one_version_the_tar_is_taken():
    files = [file("a_thing-1.0.tar.gz"), file("a_thing-1.0.zip")]
    assert newest(*files) == newest(*reversed(files)) == "a_thing-1.0.tar.gz"


def test_pre_releases_count_where_nothing_else_does_or_they_are_named():
    final, later = file("a_thing-1.0.tar.gz"), file("a_thing-2.0rc1.tar.gz")
    assert newest(final, later) == final.filename
    assert newest(later) == later.filename
    assert newest(final, later, wanted=">=2.0rc1") == later.filename


def test_yanked_files_count_only_where_they_are_named_exactly():
    kept, yanked = file("a_thing-1.0.tar.gz"), file("a_thing-2.0.tar.gz", yanked="broken")
    assert newest(kept, yanked) == kept.filename
    assert newest(kept, yanked, wanted="==2.0") == yanked.filename
    with pytest.raises(InputError):
        newest(kept, yanked, wanted="==2.*")


def test_files_for_other_pythons_are_passed_over():
    files = [
        file("a_thing-1.0.tar.gz", requires_python=">=3.8"),
        file("a_thing-2.0.tar.gz", requires_python=">=3.12"),
        file("a_thing-3.0.tar.gz", requires_python="nonsense"),
    ]
    assert newest(*files) == "a_thing-1.0.tar.gz"


def test_young_and_undated_files_are_passed_over_where_a_cooldown_holds():
    files = [
        file("a_thing-1.0.tar.gz", uploaded=datetime(2026, 10, 31, tzinfo=UTC)),
        file("a_thing-2.0.tar.gz", uploaded=datetime(2026, 11, 2, tzinfo=UTC)),
        file("a_thing-3.0.tar.gz"),
    ]
    assert newest(*files) == "a_thing-3.0.tar.gz"
    assert newest(*files, before=NOVEMBER) == "a_thing-1.0.tar.gz"


@pytest.mark.parametrize(
    "other",
    [
        file("a_thing-1.0.tar.gz", sha256=None),
        file("a_thing-1.0-py3-none-any.whl"),
        file("another-1.0.tar.gz"),
        file("a_thing-1.0.tar.bz2"),
        file("a_thing.tar.gz"),
    ],
    ids=lambda other: other.filename,
)
def test_a_missing_source_distribution_is_reported_with_the_request(other):
    with pytest.raises(InputError, match=r"no source distribution of a-thing<2 with a sha256"):
        newest(other, wanted="<2")


def test_a_source_distribution_is_kept_by_its_digest(site, web, tmp_path):
    site.files["/a"] = b"bytes"
    source = sdists.newest(
        [file("a_thing-1.0.tar.gz", url=f"{site.url}/a", sha256=Digest.of(b"bytes"))],
        "a-thing",
        SpecifierSet(),
        "3.11",
    )
    kept = {}
    depot = FileSink(
        tmp_path, kept.__contains__, lambda path, digest: kept.update({digest: path.read_bytes()})
    )
    sdists.fetch(source, into=depot, web=web)
    assert kept == {source.sha256: b"bytes"}


def test_bytes_that_differ_from_the_indexs_digest_are_not_kept(site, web, tmp_path):
    site.files["/a"] = b"other"
    files = [file("a_thing-1.0.tar.gz", url=f"{site.url}/a", sha256=Digest.of(b"bytes"), size=5)]
    source = sdists.newest(files, "a-thing", SpecifierSet(), "3.11")
    depot = FileSink(tmp_path, lambda digest: False, lambda path, digest: pytest.fail("kept"))
    with pytest.raises(EnvironmentFailureError) as caught:
        sdists.fetch(source, into=depot, web=web)
    assert caught.value.findings[0].code == "content-mismatch"


def test_one_that_is_too_large_is_not_fetched(web, tmp_path):
    source = sdists.newest(
        [file("a_thing-1.0.tar.gz", size=1 << 40)], "a-thing", SpecifierSet(), "3.11"
    )
    with pytest.raises(InputError, match="the limit is"):
        sdists.fetch(source, into=FileSink(tmp_path, lambda _: False, lambda *_: None), web=web)


def test_uv_reports_its_own_index_despite_user_settings(tmp_path):
    reason = "pip, which knows the same index, isn't installed"
    own = pytest.importorskip("pip._internal.models.index", reason=reason)
    environ = {"HOME": str(tmp_path), "UV_DEFAULT_INDEX": "https://index.example/simple"}
    assert Uv.find(environ).own_index.rstrip("/") == own.PyPI.simple_url.rstrip("/")
