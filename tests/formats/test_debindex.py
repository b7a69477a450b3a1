"""Debian control data; versions are compared as dpkg compares them."""

import contextlib
import itertools
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.debian.control import read_paragraphs
from mpbuild.formats.debian.packages_index import PackagesIndex
from mpbuild.formats.debian.relation import Relation, read_relations
from mpbuild.formats.debian.release import listed_files
from mpbuild.formats.debian.version import version_key

# In this order, from the cases that deb-version(7) explains and that tools get wrong.
ASCENDING = [
    ["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0+", "1.0.1"],
    ["1.0~rc1-1", "1.0-0", "1.0-0+b1", "1.0-1~bpo1", "1.0-1", "1.0-1+deb12u1", "1.0-2", "1:0.1"],
    ["0~1", "0", "0a", "0+", "00.1", "1", "1a", "1.", "9", "10"],
    ["1-1~deb12", "1-1", "1-1a1", "1-1a.1", "1-1.1", "1-2-1", "1-10-1"],
]
EQUAL = [("1.0", "1.0-0"), ("1.0", "0:1.0"), ("1.01", "1.1"), ("1a", "1a0")]

versions = st.from_regex(r"([0-2]:)?[0-9][0-9a~+.]{0,5}(-[0-9a~+.]{1,4})?", fullmatch=True)

INDEX = f"""\
Package: mawk
Version: 1.3.4
Architecture: amd64
Provides: awk,
 nawk (= 2.0)
Depends: libc6 (>= 2.34)
Pre-Depends: libm
Filename: pool/main/m/mawk/mawk_1.3.4_amd64.deb
Size: 10
SHA256: {Digest.of(b"mawk").hex}

Package: twice
Version: 1.0
Architecture: all
Filename: pool/main/t/twice/twice_1.0_all.deb
Size: 10
SHA256: {Digest.of(b"old").hex}

Package: twice
Version: 1.0+deb12u1
Architecture: all
Conflicts: once (<< 1)
Breaks: never
Filename: pool/main/t/twice/twice_1.0+deb12u1_all.deb
Size: 11
SHA256: {Digest.of(b"new").hex}
"""


@pytest.mark.parametrize("row", ASCENDING)
def test_versions_sort_as_the_manual_says(row: list[str]) -> None:
    assert all(version_key(a) < version_key(b) for a, b in itertools.pairwise(row))


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_what_is_left_out_counts_as_zero(a: str, b: str) -> None:
    assert version_key(a) == version_key(b)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="no dpkg on this machine to compare with")
@settings(max_examples=60, deadline=None)
@given(versions, versions)
def test_versions_compare_as_in_dpkg(a: str, b: str) -> None:
    ours = ("eq", "gt", "lt")[(version_key(a) > version_key(b)) - (version_key(a) < version_key(b))]
    assert subprocess.run(["dpkg", "--compare-versions", a, ours, b], check=False).returncode == 0


@pytest.mark.parametrize("text", ["", "1 2", "a:1", "-1", "1:", "1-", "1.0_2", "1é"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a Debian version"):
        version_key(text)


def test_paragraphs_are_parted_by_blank_lines_and_fields_have_one_case() -> None:
    text = "\nPackage: a\nX-Long: one\n two\n .\n\tthree\n\n \t\nPACKAGE: b\n"
    assert list(read_paragraphs(text)) == [
        {"package": "a", "x-long": "one\ntwo\n.\nthree"},
        {"package": "b"},
    ]


@pytest.mark.parametrize("text", ["no colon", "A: 1\na: 2", " folded first", ": nameless", "é: x"])
def test_what_is_no_paragraph_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        list(read_paragraphs(text))
    assert caught.value.findings[0].code == "content-mismatch"


def test_relations_hold_alternatives_bounds_qualifiers_and_architectures() -> None:
    assert read_relations("a, b (>= 1:2) | c:any ,\n d:amd64 (= 1) [amd64 i386],") == (
        (Relation("a"),),
        (Relation("b", "", ">=", "1:2"), Relation("c", "any")),
        (Relation("d", "amd64", "=", "1", ("amd64", "i386")),),
    )


@pytest.mark.parametrize("text", ["a b", "a (1)", "a (> 1)", "a (>= )", "a |", "A", "a <!nocheck>"])
def test_what_is_no_relation_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a relation"):
        read_relations(text)


@pytest.mark.parametrize(
    ("operator", "below", "same", "above"),
    [("<<", True, False, False), ("<=", True, True, False), ("=", False, True, False),
     (">=", False, True, True), (">>", False, False, True)],
)  # fmt: skip
def test_a_bound_admits_what_its_operator_says(
    operator: str, below: bool, same: bool, above: bool
) -> None:
    relation = Relation("a", "", operator, "1.0-1")
    assert [relation.admits(v) for v in ("1.0~rc1", "1.0-1", "1.0-2")] == [below, same, above]


@pytest.mark.parametrize(
    ("architectures", "applies"),
    [((), True), (("amd64",), True), (("arm64",), False), (("!amd64", "!i386"), False),
     (("!arm64",), True), (("linux-any",), True)],
)  # fmt: skip
def test_a_relation_applies_to_the_architectures_it_lists(
    architectures: tuple[str, ...], applies: bool
) -> None:
    assert Relation("a", architectures=architectures).applies("amd64") is applies


def test_an_index_gives_packages_by_name_in_their_highest_version() -> None:
    twice = PackagesIndex(INDEX).get("twice")
    assert twice is not None
    assert (twice.version, twice.size, twice.sha256) == ("1.0+deb12u1", 11, Digest.of(b"new"))
    assert [str(relation) for relation in twice.conflicts] == ["once (<< 1)", "never"]


def test_security_updates_are_distinguished_from_the_suites_own_packages() -> None:
    updates = INDEX.replace("1.3.4", "1.3.4+deb12u1").replace("Package: twice", "Package: more")
    packages = PackagesIndex(INDEX, updates)
    assert [(p.version, p.security) for p in packages.versions("mawk")] == [
        ("1.3.4+deb12u1", True),
        ("1.3.4", False),
    ]
    assert [p.security for p in packages.versions("more")] == [True, True]
    assert [p.name for p in packages.providers(Relation("awk"))] == ["mawk"]


def test_of_equal_versions_the_suites_own_is_the_newest() -> None:
    packages = PackagesIndex(INDEX, INDEX)
    assert [p.security for p in packages.versions("mawk")] == [False, True]


def test_a_kept_version_goes_before_a_newer_one() -> None:
    packages = PackagesIndex(INDEX)
    new, old = packages.versions("twice")
    kept = packages.keeping({"twice": old})
    assert (kept.get("twice"), kept.newest("twice")) == (old, new)
    assert kept.get("mawk") == packages.get("mawk")
    assert (kept.held("twice"), kept.held("mawk"), kept.all_held) == (True, False, {"twice"})
    assert packages.keeping({"twice": new}).all_held == frozenset()
    assert packages.get("twice") == new


def test_pre_depends_count_as_depends() -> None:
    mawk = PackagesIndex(INDEX).get("mawk")
    assert mawk is not None
    assert mawk.depends == ((Relation("libm"),), (Relation("libc6", "", ">=", "2.34"),))


@pytest.mark.parametrize(
    ("relation", "provided"),
    [
        (Relation("awk"), True),
        (Relation("awk", "", ">=", "1"), False),
        (Relation("nawk", "", ">=", "1"), True),
        (Relation("nawk", "", ">=", "3"), False),
        (Relation("gawk"), False),
    ],
)
def test_a_bound_is_met_only_by_a_versioned_provides(relation: Relation, provided: bool) -> None:
    assert [p.name for p in PackagesIndex(INDEX).providers(relation)] == ["mawk"] * provided


def test_a_package_that_is_not_there_is_none() -> None:
    assert PackagesIndex(INDEX).get("gawk") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [("Size: 10", "Size: -1"), ("Size: 10", "Sise: 10"), ("SHA256: ", "SHA256: x"),
     ("Version: 1.3.4\n", ""), ("Depends: libc6", "Depends: LIBC")],
)  # fmt: skip
def test_a_broken_package_is_refused_when_it_is_requested(old: str, new: str) -> None:
    with pytest.raises(InputError) as caught:
        PackagesIndex(INDEX.replace(old, new, 1)).get("mawk")
    assert caught.value.findings[0].code == "content-mismatch"


def test_a_release_lists_files_by_digest_and_size() -> None:
    digest = Digest.of(b"x")
    release = next(read_paragraphs(f"Suite: a\nSHA256:\n {digest.hex} 12 main/Packages.xz\n"))
    assert listed_files(release) == {"main/Packages.xz": (digest, 12)}


def test_a_release_with_a_broken_line_is_refused() -> None:
    with pytest.raises(InputError, match="not a checksum line"):
        listed_files({"sha256": "\nabc 12 main/Packages"})


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("aZ1:~ \t\n-+().,|[]é"), max_size=60))
def test_no_text_makes_the_readers_crash(text: str) -> None:
    for read in (
        version_key,
        read_relations,
        lambda t: list(read_paragraphs(t)),
    ):
        with contextlib.suppress(InputError):
            read(text)
