"""The closure of Debian packages: one answer, shared bases, and errors that name the nearest."""

import random
from collections.abc import Collection

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.app.fetch.file_requests import pool_requests
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.debian import deblock
from mpbuild.formats.debian.deblock import DebianLock, Link
from mpbuild.formats.debian.packages_index import PackagesIndex
from mpbuild.locks import debian_closure, debian_lock
from mpbuild.spec.workspace import LinkSettings as LinkTable


def index(*packages: str, security: tuple[str, ...] = ()) -> PackagesIndex:
    """``name version; Field: value; …`` for each package."""
    return PackagesIndex(text("pool/main", *packages), text("pool/updates/main", *security))


def text(pool: str, *packages: str) -> str:
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
                    f"Filename: {pool}/{name[0]}/{name}/{file}",
                    f"Size: {len(package)}",
                    f"SHA256: {Digest.of(package.encode()).hex}",
                ]
            )
        )
    return "\n\n".join(paragraphs) + "\n"


def names(packages: PackagesIndex, base: list[str], system: list[str] | None = None) -> list[str]:
    return [package.name for package in debian_closure.resolve(packages, base, system or [])]


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


def test_what_a_model_adds_is_distinguished_from_the_base() -> None:
    packages = index("a 1; Depends: c", "b 1; Depends: c, d", "c 1", "d 1")
    found = debian_closure.resolve(packages, ["a"], ["b", "a"])
    assert {package.name: package.base for package in found} == {
        "a": True, "b": False, "c": True, "d": False
    }  # fmt: skip


def test_a_models_packages_never_change_the_base() -> None:
    packages = index("a 1; Depends: x | y", "m 1; Depends: y", "x 1", "y 1")
    alone = debian_closure.resolve(packages, ["a"])
    both = debian_closure.resolve(packages, ["a"], ["m"])
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
        with pytest.raises(InputError, match="a needs b:i386, which the archive lacks"):
            names(packages, ["a"])


def test_what_only_scripts_need_stays_out_unless_it_is_named() -> None:
    packages = index("a 1; Depends: debconf (>= 1) | debconf-2.0, dpkg", "dpkg 1", "debconf 2")
    assert names(packages, ["a"]) == ["a"]
    assert names(packages, ["a", "dpkg"]) == ["a", "dpkg"]


def test_the_order_of_names_and_of_the_index_changes_nothing() -> None:
    rows = ["a 1; Depends: x | y, z", "b 1; Depends: y | x", "x 1; Provides: v",
            "y 1; Provides: v", "z 1; Depends: v"]  # fmt: skip
    first = debian_closure.resolve(index(*rows), ["a", "b"])
    for seed in range(10):
        random.Random(seed).shuffle(rows)
        assert debian_closure.resolve(index(*rows), ["b", "a"]) == first


def test_the_highest_version_of_a_package_counts() -> None:
    (package,) = debian_closure.resolve(index("a 1.0~rc1", "a 1.0", "a 1.0~rc2"), ["a"])
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
    with pytest.raises(InputError, match="a and b conflict"):
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
    packages = PackagesIndex(f"{text}Size: 1\nSHA256: {Digest.of(b'').hex}\n")
    with pytest.raises(InputError) as caught:
        names(packages, ["a"])
    assert caught.value.findings[0].code == "content-mismatch"


def test_a_lock_reads_back_and_names_its_files() -> None:
    packages = index("aa 1:1.0-1; Depends: bb", "bb 2")
    wanted = debian_lock.inputs("bookworm", ["aa"])
    lock = locked(wanted, packages)
    assert deblock.read(deblock.write(lock), file="x") == lock
    assert lock.resolution == wanted.digest
    request = next(pool_requests(lock.packages, ["https://m.example", "file:///srv"]))
    assert request.name == "aa_1.0-1_amd64.deb"
    assert request.urls == (
        "https://m.example/pool/main/a/aa/aa_1.0-1_amd64.deb",
        "file:///srv/pool/main/a/aa/aa_1.0-1_amd64.deb",
    )


def test_a_package_comes_from_the_mirrors_of_the_archive_that_has_it() -> None:
    packages = index("aa 1; Depends: bb", "bb 1", security=("bb 1+deb12u1",))
    lock = locked(debian_lock.inputs("bookworm", ["aa"]), packages)
    assert [(package.name, package.security) for package in lock.packages] == [
        ("aa", False), ("bb", True)
    ]  # fmt: skip
    assert deblock.read(deblock.write(lock), file="x") == lock
    main, updates = pool_requests(lock.packages, ["https://m.example"], ["https://s.example"])
    assert main.urls == ("https://m.example/pool/main/a/aa/aa_1_amd64.deb",)
    assert updates.urls == ("https://s.example/pool/updates/main/b/bb/bb_1+deb12u1_amd64.deb",)


def test_a_released_file_that_changed_is_an_alarm_never_a_new_lock() -> None:
    wanted = debian_lock.inputs("bookworm", ["a"])
    first = locked(wanted, index("a 1"))
    assert locked(wanted, index("a 1"), first) == first
    for fresh in ((), {"a"}):
        with pytest.raises(InputError, match="the archive has sha256") as caught:
            locked(wanted, index("a 1; Section: x"), first, fresh)
        assert caught.value.findings[0].code == "content-mismatch"
        assert caught.value.findings[0].where == "pool/main/a/a/a_1_amd64.deb"
    assert locked(wanted, index("a 2"), first) != first


def test_other_bytes_in_the_archive_of_security_updates_are_an_alarm_too() -> None:
    wanted = debian_lock.inputs("bookworm", ["a"])
    first = locked(wanted, index("a 1"))
    with pytest.raises(InputError, match="the archive has sha256"):
        locked(wanted, index("a 1", security=("a 1; Section: x",)), first)


def test_a_locked_version_stays_while_the_archive_has_it_unless_it_shall_not() -> None:
    wanted = debian_lock.inputs("bookworm", ["a", "b"])
    first = locked(wanted, index("a 1", "b 1"))
    later = index("a 1", "a 2", "b 1", security=("b 1+u1",))
    assert locked(wanted, later, first) == first
    assert versions(locked(wanted, later, first, {"a"})) == {"a": "2", "b": "1"}
    assert versions(locked(wanted, later, first, {"a", "b"})) == {"a": "2", "b": "1+u1"}
    assert versions(locked(wanted, later)) == {"a": "2", "b": "1+u1"}


def test_what_the_archive_has_dropped_moves_and_nothing_else() -> None:
    wanted = debian_lock.inputs("bookworm", ["a", "b"])
    first = locked(wanted, index("a 1", "b 1"))
    assert versions(locked(wanted, index("a 2", "b 1", "b 2"), first)) == {"a": "2", "b": "1"}


def test_a_file_that_is_in_both_archives_stays_where_it_was_locked() -> None:
    wanted = debian_lock.inputs("bookworm", ["a"])
    first = locked(wanted, index(security=("a 1",)))
    both = index("a 1", security=("a 1",))
    assert locked(wanted, both, first) == first
    assert first.packages[0].security
    assert not locked(wanted, both).packages[0].security


def test_a_locked_version_gives_way_to_what_needs_a_newer_one() -> None:
    wanted = debian_lock.inputs("bookworm", ["a"], ["m"])
    first = locked(wanted, index("a 1; Depends: b", "b 1", "m 1"))
    later = index("a 1; Depends: b", "b 1", "b 2", "m 2; Depends: b (>= 2)")
    assert versions(locked(wanted, later, first)) == {"a": "1", "b": "2", "m": "2"}


def test_a_locked_version_gives_way_with_what_it_needs_exactly() -> None:
    wanted = debian_lock.inputs("bookworm", ["a"])
    first = locked(wanted, index("a 1; Depends: b (= 1)", "b 1"))
    later = index("a 1; Depends: b (= 1)", "a 2; Depends: b (= 2)", "b 2")
    assert versions(locked(wanted, later, first)) == {"a": "2", "b": "2"}


def test_a_locked_version_gives_way_where_it_excludes_what_comes_in() -> None:
    first = locked(debian_lock.inputs("bookworm", ["a"]), index("a 1"))
    later = index("a 1", "a 2", "c 1; Breaks: a (<< 2)")
    wanted = debian_lock.inputs("bookworm", ["a", "c"])
    assert versions(locked(wanted, later, first)) == {"a": "2", "c": "1"}
    with pytest.raises(InputError, match="c and a conflict"):
        locked(wanted, index("a 1", "c 1; Breaks: a"), first)


def test_a_locked_provider_gives_way_where_only_a_newer_one_provides() -> None:
    first = locked(debian_lock.inputs("bookworm", ["p"]), index("p 1"))
    later = index("p 1", "p 2; Provides: v", "a 1; Depends: v")
    wanted = debian_lock.inputs("bookworm", ["p", "a"])
    assert versions(locked(wanted, later, first)) == {"a": "1", "p": "2"}


def test_environments_of_one_base_share_it_whenever_they_were_locked() -> None:
    cpu, train = debian_lock.inputs("bookworm", ["a"]), debian_lock.inputs("bookworm", ["a"], ["m"])
    old = debian_lock.lock({"cpu": cpu}, index=index("a 1"))
    later = index("a 1", "a 2", "m 1")
    found = debian_lock.lock({"cpu": cpu, "train": train}, index=later, previous=old)
    assert versions(found["cpu"]) == {"a": "1"}
    assert versions(found["train"]) == {"a": "1", "m": "1"}
    needs = index("a 1", "a 2", "m 1; Depends: a (>= 2)")
    found = debian_lock.lock({"cpu": cpu, "train": train}, index=needs, previous=old)
    assert versions(found["cpu"]) == {"a": "2"}, "the base is the same in both"
    assert versions(found["train"]) == {"a": "2", "m": "1"}


def test_of_several_locked_versions_the_highest_stays() -> None:
    one = locked(debian_lock.inputs("bookworm", ["a"]), index("a 9"))
    other = locked(debian_lock.inputs("bookworm", ["a"]), index("a 10"))
    wanted = dict.fromkeys(("one", "other"), debian_lock.inputs("bookworm", ["a"]))
    later = index("a 9", "a 10", "a 11")
    found = debian_lock.lock(wanted, index=later, previous={"one": one, "other": other})
    assert [versions(lock) for lock in found.values()] == [{"a": "10"}, {"a": "10"}]


BOUNDS = st.sampled_from(["", " (= 1)", " (>= 2)", " (= 2)", " (<< 2)"])
EDGES = st.dictionaries(
    st.sampled_from([(n, v) for n in "abcd" for v in "12"]),
    st.tuples(st.sampled_from("abcd"), BOUNDS),
    min_size=4,
)


@settings(max_examples=200)
@given(EDGES)
def test_keeping_gives_a_sound_lock_or_the_error_that_locking_anew_gives(edges) -> None:
    rows = [f"{n} {v}; Depends: {other}{bound}" for (n, v), (other, bound) in edges.items()]
    packages, wanted = index(*rows), debian_lock.inputs("bookworm", ["a"])
    old = msgspec.structs.replace(
        locked(debian_lock.inputs("bookworm", []), packages),
        packages=tuple(package(packages, name) for name in packages.names),
    )
    anew = outcome(wanted, packages)
    kept = outcome(wanted, packages, old)
    if isinstance(kept, str):
        assert kept == anew, "keeping may solve more, never less"
        return
    by_name = {p.name: p for p in kept.packages}
    for one in by_name.values():
        ((relation,),) = next(
            p.depends for p in packages.versions(one.name) if p.version == one.version
        )
        assert relation.admits(by_name[relation.name].version)


def package(packages: PackagesIndex, name: str) -> deblock.DebianPackage:
    """The lowest version there is, as locked."""
    found = packages.versions(name)[-1]
    return debian_closure.locked(found, base=True)


def outcome(
    wanted: debian_lock.DebianInputs, packages: PackagesIndex, old: DebianLock | None = None
):
    try:
        return locked(wanted, packages, old)
    except InputError as error:
        return str(error)


def test_newer_versions_are_reported_and_which_of_them_are_security_updates() -> None:
    wanted = debian_lock.inputs("bookworm", ["a", "b", "c", "d", "e"])
    lock = locked(wanted, index("a 1", "b 1", "c 1", "d 1", "e 1"))
    later = index("a 1", "b 1", "b 2", "d 2", security=("c 1+u1", "b 1"))
    assert debian_lock.newer(lock, later) == (
        debian_lock.OutdatedPackage("b", "1", "2", security=False, gone=False),
        debian_lock.OutdatedPackage("c", "1", "1+u1", security=True, gone=True),
        debian_lock.OutdatedPackage("d", "1", "2", security=False, gone=True),
        debian_lock.OutdatedPackage("e", "1", "", security=False, gone=True),
    )


LINKS = (
    LinkTable(package="b", path="/usr/bin/b", target="/usr/bin/b1"),
    LinkTable(package="a", omitted="nobody calls it"),
)


def test_link_tables_of_base_and_model_go_into_the_lock_without_reasons() -> None:
    wanted = debian_lock.inputs(
        "bookworm", ["a"], ["b"], base_links=LINKS[1:], system_links=LINKS[:1]
    )
    lock = locked(wanted, index("a 1", "b 1"))
    assert lock.links == (Link("a"), Link("b", "/usr/bin/b", "/usr/bin/b1"))
    assert "nobody" not in deblock.write(lock)
    other = LinkTable(package="a", omitted="another reason")
    again = debian_lock.inputs("bookworm", ["a"], ["b"], base_links=[other], system_links=LINKS[:1])
    assert again.digest == wanted.digest, "a reason is for people"


@pytest.mark.parametrize(
    ("base", "system", "said"),
    [
        (LINKS[:1], (), "the base's links name b, which is not one of its packages"),
        ((), LINKS[1:], "environment.links name a, which is part of the base"),
        (
            (),
            (LinkTable(package="c", omitted="x"),),
            "environment.links name c, which is not one of the packages",
        ),
        (
            (LinkTable(package="a", path="/usr/bin/b", target="/usr/bin/a"),),
            LINKS[:1],
            "the link table has two links at /usr/bin/b",
        ),
    ],
)
def test_a_link_table_is_of_the_packages_beside_it(base, system, said) -> None:
    wanted = debian_lock.inputs("bookworm", ["a"], ["b"], base_links=base, system_links=system)
    with pytest.raises(InputError) as caught:
        locked(wanted, index("a 1", "b 1"))
    assert [finding.message for finding in caught.value.findings] == [said]


def locked(
    wanted: debian_lock.DebianInputs,
    packages: PackagesIndex,
    previous: DebianLock | None = None,
    fresh: Collection[str] = (),
) -> DebianLock:
    """The lock of one environment."""
    before = {"cpu": previous} if previous else {}
    return debian_lock.lock({"cpu": wanted}, index=packages, previous=before, fresh=fresh)["cpu"]


def versions(lock: DebianLock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_inputs_have_one_form() -> None:
    assert debian_lock.inputs("bookworm", ["b", "a", "b"]) == debian_lock.inputs(
        "bookworm", ["a", "b"]
    )
    digests = {
        debian_lock.inputs("bookworm", ["a"]).digest,
        debian_lock.inputs("trixie", ["a"]).digest,
        debian_lock.inputs("bookworm", [], ["a"]).digest,
        debian_lock.inputs("bookworm", ["a"], security=False).digest,
        debian_lock.inputs("bookworm", ["a"], snapshot="20261101T000000Z").digest,
        debian_lock.inputs("bookworm", ["a"], base_links=LINKS).digest,
        debian_lock.inputs("bookworm", ["a"], system_links=LINKS).digest,
    }
    assert len(digests) == 7
