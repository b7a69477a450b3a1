"""Driver libraries that images take from machines, and variables for container runtimes."""

import pytest

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.derive import accelerators
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage
from mpbuild.spec.read import model_from_document

CPU, CUDA, ROCM = Accelerator


@pytest.fixture
def model():
    """A spec whose accelerators have these tables."""

    def model(**tables):
        version = "1.0.0"
        tensor = {"name": "x", "datatype": "FP32", "shape": [1]}
        document = {
            "schema_version": 1,
            "package": {
                "name": "a",
                "version": version,
                "summary": "A.",
                "owners": ["a"],
                "license": "MIT",
            },
            "core": {
                "version": version,
                "task": "a",
                "format": "a",
                "entry_point": "a:A",
                "sources": ["a.py"],
            },
            "io": {"version": version, "inputs": [tensor], "outputs": [tensor]},
            "environment": {"version": version, "python": "3.11", "base": "b"},
            "accelerators": tables,
        }
        return model_from_document(document, where="spec", workspace=None)

    return model


def lock(version: str | None = None) -> PythonLock:
    name = "nvidia-cuda-runtime"
    filename = f"nvidia_cuda_runtime-{version}-py3-none-any.whl"
    wheel = LockedWheel(filename=filename, sha256=Digest.of(b""), size=1)
    package = PythonPackage(name=name, version=version or "", wheel=wheel)
    return PythonLock(
        environment="cuda",
        python="3.11",
        resolution=Digest.of(b""),
        resolver="uv 1",
        packages=(package,) if version else (),
    )


def test_the_driver_supplies_what_belongs_to_its_kernel_module(model):
    tables = model(cpu={}, cuda={}, rocm={})
    assert accelerators.supplied_by_host(tables, CUDA) == {"libcuda.so.1", "libnvidia-ml.so.1"}
    assert accelerators.supplied_by_host(tables, CPU) == frozenset()
    assert accelerators.supplied_by_host(tables, ROCM) == frozenset()


def test_the_spec_declares_what_else_the_machine_supplies(model):
    requires = {"libraries": ["libamdhip64.so.7"]}
    tables = model(cuda={"requires": requires}, rocm={"requires": requires})
    assert accelerators.supplied_by_host(tables, ROCM) == {"libamdhip64.so.7"}
    assert "libamdhip64.so.7" in accelerators.supplied_by_host(tables, CUDA)
    assert "libcuda.so.1" in accelerators.supplied_by_host(tables, CUDA)


def test_files_that_are_never_loaded_are_named_as_the_image_has_them(model):
    tables = model(cpu={"never_loaded": ["a/b.so"]}, cuda={})
    place = "opt/venv/lib/python3.11/site-packages/a/b.so"
    assert accelerators.never_loaded(tables, CPU) == {place}
    assert accelerators.never_loaded(tables, CUDA) == frozenset()


def test_an_image_for_processors_has_no_further_variables(model):
    assert accelerators.environment(model(cpu={}), CPU, lock()) == {}


def test_an_image_for_rocm_asks_for_devices(model):
    tables = model(rocm={"requires": {"gfx": ["gfx90a"]}})
    assert accelerators.environment(tables, ROCM, lock()) == {"AMD_VISIBLE_DEVICES": "all"}


def test_an_image_for_cuda_asks_for_devices_and_the_drivers_libraries(model):
    found = accelerators.environment(model(cuda={}), CUDA, lock())
    assert found == {
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    }


@pytest.mark.parametrize(
    ("cuda", "requires", "constraint"),
    [
        ("13.5.37", {}, "cuda>=13.0,driver>=580,arch>=7.5"),
        ("12.4.127", {}, "cuda>=12.0,driver>=525.60.13,arch>=5.0"),
        ("11.8.89", {}, "cuda>=11.0,driver>=450.80.2,arch>=3.5"),
        ("13.5.37", {"driver": ">=580.95.05"}, "cuda>=13.0,driver>=580.95.5,arch>=7.5"),
        ("13.5.37", {"compute_capability": ">=9.0"}, "cuda>=13.0,driver>=580,arch>=9.0"),
        (None, {"driver": ">=535"}, "driver>=535"),
        (None, {"compute_capability": ">=8.0"}, "arch>=8.0"),
    ],
)
def test_a_machine_that_falls_short_is_refused_before_the_container_starts(
    model, cuda, requires, constraint
):
    found = accelerators.environment(model(cuda={"requires": requires}), CUDA, lock(cuda))
    assert found["NVIDIA_REQUIRE_CUDA"] == constraint
