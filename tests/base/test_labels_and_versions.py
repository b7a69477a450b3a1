"""Labels, patterns, semantic versions, and quantities as people write them."""

import functools
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base import units
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label, Pattern
from mpbuild.base.version import Version

# semver.org, section 11, items 2 and 4.
PRECEDENCE = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "2.0.0",
    "2.1.0",
    "2.1.1",
]

# The lists that semver.org tests its own expression with.
VALID = [
    "0.0.4",
    "1.2.3",
    "10.20.30",
    "1.1.2-prerelease+meta",
    "1.1.2+meta",
    "1.1.2+meta-valid",
    "1.0.0-alpha",
    "1.0.0-beta",
    "1.0.0-alpha.beta",
    "1.0.0-alpha.beta.1",
    "1.0.0-alpha.1",
    "1.0.0-alpha0.valid",
    "1.0.0-alpha.0valid",
    "1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay",
    "1.0.0-rc.1+build.1",
    "2.0.0-rc.1+build.123",
    "1.2.3-beta",
    "10.2.3-DEV-SNAPSHOT",
    "1.2.3-SNAPSHOT-123",
    "1.0.0",
    "2.0.0",
    "1.1.7",
    "2.0.0+build.1848",
    "2.0.1-alpha.1227",
    "1.0.0-alpha+beta",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12+788",
    "1.2.3----R-S.12.9.1--.12+meta",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12",
    "1.0.0+0.build.1-rc.10000aaa-kk-0.1",
    "99999999999999999999999.999999999999999999.99999999999999999",
    "1.0.0-0A.is.legal",
]
INVALID = [
    "1",
    "1.2",
    "1.2.3-0123",
    "1.2.3-0123.0123",
    "1.1.2+.123",
    "+invalid",
    "-invalid",
    "-invalid+invalid",
    "-invalid.01",
    "alpha",
    "alpha.beta",
    "alpha.beta.1",
    "alpha.1",
    "alpha+beta",
    "alpha_beta",
    "alpha.",
    "alpha..",
    "beta",
    "1.0.0-alpha_beta",
    "-alpha.",
    "1.0.0-alpha..",
    "1.0.0-alpha..1",
    "1.0.0-alpha...1",
    "1.0.0-alpha....1",
    "01.1.1",
    "1.01.1",
    "1.1.01",
    "1.2.3.DEV",
    "1.2-SNAPSHOT",
    "1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788",
    "1.2-RC-SNAPSHOT",
    "-1.0.3-gamma+b7718",
    "+justmeta",
    "9.8.7+meta+meta",
    "9.8.7-whatever+meta+meta",
    "v1.2.3",
    "",
    "1.2.3\n",
    "\u0661.2.3",
]


@pytest.mark.parametrize("text", VALID)
def test_what_the_specification_calls_valid_is_a_version(text):
    assert Version(text) == text


@pytest.mark.parametrize("text", INVALID)
def test_what_the_specification_calls_invalid_is_none(text):
    with pytest.raises(InputError, match="not a semantic version"):
        Version(text)


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations(PRECEDENCE, 2)))
def test_versions_are_ordered_as_the_specification_orders_them(low, high):
    assert Version(low) < Version(high)
    assert Version(high) > Version(low)
    assert Version(low) <= Version(high)
    assert not Version(low) >= Version(high)


def test_sorting_gives_the_order_of_the_specification():
    shuffled = random.Random(7).sample(PRECEDENCE, len(PRECEDENCE))
    assert sorted(map(Version, shuffled)) == PRECEDENCE


def test_build_metadata_does_not_count():
    one, other = Version("1.0.0+a"), Version("1.0.0+b")
    assert one <= other <= one
    assert not one < other
    assert not one > other


IDENTIFIER = st.from_regex(
    r"(0|[1-9][0-9]{0,3}|[0-9]{0,2}[a-zA-Z-][0-9a-zA-Z-]{0,2})", fullmatch=True
)
VERSIONS = st.builds(
    lambda numbers, labels: Version(
        ".".join(map(str, numbers)) + (f"-{'.'.join(labels)}" if labels else "")
    ),
    st.tuples(*[st.integers(0, 12)] * 3),
    st.lists(IDENTIFIER, max_size=3),
)


def precedence(one: str, other: str) -> int:
    """Section 11, word for word."""
    (a, _, x), (b, _, y) = one.partition("-"), other.partition("-")
    releases = [tuple(map(int, text.split("."))) for text in (a, b)]
    if releases[0] != releases[1]:
        return -1 if releases[0] < releases[1] else 1
    if not x or not y:
        return bool(y) - bool(x)
    left, right = x.split("."), y.split(".")
    for i, j in zip(left, right, strict=False):
        if i != j:
            numeric = i.isdigit(), j.isdigit()
            if all(numeric):
                return -1 if int(i) < int(j) else 1
            if any(numeric):
                return -1 if numeric[0] else 1
            return -1 if i < j else 1
    return (len(left) > len(right)) - (len(left) < len(right))


@given(VERSIONS, VERSIONS)
def test_any_two_versions_are_ordered_as_section_11_says(one, other):
    assert (one > other) - (one < other) == precedence(one, other)


@given(st.lists(VERSIONS, max_size=6))
def test_versions_sort_the_same_by_section_11(versions):
    assert sorted(versions) == sorted(versions, key=functools.cmp_to_key(precedence))


def test_a_version_tells_its_release():
    assert Version("1.20.3-rc.1+b").release == (1, 20, 3)


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [("//", "", ""), ("//a", "a", "a"), ("//a/b_c.d+e-f", "a/b_c.d+e-f", "b_c.d+e-f")],
)
def test_a_label_names_a_folder(text, path, name):
    assert (Label(text).path, Label(text).name) == (path, name)


BAD_LABELS = ["", "a", "/a", "///a", "//a/", "//a//b", "//.", "//..", "//a/../b", "//.git", "//a b"]


@pytest.mark.parametrize(
    "text", [*BAD_LABELS, "//a\n", "//...", "//a/...", "//ä", "//a\\b", "//a:b"]
)
def test_what_is_no_label_is_refused(text):
    with pytest.raises(InputError, match="not a label") as caught:
        Label(text)
    assert "//examples/digits" in caught.value.findings[0].hint


@pytest.mark.parametrize(
    "text", [*BAD_LABELS, "...", "/...", "///...", "//a/.../b", "//.../...", "//a/...\n"]
)
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(InputError, match="not a label"):
        Pattern(text)


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("//...", {"//", "//a", "//a/b", "//ab"}),
        ("//a/...", {"//a", "//a/b"}),
        ("//a", {"//a"}),
        ("//", {"//"}),
        ("//a/b/...", {"//a/b"}),
        ("//c/...", set()),
    ],
)
def test_a_pattern_matches_its_folder_and_what_is_below(pattern, matched):
    every = ["//", "//a", "//a/b", "//ab"]
    assert {label for label in every if Pattern(pattern).matches(Label(label))} == matched


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("250ms", 250), ("1.5s", 1500), ("10m", 600_000), ("2h", 7_200_000), ("30d", 2_592_000_000)],
)
def test_a_duration_is_whole_milliseconds(text, milliseconds):
    assert units.milliseconds(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("1KiB", 1024), ("0.5MiB", 524_288), ("1.25 GiB", 1_342_177_280), ("0KiB", 0)],
)
def test_a_size_is_bytes(text, size):
    assert units.size_in_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "ms", "10", "10 parsecs", "-1s", "1e3s", "1,5s", ".5s", "5.s", "\u0661s", "1s\n", "1MS"],
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(InputError, match="not a duration") as caught:
        units.milliseconds(text)
    assert caught.value.findings[0].hint == "write a number and one of ms, s, m, h or d"


@pytest.mark.parametrize("text", ["9" * 5000 + "s", "1." + "9" * 5000 + "s"])
def test_a_number_without_end_is_refused(text):
    with pytest.raises(InputError, match="not a duration") as caught:
        units.milliseconds(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["1B", "1KB", "1kib", "1M"])
def test_a_size_has_a_binary_unit(text):
    with pytest.raises(InputError, match="not a size"):
        units.size_in_bytes(text)


@pytest.mark.parametrize(
    ("read", "text", "unit"),
    [(units.milliseconds, "1.5ms", "milliseconds"), (units.size_in_bytes, "0.0001KiB", "bytes")],
)
def test_what_is_finer_than_the_unit_is_refused(read, text, unit):
    with pytest.raises(InputError, match=f"is not a whole number of {unit}"):
        read(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (14_050_918, "13.4 MiB"),
        (3 << 40, "3072.0 GiB"),
    ],
)
def test_sizes_are_shown_in_the_nearest_unit(count, text):
    assert units.human_size(count) == text
