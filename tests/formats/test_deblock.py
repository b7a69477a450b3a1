"""Debian locks: one canonical text, and no path out of the pool."""

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.debian import deblock
from mpbuild.formats.debian.deblock import DebianLock, DebianPackage, Link

LIBC = DebianPackage(
    name="libc6",
    version="2.36-9+deb12u14",
    architecture="amd64",
    base=True,
    path="pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb",
    sha256=Digest.of(b"libc"),
    size=2_759_320,
)
ZLIB = DebianPackage(
    name="zlib1g",
    version="1:1.2.13.dfsg-1",
    architecture="amd64",
    base=False,
    path="pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_amd64.deb",
    sha256=Digest.of(b"zlib"),
    size=86_684,
)
LOCK = DebianLock(
    environment="cpu",
    suite="bookworm",
    architecture="amd64",
    resolution=Digest.of(b"inputs"),
    packages=(LIBC, ZLIB),
)
BODY = f"""\
format = 1
created-by = "mpbuild"
environment = "cpu"
suite = "bookworm"
architecture = "amd64"
count = 2
resolution = "{Digest.of(b"inputs")}"

[[packages]]
name = "libc6"
version = "2.36-9+deb12u14"
architecture = "amd64"
base = true
path = "pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb"
size = 2759320
sha256 = "{Digest.of(b"libc").hex}"

[[packages]]
name = "zlib1g"
version = "1:1.2.13.dfsg-1"
architecture = "amd64"
base = false
path = "pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_amd64.deb"
size = 86684
sha256 = "{Digest.of(b"zlib").hex}"
"""
HEAD, PACKAGES = BODY.split("\n\n", 1)
CANONICAL = f'{HEAD}\ncontent = "{Digest.of(BODY.encode())}"\n\n{PACKAGES}'


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        deblock.read(text, file="debian.cpu.toml")
    assert caught.value.findings[0].code == "lock-malformed"
    return str(caught.value)


def test_a_lock_has_one_text_whatever_the_order_of_its_packages() -> None:
    assert deblock.write(LOCK) == CANONICAL
    fields = {name: getattr(LOCK, name) for name in LOCK.__struct_fields__}
    assert deblock.write(DebianLock(**fields | {"packages": (ZLIB, LIBC)})) == CANONICAL


def test_the_canonical_text_reads_as_the_lock() -> None:
    assert deblock.read(CANONICAL, file="x") == LOCK


def test_an_empty_lock_reads_back() -> None:
    fields = {name: getattr(LOCK, name) for name in LOCK.__struct_fields__}
    empty = DebianLock(**fields | {"packages": ()})
    assert deblock.read(deblock.write(empty), file="x") == empty


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 2", "format: must be 1, not 2"),
        ("count = 2", "count = 1", "count: must be 2, not 1"),
        ('content = "sha256:', 'content = "', "content: '"),
        ("size = 2759320", "size = 0", "packages[0].size: 0 is not the size"),
        ("size = 2759320\n", "", "packages[0]: `size` is missing"),
        ("base = true", "base = 1", "packages[0].base: must be true or false"),
        ("sha256 =", "md5 =", "packages[0]: `sha256` is missing"),
        ("base = true", 'base = true\nurl = "https://mirror.example"', "unknown key `url`"),
        ('"pool/main/g', '"../pool/main/g', "packages[0].path:"),
        ('"pool/main/g', '"pool/../main/g', "packages[0].path:"),
        ('"pool/main/g', '"/pool/main/g', "packages[0].path:"),
        ('"pool/main/g', '"pool//main/g', "packages[0].path:"),
        ('"pool/main/g', '"dists/main/g', "packages[0].path:"),
        ('"pool/main/g', '"https://mirror.example/pool/main/g', "packages[0].path:"),
        ('version = "2.36-9', 'version = "2.37-9', "packages[0].path:"),
        ('name = "zlib1g"', 'name = "libc6"', "packages[1].path:"),
        ('architecture = "amd64"\nbase', 'architecture = "arm64"\nbase', "neither amd64 nor all"),
        ('suite = "bookworm"', 'suite = "../etc"', "suite: '../etc' does not match"),
        ('suite = "bookworm"', "suite = 12", "suite: must be a string"),
        (
            "base = true",
            'base = true\narchive = "main"',
            "packages[0].archive: must be 'security', not 'main'",
        ),
        (
            "base = true",
            "base = true\narchive = true",
            "packages[0].archive: must be 'security'",
        ),
    ],
)
def test_what_the_format_cannot_say_is_refused(old: str, new: str, said: str) -> None:
    assert old in CANONICAL
    assert said in refused(CANONICAL.replace(old, new, 1))


def test_a_package_that_is_listed_twice_is_refused() -> None:
    block = CANONICAL.split("\n\n")[1]
    assert "packages[1].name: duplicate name libc6, also in packages[0]" in refused(
        CANONICAL.replace(block, f"{block}\n\n{block}")
    )


UPDATED = msgspec.structs.replace(
    LOCK,
    packages=(
        msgspec.structs.replace(LIBC, security=True),
        ZLIB,
    ),
    links=(
        Link("zlib1g", "/usr/lib/libz.so.1", "/usr/lib/zlib/libz.so.1.2.13"),
        Link("libc6"),
        Link("zlib1g", "/usr/bin/z", "/usr/bin/zlib"),
    ),
)


def test_whose_archive_has_a_package_and_links_are_said_only_where_there_is_something_to_say():
    text = deblock.write(UPDATED)
    assert text.count("archive =") == 1
    assert f'sha256 = "{LIBC.sha256.hex}"\narchive = "security"\n' in text
    assert text.endswith(
        '[[links]]\npackage = "libc6"\nomitted = true\n\n'
        '[[links]]\npackage = "zlib1g"\npath = "/usr/bin/z"\ntarget = "/usr/bin/zlib"\n\n'
        '[[links]]\npackage = "zlib1g"\npath = "/usr/lib/libz.so.1"\n'
        'target = "/usr/lib/zlib/libz.so.1.2.13"\n'
    )
    read = deblock.read(text, file="x")
    assert read.links == tuple(sorted(UPDATED.links))
    assert deblock.write(read) == text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("omitted = true", "omitted = false", "links[0].omitted: can only be true"),
        ("omitted = true", 'omitted = "unused"', "links[0].omitted: must be true or false"),
        ("omitted = true", "", "links[0]: `path` is missing"),
        ("omitted = true", 'omitted = true\npath = "/x"', "links[0]: unknown key `path`"),
        ('path = "/usr/bin/z"\n', "", "links[1]: `path` is missing"),
        ('target = "/usr/bin/zlib"\n', "", "links[1]: `target` is missing"),
        ('"/usr/bin/z"', '"usr/bin/z"', "links[1].path: 'usr/bin/z' does not match"),
        ('"/usr/bin/z"', '"/usr/../z"', "links[1].path: '/usr/../z' does not match"),
        ('"/usr/bin/zlib"', '"/usr/bin/a b"', "links[1].target: '/usr/bin/a b' does not match"),
        ('[[links]]\npackage = "libc6"', '[[links]]\npackage = "libc"', "is not in the lock"),
        (
            '[[links]]\npackage = "libc6"',
            '[[links]]\npackage = "zlib1g"',
            "contradicts another link",
        ),
        ('"/usr/bin/z"', '"/usr/lib/libz.so.1"', "links[2]: contradicts another link"),
    ],
)
def test_a_link_table_that_contradicts_itself_or_the_packages_is_refused(old, new, said) -> None:
    text = deblock.write(UPDATED)
    assert old in text
    assert said in refused(text.replace(old, new, 1))


def test_the_file_of_a_package_goes_without_the_epoch() -> None:
    assert deblock.filename("zlib1g", "1:1.2-1", "amd64") == "zlib1g_1.2-1_amd64.deb"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_lock_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([CANONICAL, deblock.write(UPDATED)]))
    at = data.draw(st.integers(0, len(whole) - 1))
    piece = data.draw(st.sampled_from(["", '"', "\n", "[", "0", "é", "\0", "=", ".."]))
    text = whole[:at] + piece + whole[at + data.draw(st.integers(0, 40)) :]
    with contextlib.suppress(InputError):
        deblock.read(text, file="x")
