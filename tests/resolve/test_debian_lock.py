"""The closure of Debian packages: one answer, shared bases, and errors that name the nearest."""

import random

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats import deblock
from mpbuild.formats.debindex import Packages
from mpbuild.resolve import debian


def index(*packages: str) -> Packages:
    """``name version; Field: value; …`` for each package."""
    paragraphs = []
    for package in packages:
        head, *fields = [part.strip() for part in package.split(";")]
        name, version = head.split(" ")
        file = deblock.filename(name, version, "amd64")
        paragraphs.append(
            "\n".join(
                [
                    f"Package: {name}",
                    f"Version: {version}",
                    "Architecture: amd64",
                    *fields,
                    f"Filename: pool/main/{name[0]}/{name}/{file}",
                    f"Size: {len(package)}",
                    f"SHA256: {Digest.of(package.encode()).hex}",
                ]
            )
        )
    return Packages("\n\n".join(paragraphs) + "\n")


def names(packages: Packages, base: list[str], system: list[str] | None = None) -> list[str]:
    return [package.name for package in debian.resolve(packages, base, system or [])]


def test_depends_and_pre_depends_come_in_and_nothing_else() -> None:
    packages = index(
        "python3 3.11-1; Depends: libc6 (>= 2.34), zlib1g; Pre-Depends: libexpat1; Recommends: doc",
        "libc6 2.36-9",
        "zlib1g 1:1.2-1; Depends: libc6",
        "libexpat1 2.5",
        "doc 1",
        "bash 5; Essential: yes",
    )
    assert names(packages, ["python3"]) == ["libc6", "libexpat1", "python3", "zlib1g"]


def test_circles_end() -> None:
    assert names(index("a 1; Depends: b", "b 1; Depends: a"), ["a"]) == ["a", "b"]


def test_what_a_model_adds_is_told_from_the_base() -> None:
    packages = index("a 1; Depends: c", "b 1; Depends: c, d", "c 1", "d 1")
    found = debian.resolve(packages, ["a"], ["b", "a"])
    assert {package.name: package.base for package in found} == {
        "a": True, "b": False, "c": True, "d": False
    }  # fmt: skip


def test_a_models_packages_never_change_the_base() -> None:
    packages = index("a 1; Depends: x | y", "m 1; Depends: y", "x 1", "y 1")
    alone = debian.resolve(packages, ["a"])
    both = debian.resolve(packages, ["a"], ["m"])
    assert [package for package in both if package.base] == list(alone)


def test_the_first_alternative_that_can_be_had_counts() -> None:
    packages = index("a 1; Depends: gone | x (>= 2) | y", "x 1", "y 1")
    assert names(packages, ["a"]) == ["a", "y"]


def test_an_alternative_that_comes_in_anyway_is_enough() -> None:
    packages = index("a 1; Depends: x | y, b", "b 1; Depends: y", "x 1", "y 1")
    assert names(packages, ["a"]) == ["a", "b", "y"]


@pytest.mark.parametrize(
    ("depends", "expected"),
    [
        ("awk", ["a", "gawk"]),
        ("awk (>= 2)", ["a", "mawk"]),
        ("mawk | awk", ["a", "mawk"]),
        ("original-awk | awk", ["a", "gawk"]),
    ],
)
def test_virtual_packages_are_provided_by_the_first_that_fits(depends, expected) -> None:
    packages = index(
        f"a 1; Depends: {depends}", "mawk 1; Provides: awk (= 2.1)", "gawk 1; Provides: awk"
    )
    assert names(packages, ["a"]) == expected


@pytest.mark.parametrize(("qualifier", "met"), [("any", True), ("amd64", True), ("i386", False)])
def test_a_dependency_on_another_architecture_cannot_be_met(qualifier, met) -> None:
    packages = index(f"a 1; Depends: b:{qualifier}", "b 1")
    if met:
        assert names(packages, ["a"]) == ["a", "b"]
    else:
        with pytest.raises(InputError, match="a needs b:i386, which the archive doesn't have"):
            names(packages, ["a"])


def test_what_only_scripts_need_stays_out_unless_it_is_named() -> None:
    packages = index("a 1; Depends: debconf (>= 1) | debconf-2.0, dpkg", "dpkg 1", "debconf 2")
    assert names(packages, ["a"]) == ["a"]
    assert names(packages, ["a", "dpkg"]) == ["a", "dpkg"]


def test_the_order_of_names_and_of_the_index_changes_nothing() -> None:
    rows = ["a 1; Depends: x | y, z", "b 1; Depends: y | x", "x 1; Provides: v",
            "y 1; Provides: v", "z 1; Depends: v"]  # fmt: skip
    first = debian.resolve(index(*rows), ["a", "b"])
    for seed in range(10):
        random.Random(seed).shuffle(rows)
        assert debian.resolve(index(*rows), ["b", "a"]) == first


def test_the_highest_version_of_a_package_counts() -> None:
    (package,) = debian.resolve(index("a 1.0~rc1", "a 1.0", "a 1.0~rc2"), ["a"])
    assert package.version == "1.0"


@pytest.mark.parametrize(
    ("depends", "said"),
    [("b (>= 2)", "a needs b (>= 2), which"), ("c | d", "a needs c | d, which")],
)
def test_a_dependency_that_cannot_be_met_is_named(depends, said) -> None:
    with pytest.raises(InputError) as caught:
        names(index(f"a 1; Depends: {depends}", "b 1"), ["a"])
    assert caught.value.findings[0].code == "spec-invalid"
    assert said in str(caught.value)


@pytest.mark.parametrize("field", ["Conflicts", "Breaks"])
@pytest.mark.parametrize("relation", ["b", "b (<< 2)", "virtual"])
def test_packages_that_exclude_each_other_are_refused(field, relation) -> None:
    packages = index(f"a 1; {field}: {relation}", "b 1; Provides: virtual")
    with pytest.raises(InputError, match="a and b exclude each other"):
        names(packages, ["a"], ["b"])


@pytest.mark.parametrize("relation", ["a", "own", "b (<< 1)", "c"])
def test_a_conflict_with_itself_or_what_is_not_there_is_none(relation) -> None:
    packages = index(f"a 1; Conflicts: {relation}; Provides: own", "b 1", "c 1")
    assert names(packages, ["a", "b"]) == ["a", "b"]


def test_a_name_that_is_no_package_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="no Debian package 'libgompl1'") as caught:
        names(index("libgomp1 12", "libgcc-s1 12"), ["libgompl1"])
    assert caught.value.findings[0].hint == "did you mean libgomp1?"


def test_a_virtual_name_gets_its_providers() -> None:
    with pytest.raises(InputError) as caught:
        names(index("mawk 1; Provides: awk", "gawk 1; Provides: awk"), ["awk"])
    assert "gawk, mawk" in caught.value.findings[0].hint


def test_a_package_outside_the_pool_is_refused() -> None:
    text = "Package: a\nVersion: 1\nArchitecture: amd64\nFilename: ../../a_1_amd64.deb\n"
    packages = Packages(f"{text}Size: 1\nSHA256: {Digest.of(b'').hex}\n")
    with pytest.raises(InputError) as caught:
        names(packages, ["a"])
    assert caught.value.findings[0].code == "content-mismatch"


def test_a_lock_reads_back_and_names_its_files() -> None:
    packages = index("aa 1:1.0-1; Depends: bb", "bb 2")
    wanted = debian.inputs("bookworm", ["aa"])
    lock = debian.lock(wanted, environment="cpu", index=packages)
    assert deblock.read(deblock.write(lock), file="x") == lock
    assert lock.resolution == wanted.digest
    request = debian.requests(lock, ["https://m.example", "file:///srv"])[0]
    assert request.name == "aa_1.0-1_amd64.deb"
    assert request.urls == (
        "https://m.example/pool/main/a/aa/aa_1.0-1_amd64.deb",
        "file:///srv/pool/main/a/aa/aa_1.0-1_amd64.deb",
    )


def test_a_released_file_that_changed_is_an_alarm_never_a_new_lock() -> None:
    wanted = debian.inputs("bookworm", ["a"])
    first = debian.lock(wanted, environment="cpu", index=index("a 1"))
    assert debian.lock(wanted, environment="cpu", index=index("a 1"), previous=first) == first
    with pytest.raises(InputError, match="other bytes") as caught:
        debian.lock(wanted, environment="cpu", index=index("a 1; Section: x"), previous=first)
    assert caught.value.findings[0].code == "content-mismatch"
    assert debian.lock(wanted, environment="cpu", index=index("a 2"), previous=first) != first


def test_inputs_have_one_form() -> None:
    assert debian.inputs("bookworm", ["b", "a", "b"]) == debian.inputs("bookworm", ["a", "b"])
    digests = {
        debian.inputs("bookworm", ["a"]).digest,
        debian.inputs("trixie", ["a"]).digest,
        debian.inputs("bookworm", [], ["a"]).digest,
    }
    assert len(digests) == 3
