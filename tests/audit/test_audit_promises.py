"""A file name that promises what the wheel doesn't hold is told of; what builders write passes."""

import msgspec
import pytest

from mpbuild.audit.tag_promises import check
from mpbuild.derive.elf_needs import ElfFile


def mismatches(make, filename, *tags, **options):
    wheel = make.wheel(filename, tags=tags)
    return list(check(make.subject({filename: wheel}, **options)))


GOOD = {
    "as auditwheel writes it": (
        "a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        ("cp311-cp311-manylinux2014_x86_64", "cp311-cp311-manylinux_2_17_x86_64"),
    ),
    "a set in one line": (
        "a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        ("cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64",),
    ),
    "only one of the two names": (
        "a-1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        ("cp311-cp311-manylinux_2_28_x86_64",),
    ),
    "pure, of both Pythons": ("a-1-py2.py3-none-any.whl", ("py2-none-any", "py3-none-any")),
    "the stable ABI": ("a-1-cp39-abi3-linux_x86_64.whl", ("cp39-abi3-linux_x86_64",)),
    "an older glibc than named": (
        "a-1-py3-none-manylinux_2_27_x86_64.whl", ("py3-none-manylinux1_x86_64",),
    ),
    "a plain linux wheel": ("a-1-cp311-cp311-linux_x86_64.whl", ("cp311-cp311-linux_x86_64",)),
    "linux, named so": ("a-1-cp311-cp311-linux_x86_64.whl", ("cp311-cp311-manylinux_2_28_x86_64",)),
    "more than named": (
        "a-1-py3-none-any.whl", ("py2-none-any", "py3-none-any"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", GOOD)
def test_what_builders_write_passes(make, how):
    filename, tags = GOOD[how]
    assert not mismatches(make, filename, *tags)


CP311 = "a-1-cp311-cp311-manylinux_2_28_x86_64.whl"
WRONG = {
    "another Python": (CP311, ("cp312-cp312-manylinux_2_28_x86_64",)),
    "another machine": (CP311, ("cp311-cp311-manylinux_2_28_aarch64",)),
    "a newer glibc than the base's": (CP311, ("cp311-cp311-manylinux_2_39_x86_64",)),
    "nothing": ("a-1-py3-none-any.whl", ()),
    "no tag": ("a-1-py3-none-any.whl", ("anything",)),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_a_wheel_that_was_built_for_something_else_is_an_error(make, how):
    filename, tags = WRONG[how]
    (found,) = mismatches(make, filename, *tags)
    assert found.code == "tag-mismatch"
    assert found.finding.severity == "error"
    assert found.packages == ("a",)
    assert "it is not built for Python 3.11 on this base" in found.finding.message


def test_a_promise_of_a_glibc_that_nobody_checked_is_a_warning(make):
    """As onnxruntime-migraphx is published."""
    (found,) = mismatches(
        make, "a-1-cp311-cp311-manylinux_2_34_x86_64.whl", "cp311-cp311-linux_x86_64"
    )
    assert found.finding.severity == "warning"
    assert found.finding.message == (
        "WHEEL of a has the tags cp311-cp311-linux_x86_64, its file name"
        " cp311-cp311-manylinux_2_34_x86_64: its glibc was not checked"
    )


def test_a_newer_glibc_than_named_that_the_base_has_is_a_warning(make):
    (found,) = mismatches(
        make, "a-1-cp311-cp311-manylinux_2_17_x86_64.whl", "cp311-cp311-manylinux_2_28_x86_64"
    )
    assert found.finding.severity == "warning"


# ---- symbols


def with_needs(make, filename, **versions):
    """A wheel with one object that needs these versions of the C and C++ libraries."""
    names = {"c": "libc.so.6", "m": "libm.so.6", "cxx": "libstdc++.so.6"}
    elf = ElfFile(versions_needed={names[key]: found for key, found in versions.items()})
    facts = msgspec.structs.replace(make.facts(make.wheel(filename)), elf={"a/native.so": elf})
    return list(check(make.subject({filename: facts})))


@pytest.mark.parametrize(
    ("policy", "newest"),
    [("2_17", "3.4.19"), ("2_28", "3.4.24"), ("2_31", "3.4.28"), ("2_34", "3.4.29"),
     ("2_35", "3.4.30"), ("2_30", "3.4.24"), ("2_36", "3.4.30")],
)  # fmt: skip
def test_the_ceiling_of_glibcxx_is_that_of_the_policy(make, policy, newest):
    filename = f"a-1-cp311-cp311-manylinux_{policy}_x86_64.whl"
    assert not with_needs(make, filename, cxx=("GLIBCXX_3.4", f"GLIBCXX_{newest}", "CXXABI_1.3"))
    above = newest.rpartition(".")
    next_one = f"{above[0]}.{int(above[2]) + 1}"
    (found,) = with_needs(make, filename, cxx=(f"GLIBCXX_{next_one}",))
    assert found.code == "tag-mismatch"
    assert found.finding.severity == "warning"
    assert found.finding.message == (
        f"a/native.so of a needs GLIBCXX_{next_one}, but its file name's manylinux_{policy}"
        f" allows {newest}"
    )


def test_the_glibc_of_any_of_its_libraries_counts(make):
    filename = "a-1-cp311-cp311-manylinux2014_x86_64.whl"
    assert not with_needs(make, filename, c=("GLIBC_2.17", "GLIBC_2.2.5"), m=("GLIBC_2.9",))
    (found,) = with_needs(make, filename, c=("GLIBC_2.4",), m=("GLIBC_2.29", "GLIBC_2.27"))
    assert (
        "needs GLIBC_2.29, but its file name's manylinux_2_17 allows 2.17" in found.finding.message
    )


def test_a_wheel_that_promises_no_glibc_breaks_no_promise(make):
    assert not with_needs(make, "a-1-cp311-cp311-linux_x86_64.whl", c=("GLIBC_2.99",))
