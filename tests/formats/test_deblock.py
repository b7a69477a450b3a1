"""Debian locks: one canonical text, and no path out of the pool."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats import deblock
from mpbuild.formats.deblock import DebianLock, DebianPackage

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
        ("format = 1", "format = 2", "format: it is 2"),
        ("count = 2", "count = 1", "count: it is 1 and must be 2"),
        ('content = "sha256:', 'content = "', "content: '"),
        ("size = 2759320", "size = 0", "packages[0].size: 0 is no size"),
        ("size = 2759320\n", "", "packages[0]: `size` is missing"),
        ("base = true", "base = 1", "packages[0].base: it must be true or false"),
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
        ('suite = "bookworm"', "suite = 12", "suite: it must be a text"),
    ],
)
def test_what_the_format_cannot_say_is_refused(old: str, new: str, said: str) -> None:
    assert old in CANONICAL
    assert said in refused(CANONICAL.replace(old, new, 1))


def test_a_package_that_stands_twice_is_refused() -> None:
    block = CANONICAL.split("\n\n")[1]
    assert "packages[1].name: libc6 stands in packages[0] too" in refused(
        CANONICAL.replace(block, f"{block}\n\n{block}")
    )


def test_the_file_of_a_package_goes_without_the_epoch() -> None:
    assert deblock.filename("zlib1g", "1:1.2-1", "amd64") == "zlib1g_1.2-1_amd64.deb"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_lock_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(CANONICAL) - 1))
    piece = data.draw(st.sampled_from(["", '"', "\n", "[", "0", "é", "\0", "=", ".."]))
    text = CANONICAL[:at] + piece + CANONICAL[at + data.draw(st.integers(0, 40)) :]
    with contextlib.suppress(InputError):
        deblock.read(text, file="x")
