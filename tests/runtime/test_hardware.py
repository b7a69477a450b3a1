"""What ``requires`` asks of a machine, on machines made of files and a small libcuda."""
# ruff: noqa: N802 - the driver API's calls have the driver API's names

import ctypes
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpbuild_runtime import contract
from mpbuild_runtime.contract import Requires
from mpbuild_runtime.hardware import Machine, unmet

MakeImage = Callable[..., Any]
GIB = 1 << 30

LIBCUDA = """
#include <stddef.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 10 + ordinal; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device < 10 || (attribute != 75 && attribute != 76)) return 1;
    *value = attribute == 75 ? (device == 10 ? 6 : 9) : (device == 10 ? 1 : 0);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    if (device < 10) return 1;
    *bytes = (size_t)(device == 10 ? 48 : 24) << 30;
    return 0;
}
"""


class FakeCuda:
    """The driver API's calls for devices of (major, minor, bytes)."""

    def __init__(self, *devices: tuple[int, int, int], broken: str = "", result: int = 999) -> None:
        self.devices = devices
        self.broken = broken
        self.result = result

    def cuInit(self, flags):
        return self._done("cuInit")

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.devices)
        return self._done("cuDeviceGetCount")

    def cuDeviceGet(self, handle, ordinal):
        handle._obj.value = 100 + ordinal
        return self._done("cuDeviceGet")

    def cuDeviceGetAttribute(self, value, attribute, handle):
        value._obj.value = self.devices[handle.value - 100][attribute - 75]
        return self._done("cuDeviceGetAttribute")

    def cuDeviceTotalMem_v2(self, size, handle):
        size._obj.value = self.devices[handle.value - 100][2]
        return self._done("cuDeviceTotalMem_v2")

    def _done(self, call: str) -> int:
        return self.result if call == self.broken else 0


def cuda(root: Path, *devices: tuple[int, int, int], **broken: Any) -> Machine:
    return Machine(root, {"libcuda.so.1": FakeCuda(*devices, **broken)}.__getitem__)


def without_libraries(name: str) -> None:
    raise OSError(f"{name}: cannot open shared object file: No such file or directory")


def told(accelerator: str, machine: Machine, **requires: Any) -> list[str]:
    spec = {"accelerators": {accelerator: {"requires": requires}}}
    return list(unmet(accelerator, contract.parse(TOY | spec).requires[accelerator], machine))


TOY: dict[str, Any] = {
    "package": {"name": "toy", "version": "1.2.3"},
    "core": {"entry_point": "toy.model:Model"},
    "io": {"inputs": [], "outputs": []},
}


@pytest.fixture
def kfd(tmp_path: Path) -> Callable[..., Machine]:
    """Make a machine with a processor and the given graphics nodes: (target version, bytes)."""

    def node(number: int, properties: dict[str, int], banks: list[dict[str, int]]) -> None:
        folder = tmp_path / "sys/class/kfd/kfd/topology/nodes" / str(number)
        folder.mkdir(parents=True)
        write(folder, properties)
        for index, bank in enumerate(banks):
            (folder / "mem_banks" / str(index)).mkdir(parents=True)
            write(folder / "mem_banks" / str(index), bank)

    def write(folder: Path, properties: dict[str, int]) -> None:
        lines = [f"{key} {value}\n" for key, value in properties.items()]
        (folder / "properties").write_text("".join(lines))

    def make(*devices: tuple[int, int]) -> Machine:
        node(0, {"cpu_cores_count": 64}, [{"heap_type": 0, "size_in_bytes": 512 * GIB}])
        for number, (target, memory) in enumerate(devices, 1):
            heaps = [(1, memory // 2), (2, memory - memory // 2), (4, 1 << 16)]
            node(
                number,
                {"simd_count": 440, "gfx_target_version": target, "vendor_id": 4098},
                [{"heap_type": heap, "size_in_bytes": size} for heap, size in heaps],
            )
        return Machine(tmp_path, without_libraries)

    return make


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sys/module/nvidia/version", "580.65.06\n"),
        (
            "proc/driver/nvidia/version",
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 07:13:16\n"
                "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
            ),
        ),
        (
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n",
        ),
    ],
)
@pytest.mark.parametrize(
    ("least", "short"), [(">=580", False), (">=580.65.06", False), (">=580.82", True)]
)
def test_the_driver_is_as_new_as_the_kernel_says(tmp_path, path, text, least, short):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    found = told("cuda", cuda(tmp_path), driver=least)
    assert found == (["driver >=580.82 is required; found 580.65.06"] if short else [])


@pytest.mark.parametrize("text", [None, "", "unknown", "R580"])
def test_a_driver_that_does_not_tell_its_version_is_not_enough(tmp_path, text):
    if text is not None:
        (tmp_path / "sys/module/nvidia").mkdir(parents=True)
        (tmp_path / "sys/module/nvidia/version").write_text(text)
    assert told("cuda", cuda(tmp_path), driver=">=1") == [
        (
            f"driver >=1 is required; neither {tmp_path}/sys/module/nvidia/version "
            f"nor {tmp_path}/proc/driver/nvidia/version tells a version"
        )
    ]


NEEDS = {"compute_capability": ">=7.5", "memory": "2GiB"}


@pytest.mark.parametrize(
    "devices",
    [
        [(7, 5, 2 * GIB)],
        [(8, 0, 2 * GIB)],
        [(12, 1, 3 * GIB)],
        [(6, 1, 48 * GIB), (9, 0, 8 * GIB)],
    ],
)
def test_one_device_that_has_it_all_is_enough(tmp_path, devices):
    assert told("cuda", cuda(tmp_path, *devices), **NEEDS) == []


def test_what_two_devices_have_between_them_is_not_enough(tmp_path):
    machine = cuda(tmp_path, (6, 1, 48 * GIB), (9, 0, GIB))
    assert told("cuda", machine, **NEEDS) == [
        (
            "a device with compute_capability >=7.5, memory >=2048 MiB is required; "
            "found device 0: compute_capability 6.1, memory 49152 MiB, "
            "device 1: compute_capability 9.0, memory 1024 MiB"
        )
    ]


def test_a_capability_is_a_version_and_no_decimal_fraction(tmp_path):
    assert told("cuda", cuda(tmp_path, (10, 0, GIB)), compute_capability=">=9.0") == []
    assert told("cuda", cuda(tmp_path, (9, 0, GIB)), compute_capability=">=10.0") != []


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (FakeCuda(), "found no device"),
        (FakeCuda(broken="cuInit", result=100), "cuInit failed with CUDA error 100"),
        (
            FakeCuda((9, 0, GIB), broken="cuDeviceTotalMem_v2"),
            "cuDeviceTotalMem_v2 failed with CUDA error 999",
        ),
        (object(), "libcuda.so.1 has no cuInit"),
    ],
)
def test_devices_that_cannot_be_asked_are_not_enough(tmp_path, machine, why):
    found = told("cuda", Machine(tmp_path, lambda _: machine), memory="1MiB")
    assert found == [f"a device with memory >=1 MiB is required; {why}"]


def test_without_the_driver_s_library_there_is_no_device(tmp_path):
    (found,) = told("cuda", Machine(tmp_path, without_libraries), **NEEDS)
    assert found.endswith(
        "; libcuda.so.1: cannot open shared object file: No such file or directory"
    )


@pytest.mark.parametrize(
    ("target", "gfx"),
    [
        (90010, "gfx90a"),
        (90402, "gfx942"),
        (90006, "gfx906"),
        (100302, "gfx1032"),
        (110000, "gfx1100"),
    ],
)
def test_a_node_s_target_version_is_its_gfx_name(kfd, target, gfx):
    machine = kfd((target, 64 * GIB))
    assert told("rocm", machine, gfx=[gfx]) == []
    assert told("rocm", machine, gfx=["gfx1"]) == [
        f"a device with gfx1 is required; found node 1: {gfx}, memory 65536 MiB"
    ]


def test_one_rocm_device_must_have_both_name_and_memory(kfd):
    needs = {"gfx": ["gfx90a", "gfx942"], "memory": "100GiB"}
    machine = kfd((90010, 64 * GIB), (110000, 200 * GIB))
    (found,) = told("rocm", machine, **needs)
    assert found.startswith("a device with gfx90a or gfx942, memory >=102400 MiB is required; ")
    assert told("rocm", machine, **needs | {"memory": "64GiB"}) == []


def test_a_machine_without_the_kernel_s_topology_has_no_rocm_device(tmp_path):
    assert told("rocm", Machine(tmp_path, without_libraries), memory="1.5GiB") == [
        "a device with memory >=1536 MiB is required; found no device"
    ]


def test_a_node_that_may_not_be_read_is_no_device(kfd, tmp_path):
    machine = kfd((90010, 64 * GIB))
    node = tmp_path / "sys/class/kfd/kfd/topology/nodes/1"
    (node / "properties").unlink()
    (node / "properties").mkdir()  # unreadable even for root
    (found,) = told("rocm", machine, gfx=["gfx90a"])
    assert found.endswith("found no device")


def test_each_library_that_is_missing_is_named(tmp_path):
    assert told("rocm", Machine(tmp_path), libraries=["libc.so.6", "libnone.so.7"]) == [
        (
            "library libnone.so.7 is required; "
            "libnone.so.7: cannot open shared object file: No such file or directory"
        )
    ]


def test_everything_that_is_not_met_is_reported(tmp_path):
    found = told(
        "cuda", Machine(tmp_path, without_libraries), driver=">=1", libraries=["a.so"], **NEEDS
    )
    assert [message.partition(" is required")[0] for message in found] == [
        "driver >=1",
        "library a.so",
        "a device with compute_capability >=7.5, memory >=2048 MiB",
    ]


@pytest.mark.parametrize(
    "requires",
    [{"driver": "580"}, {"driver": ">=x"}, {"memory": "2GB"}, {"memory": 2}, {"vram": "2GiB"}],
)
def test_a_requirement_that_is_not_understood_is_no_spec(tmp_path, requires):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(TOY | {"accelerators": {"cuda": {"requires": requires}}}))
    with pytest.raises(contract.ModelError, match="is not a spec"):
        contract.read(path)


def test_an_accelerator_without_requirements_has_none():
    accelerators = {"cpu": {}, "rocm": {"requires": {"gfx": ["gfx942"]}}}
    assert contract.parse(TOY | {"accelerators": accelerators}).requires == {
        "rocm": Requires(gfx=("gfx942",))
    }


@pytest.fixture(scope="session")
def libcuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libcuda.so.1 with two devices: 6.1 with 48 GiB, and 9.0 with 24 GiB."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a libcuda with")
    folder = tmp_path_factory.mktemp("libcuda")
    (folder / "cuda.c").write_text(LIBCUDA)
    command = [compiler, "-shared", "-fPIC", "-o", "libcuda.so.1", "cuda.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


def test_a_libcuda_of_c_is_asked_as_its_header_says(libcuda, tmp_path):
    machine = Machine(tmp_path, lambda name: ctypes.CDLL(str(libcuda / name)))
    assert told("cuda", machine, compute_capability=">=9.0", memory="24GiB") == []
    assert told("cuda", machine, compute_capability=">=9.0", memory="25GiB") == [
        (
            "a device with compute_capability >=9.0, memory >=25600 MiB is required; "
            "found device 0: compute_capability 6.1, memory 49152 MiB, "
            "device 1: compute_capability 9.0, memory 24576 MiB"
        )
    ]


def accelerated(image: Any, **environ: str) -> dict[str, str]:
    return image.environ | {"MPBUILD_ACCELERATOR": "cuda"} | environ


def test_a_machine_that_meets_the_requirements_runs_the_model(make_image, good_request, libcuda):
    image = make_image(accelerators={"cuda": {"requires": NEEDS}})
    environ = accelerated(image, LD_LIBRARY_PATH=str(libcuda))
    answer = image.run(good_request, environ=environ)
    assert (answer.code, answer.stderr) == (0, "")


def test_a_model_is_not_loaded_where_its_requirements_are_not_met(
    make_image, good_request, libcuda
):
    requires = {"compute_capability": ">=9.0", "memory": "32GiB"}
    image = make_image("raise RuntimeError", accelerators={"cuda": {"requires": requires}})
    environ = accelerated(image, LD_LIBRARY_PATH=str(libcuda))
    answer = image.run(good_request, environ=environ)
    message = (
        "accelerators.cuda.requires is not met here: a device with compute_capability >=9.0, "
        "memory >=32768 MiB is required; "
        "found device 0: compute_capability 6.1, memory 49152 MiB, "
        "device 1: compute_capability 9.0, memory 24576 MiB. "
        "MPBUILD_REQUIREMENTS=warn runs the model all the same"
    )
    assert answer.code == 1
    assert answer.document == {"error": message}
    assert answer.stderr == f"mpbuild-run: {message}\n"


IMPOSSIBLE = {"cuda": {"requires": {"driver": ">=99999"}}}


def test_requirements_that_are_not_met_may_be_a_warning(make_image, good_request):
    image = make_image(accelerators=IMPOSSIBLE)
    answer = image.run(good_request, environ=accelerated(image, MPBUILD_REQUIREMENTS="warn"))
    assert answer.code == 0
    assert answer.document["id"] == "r1"
    said = "mpbuild-run: accelerators.cuda.requires is not met here: driver >=99999 is required; "
    assert answer.stderr.startswith(said)
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("word", ["", "off", "WARN"])
def test_requirements_are_overridden_by_one_word_only(make_image, good_request, word):
    image = make_image(accelerators=IMPOSSIBLE)
    answer = image.run(good_request, environ=accelerated(image, MPBUILD_REQUIREMENTS=word))
    assert answer.code == 1


def test_a_bad_request_is_reported_before_the_machine_is_asked(make_image):
    image = make_image(accelerators=IMPOSSIBLE)
    assert image.run({}, environ=accelerated(image)).code == 2


def test_what_another_accelerator_requires_does_not_matter(make_image, good_request):
    assert make_image(accelerators=IMPOSSIBLE).run(good_request).code == 0
