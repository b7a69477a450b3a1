"""Which wheels fit, and in which order: checked against what packaging says for this machine."""

import platform

import packaging.tags
import pytest
from packaging.tags import Tag

from mpbuild.base.errors import InputError
from mpbuild.formats.python import wheel_tags


def of(filename: str) -> frozenset[Tag]:
    return wheel_tags.WheelName.of(filename).tags


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares with this machine's tags")
def test_platforms_stand_in_the_order_of_packaging() -> None:
    libc, version = platform.libc_ver()
    if libc != "glibc":
        pytest.skip("this machine has no glibc to compare with")
    ranked = wheel_tags.supported("3.11", (2, int(version.split(".")[1])))
    ours = [p for p in dict.fromkeys(tag.platform for tag in ranked) if p != "any"]
    assert ours == list(packaging.tags.platform_tags())


def test_a_newer_glibc_than_the_base_has_does_not_fit() -> None:
    wheel = of("a-1-cp311-cp311-manylinux_2_39_x86_64.whl")
    assert wheel_tags.rank(wheel, wheel_tags.supported("3.11", (2, 36))) is None
    assert wheel_tags.rank(wheel, wheel_tags.supported("3.11", (2, 41))) is not None


def test_the_interpreters_own_build_goes_before_the_stable_abi_and_pure_python() -> None:
    ranked = wheel_tags.supported("3.13", (2, 41))
    found = [
        wheel_tags.rank(of(f"a-1-{tag}.whl"), ranked)
        for tag in ("cp313-cp313-manylinux2014_x86_64", "cp39-abi3-manylinux_2_28_x86_64",
                    "py3-none-manylinux1_x86_64", "py3-none-any")
    ]  # fmt: skip
    assert None not in found
    assert found == sorted(found, key=lambda rank: rank or 0)


@pytest.mark.parametrize(
    ("tag", "glibc"),
    [
        ("py3-none-any", None),
        ("cp311-cp311-linux_x86_64", None),
        ("cp311-cp311-manylinux1_x86_64", (2, 5)),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", (2, 17)),
        ("cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64", (2, 27)),
    ],
)
def test_the_lowest_of_a_wheels_platforms_is_its_floor(tag: str, glibc: object) -> None:
    assert wheel_tags.floor(of(f"a-1-{tag}.whl"), "3.11") == glibc


@pytest.mark.parametrize("text", ["3", "2.7", "3.11.2", "three"])
def test_a_python_is_a_minor_version(text: str) -> None:
    with pytest.raises(InputError, match="not a Python version"):
        wheel_tags.supported(text, (2, 36))
