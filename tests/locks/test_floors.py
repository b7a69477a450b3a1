"""What wheels ask of base and machine is compared with what there is."""

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import Finding
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage
from mpbuild.locks import floors
from mpbuild.locks.python_inputs import inputs
from mpbuild.spec.environment import (
    AcceleratorEnvironment,
    CudaEnvironment,
    CudaRequirements,
    RocmEnvironment,
)

WANTED = inputs(["a"], python="3.11", suite="bookworm")
TABLES = {"cpu": AcceleratorEnvironment(), "cuda": CudaEnvironment(), "rocm": RocmEnvironment()}
CUDA_13 = {"nvidia-cuda-runtime": "13.5.37"}
CUDA_12 = {"nvidia-cuda-runtime-cu12": "12.4.127"}


def lock(environment: str, packages: dict[str, str], tag: str = "py3-none-any") -> PythonLock:
    return PythonLock(
        environment=environment,
        python="3.11",
        resolution=WANTED.digest,
        resolver="uv 0.13.9",
        packages=tuple(
            PythonPackage(
                name=name,
                version=version,
                wheel=LockedWheel(
                    filename=f"{name.replace('-', '_')}-{version}-{tag}.whl",
                    sha256=Digest.of(b""),
                    size=1,
                ),
            )
            for name, version in packages.items()
        ),
    )


def check(found: PythonLock, own: AcceleratorEnvironment | None = None) -> list[Finding]:
    table = own or TABLES.get(found.environment)
    return floors.check(found, WANTED, table, lock_file="lock", spec_file="spec")


def requiring(**requirements: str) -> CudaEnvironment:
    dotted = {key: DottedVersion(text) for key, text in requirements.items()}
    return CudaEnvironment(requires=CudaRequirements(**dotted))


@pytest.mark.parametrize("environment", ["cpu", "cuda", "rocm", "train"])
def test_a_modest_lock_asks_for_nothing(environment: str) -> None:
    assert check(lock(environment, {"a": "1.0"}, "cp311-cp311-manylinux_2_36_x86_64")) == []


def test_a_newer_glibc_than_the_base_has_is_malformed() -> None:
    (finding,) = check(lock("cpu", {"a": "1.0"}, "cp311-cp311-manylinux_2_39_x86_64"))
    assert (finding.code, finding.where) == ("lock-malformed", "lock")
    assert finding.message == "its wheels need glibc 2.39, but the base has 2.36"


@pytest.mark.parametrize("environment", ["cpu", "rocm"])
def test_nvidia_belongs_to_cuda_alone(environment: str) -> None:
    (finding,) = check(lock(environment, {"a": "1.0"} | CUDA_12))
    assert (finding.code, finding.where) == ("spec-invalid", "spec")
    assert finding.message == (
        f"the dependencies of {environment} include nvidia-cuda-runtime-cu12 12.4.127"
    )
    assert "build without CUDA" in finding.hint


@pytest.mark.parametrize("environment", ["cuda", "train"])
def test_cuda_and_steps_may_have_it(environment: str) -> None:
    assert check(lock(environment, CUDA_13)) == []


@pytest.mark.parametrize(
    ("packages", "driver"),
    [(CUDA_13, "580"), (CUDA_13, "580.65.06"), (CUDA_12, "525.60.13"), (CUDA_12, "580"), ({}, "1")],
)
def test_a_spec_may_require_what_the_lock_needs_or_more(packages, driver: str) -> None:
    assert check(lock("cuda", packages), requiring(driver=driver)) == []


@pytest.mark.parametrize(
    ("packages", "driver", "said"),
    [
        (CUDA_13, "525.60.13", "is >=525.60.13, but CUDA 13.5 of the lock needs 580"),
        (CUDA_13, "579.99", "is >=579.99, but CUDA 13.5 of the lock needs 580"),
        (CUDA_12, "525", "is >=525, but CUDA 12.4 of the lock needs 525.60.13"),
    ],
)
def test_a_spec_that_requires_an_older_driver_is_reported_both(packages, driver, said) -> None:
    (finding,) = check(lock("cuda", packages), requiring(driver=driver))
    assert (finding.code, finding.where) == ("spec-invalid", "spec")
    assert finding.message == f"accelerators.cuda.requires.driver {said}"
    assert finding.hint.startswith("write >=5")


@pytest.mark.parametrize(
    ("packages", "capability", "good"),
    [(CUDA_13, "7.5", True), (CUDA_13, "7.0", False), (CUDA_12, "7.0", True), ({}, "3.5", True)],
)
def test_cuda_13_drops_processors_below_7_5(packages, capability: str, good: bool) -> None:
    findings = check(lock("cuda", packages), requiring(compute_capability=capability))
    assert good is not any("requires.compute_capability" in f.message for f in findings)


def test_everything_is_reported_at_once() -> None:
    findings = check(lock("cuda", CUDA_13), requiring(driver="1", compute_capability="5.0"))
    assert len(findings) == 2


@pytest.mark.parametrize(
    ("packages", "code"),
    [
        (CUDA_12 | CUDA_13, "spec-invalid"),
        ({"nvidia-cuda-runtime": "14.0"}, "not-supported-yet"),
    ],
)
def test_a_cuda_without_a_floor_is_refused(packages: dict[str, str], code: str) -> None:
    (finding,) = check(lock("cuda", packages))
    assert (finding.code, finding.where) == (code, "lock")
