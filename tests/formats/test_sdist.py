"""Source distributions: read without running anything, and only where they say one thing."""

import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.python.sdist import read_sdist
from tests.making.tars import write_tar
from tests.making.zips import write_zip

PKG_INFO = "Metadata-Version: 2.1\nName: Legacy.Thing\nVersion: 1.0\n"
SYSTEM = '[build-system]\nrequires = ["flit_core<4"]\nbuild-backend = "flit_core.buildapi"\n'


def tar(*more, folder="legacy_thing-1.0", **files):
    """A source distribution; ``files`` by name, with _ for the dot, and further members."""
    texts = {"PKG-INFO": files.pop("pkg_info", PKG_INFO)}
    texts |= {name.replace("_", "."): text for name, text in files.items()}
    members = [
        (f"{folder}/{name}", text.encode()) for name, text in texts.items() if text is not None
    ]
    return write_tar([*members, *more], compression="gz")


def refused(data, filename="legacy_thing-1.0.tar.gz"):
    with pytest.raises(InputError) as caught:
        read_sdist(data, filename)
    (finding,) = caught.value.findings
    return finding


def test_a_build_system_is_read_as_written():
    read = read_sdist(tar(pyproject_toml=SYSTEM), "legacy_thing-1.0.tar.gz")
    assert (read.name, read.version) == ("legacy-thing", "1.0")
    assert (read.requires, read.backend) == (("flit_core<4",), "flit_core.buildapi")
    assert read.backend_path == ()


@pytest.mark.parametrize("text", [None, "", "[tool.black]\nline-length = 100\n"])
def test_without_a_build_system_setup_py_and_setuptools_are_meant(text):
    read = read_sdist(tar(pyproject_toml=text, setup_py=""), "legacy_thing-1.0.tar.gz")
    assert read.requires == ("setuptools", "wheel")
    assert read.backend == "setuptools.build_meta:__legacy__"


def test_a_build_system_that_names_no_backend_means_setuptools():
    text = '[build-system]\nrequires = ["setuptools>=40", "cython"]\n'
    read = read_sdist(tar(pyproject_toml=text), "legacy_thing-1.0.tar.gz")
    assert read.requires == ("setuptools>=40", "cython")
    assert read.backend == "setuptools.build_meta:__legacy__"


def test_a_backend_may_lie_in_the_source_tree():
    text = '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = [".", "tools/"]\n'
    read = read_sdist(tar(pyproject_toml=text), "legacy_thing-1.0.tar.gz")
    assert read.backend_path == (".", "tools")


def test_zip_files_of_older_times_are_read_alike():
    files = {
        "legacy-thing-1.0/": b"",
        "legacy-thing-1.0/PKG-INFO": PKG_INFO.encode(),
        "legacy-thing-1.0/pyproject.toml": SYSTEM.encode(),
        "legacy-thing-1.0/egg/PKG-INFO": b"Name: other\n",
    }
    read = read_sdist(write_zip(files), "legacy-thing-1.0.zip")
    assert (read.name, read.backend) == ("legacy-thing", "flit_core.buildapi")


def test_version_and_name_may_be_spelled_otherwise():
    info = PKG_INFO.replace("1.0", "v1.0.0")
    assert read_sdist(tar(pkg_info=info), "Legacy_thing-1.0.tar.gz").version == "1.0"


@pytest.mark.parametrize(
    "info",
    [
        PKG_INFO.replace("Legacy.Thing", "other"),
        PKG_INFO.replace("1.0", "1.0.1"),
        PKG_INFO.replace("1.0", "no version"),
        PKG_INFO + "Name: other\n",
        "Metadata-Version: 2.1\n",
    ],
)
def test_a_source_distribution_that_lies_about_what_it_is_is_refused(info):
    finding = refused(tar(pkg_info=info))
    assert finding.code == "content-mismatch"
    assert "the file name legacy-thing 1.0" in finding.message


def test_without_pkg_info_it_is_refused():
    assert "no PKG-INFO" in refused(tar(pkg_info=None, setup_py="")).message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[build-system", "not TOML"),
        ("build-system = 1\n", "is not a table"),
        ("[build-system]\n", "no requires"),
        ("[build-system]\nrequires = 'setuptools'\n", "is not a list of strings"),
        ("[build-system]\nrequires = [1]\n", "is not a list of strings"),
        ("[build-system]\nrequires = ['a b']\n", "not a requirement"),
        ("[build-system]\nrequires = []\nbuild-backend = 1\n", "not the name of an object"),
        ("[build-system]\nrequires = []\nbuild-backend = 'a b'\n", "not the name of an object"),
        ("[build-system]\nrequires = []\nbuild-backend = 'a:b:c'\n", "not the name of an object"),
        ("[build-system]\nrequires = []\nbackend-path = ['/etc']\n", "leaves the source tree"),
        ("[build-system]\nrequires = []\nbackend-path = ['a/../..']\n", "leaves the source tree"),
    ],
)
def test_a_build_system_that_is_none_is_refused(text, message):
    finding = refused(tar(pyproject_toml=text))
    assert (finding.code, finding.where) == ("content-mismatch", "pyproject.toml")
    assert message in finding.message


@pytest.mark.parametrize(
    "extra",
    [
        ("../outside", b"x"),
        ("/etc/passwd", b"x"),
        ("legacy_thing-1.0/a/../../b", b"x"),
        ("legacy_thing-1.0/link", "->../../outside"),
        ("legacy_thing-1.0/link", "->/etc/passwd"),
        ("legacy_thing-1.0/hard", "=>legacy_thing-1.0/none"),
        ("legacy_thing-1.0/device", 0x33),
        ("legacy_thing-1.0/pipe", 0x36),
        ("legacy_thing-1.0/PKG-INFO", b"Name: other\n"),
        ("legacy_thing-1.0/pkg-info", b"Name: other\n"),
        ("another/PKG-INFO", b"x"),
        ("file beside the folder", b"x"),
    ],
    ids=lambda pair: f"{pair[0]} {pair[1]}",
)
def test_a_hostile_archive_is_refused(extra):
    with pytest.raises(UnsafeError):
        read_sdist(tar(extra), "legacy_thing-1.0.tar.gz")


@pytest.mark.parametrize(
    "bomb",
    [
        tar(("legacy_thing-1.0/large", bytes(70_000))),
        gzip.compress(gzip.decompress(tar()) + bytes(70_000)),
    ],
    ids=["a file", "after the end"],
)
def test_what_unpacks_to_too_much_is_refused(bomb):
    with pytest.raises(UnsafeError, match="more than 65536 bytes"):
        read_sdist(bomb, "legacy_thing-1.0.tar.gz", largest=65_536)


@pytest.mark.parametrize("filename", ["legacy_thing-1.0.tar.bz2", "legacy.tar.gz", "a-b.zip", ""])
def test_other_file_names_are_refused(filename):
    assert "file name" in refused(tar(), filename).message


@given(st.binary(), st.sampled_from(["legacy_thing-1.0.tar.gz", "legacy_thing-1.0.zip"]))
def test_whatever_bytes_come_only_our_errors_leave(data, filename):
    with pytest.raises(InputError):
        read_sdist(data, filename)


VALUES = st.recursive(
    st.text("ab.:/[]>=", max_size=9) | st.integers(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(["requires", "build-backend", "backend-path", "other"])


@given(st.dictionaries(KEYS, VALUES))
def test_whatever_a_build_system_says_only_our_errors_leave(system):
    text = "[build-system]\n" + "".join(f"{key} = {value!r}\n" for key, value in system.items())
    with contextlib.suppress(InputError):
        read = read_sdist(tar(pyproject_toml=text), "legacy_thing-1.0.tar.gz")
        assert list(read.requires) == system["requires"]
