"""Which CUDA a lock brings, read from the names and versions of its packages."""

import pytest

from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import InputError
from mpbuild.formats import cuda


@pytest.mark.parametrize(
    ("packages", "version"),
    [
        ({}, None),
        ({"numpy": "2.4.6", "cuda-python": "13.0"}, None),
        ({"nvidia-ml-py": "13.580.82"}, None),
        ({"nvidia-cuda-runtime": "13.5.37"}, "13.5"),
        ({"nvidia-cuda-runtime-cu12": "12.4.127"}, "12.4"),
        ({"nvidia-cuda-runtime": "13.5.37", "nvidia-cudnn-cu13": "9.28.1.4"}, "13.5"),
        ({"nvidia-cudnn-cu12": "9.1", "nvidia-nccl-cu12": "2.30"}, "12.0"),
        ({"nvidia-cuda-runtime-cu11": "11"}, "11.0"),
    ],
)
def test_the_runtime_tells_the_version_or_other_names_do(packages, version) -> None:
    assert cuda.version(packages) == version


def test_wheels_for_two_versions_are_refused() -> None:
    with pytest.raises(InputError, match="more than one CUDA") as caught:
        cuda.version({"nvidia-cuda-runtime": "13.5.37", "nvidia-nccl-cu12": "2.30"})
    assert "nvidia-cuda-runtime for 13, nvidia-nccl-cu12 for 12" in str(caught.value)


@pytest.mark.parametrize(
    ("version", "driver", "capability"),
    [("11.8", "450.80.02", "3.5"), ("12.9", "525.60.13", "5.0"), ("13.5", "580", "7.5")],
)
def test_floors_go_by_the_major_version(version, driver, capability) -> None:
    assert cuda.floor(DottedVersion(version)) == (driver, capability)


def test_a_version_whose_driver_nobody_knows_is_not_supported_yet() -> None:
    with pytest.raises(InputError, match=r"CUDA 14\.0 is not supported") as caught:
        cuda.floor(DottedVersion("14.0"))
    assert caught.value.findings[0].code == "not-supported-yet"


@pytest.mark.parametrize(
    ("name", "is_one"), [("nvidia-cublas", True), ("numpy", False), ("not-nvidia", False)]
)
def test_nvidias_packages_are_known_by_their_names(name, is_one) -> None:
    assert cuda.is_nvidia(name) is is_one
