"""Whether the machine has what ``accelerators.<name>.requires`` asks for, before a model is loaded.

CUDA: the kernel module tells its version in sysfs or procfs; the devices come from the driver API
in ``libcuda.so.1``, which shows those that CUDA_VISIBLE_DEVICES lets it. ROCm: the topology that
the kernel's amdkfd module shows in sysfs. What can't be found out is not met.
"""

import ctypes
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpbuild_runtime.contract import Requires

_DRIVER_FILES = ("sys/module/nvidia/version", "proc/driver/nvidia/version")
_DRIVER_VERSION = re.compile(r"(?<!\S)\d+(?:\.\d+)+(?!\S)")
_KFD_NODES = "sys/class/kfd/kfd/topology/nodes"
# CUdevice_attribute: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
_COMPUTE_CAPABILITY = (75, 76)
# HSA_MEM_HEAP_TYPE_FB_PUBLIC and _PRIVATE: the device's own memory.
_FRAME_BUFFERS = (1, 2)


@dataclass(frozen=True, slots=True)
class Machine:
    """How the machine is asked: where its files are, and what opens a shared library."""

    root: Path = Path("/")
    load: Callable[[str], Any] = ctypes.CDLL


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator; ``memory`` in bytes, the others where its maker has such a thing."""

    name: str
    memory: int
    compute_capability: tuple[int, ...] = ()
    gfx: str = ""

    def __str__(self) -> str:
        """``device 0: compute_capability 9.0, memory 143771 MiB``."""
        kind = self.gfx or f"compute_capability {_dotted(self.compute_capability)}"
        return f"{self.name}: {kind}, memory {_mebibytes(self.memory)}"

    def meets(self, requires: Requires) -> bool:
        """Whether this one device has all that is asked of a device."""
        return (
            self.memory >= (requires.memory or 0)
            and self.compute_capability >= (requires.compute_capability or ())
            and (not requires.gfx or self.gfx in requires.gfx)
        )


class _UnknownError(Exception):
    """The machine doesn't tell."""


def unmet(accelerator: str, requires: Requires, machine: Machine) -> Iterator[str]:
    """Each requirement that isn't met: what is required, and what was found instead."""
    if requires.driver:
        yield from _driver(requires.driver, machine)
    for library in requires.libraries:
        yield from _library(library, machine)
    if requires.compute_capability or requires.gfx or requires.memory:
        yield from _device(accelerator, requires, machine)


def _driver(least: tuple[int, ...], machine: Machine) -> Iterator[str]:
    wanted = f"driver >={_dotted(least)} is required"
    try:
        found = _driver_version(machine.root)
    except _UnknownError as error:
        yield f"{wanted}; {error}"
    else:
        if tuple(map(int, found.split("."))) < least:
            yield f"{wanted}; found {found}"


def _driver_version(root: Path) -> str:
    for path in (root / name for name in _DRIVER_FILES):
        try:
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        if match := _DRIVER_VERSION.search(text):
            return match[0]
    files = " nor ".join(str(root / name) for name in _DRIVER_FILES)
    raise _UnknownError(f"neither {files} tells a version")


def _library(name: str, machine: Machine) -> Iterator[str]:
    try:
        machine.load(name)
    except OSError as error:
        yield f"library {name} is required; {error}"


def _device(accelerator: str, requires: Requires, machine: Machine) -> Iterator[str]:
    wanted = f"a device with {_wishes(requires)} is required"
    try:
        devices = list(_DEVICES[accelerator](machine)) if accelerator in _DEVICES else []
    except _UnknownError as error:
        yield f"{wanted}; {error}"
    else:
        if not any(device.meets(requires) for device in devices):
            yield f"{wanted}; found {', '.join(map(str, devices)) or 'no device'}"


def _wishes(requires: Requires) -> str:
    wishes = []
    if requires.compute_capability:
        wishes.append(f"compute_capability >={_dotted(requires.compute_capability)}")
    if requires.gfx:
        wishes.append(" or ".join(requires.gfx))
    if requires.memory:
        wishes.append(f"memory >={_mebibytes(requires.memory)}")
    return ", ".join(wishes)


def _cuda_devices(machine: Machine) -> Iterator[Device]:
    """The devices of the driver API ("Initialization", "Device Management").

    ``cuInit`` makes no context, so the model is free to; it holds for this process only.
    """
    try:
        cuda = machine.load("libcuda.so.1")
    except OSError as error:
        raise _UnknownError(str(error)) from error
    count, handle, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    _call(cuda, "cuInit", 0)
    _call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    for ordinal in range(count.value):
        _call(cuda, "cuDeviceGet", ctypes.byref(handle), ordinal)
        _call(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), handle)
        yield Device(
            name=f"device {ordinal}",
            memory=memory.value,
            compute_capability=tuple(_attribute(cuda, a, handle) for a in _COMPUTE_CAPABILITY),
        )


def _attribute(cuda: Any, attribute: int, handle: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(value), attribute, handle)
    return value.value


def _call(cuda: Any, name: str, *arguments: object) -> None:
    function = getattr(cuda, name, None)
    if function is None:
        raise _UnknownError(f"libcuda.so.1 has no {name}")
    if result := function(*arguments):
        raise _UnknownError(f"{name} failed with CUDA error {result}")


def _rocm_devices(machine: Machine) -> Iterator[Device]:
    """The nodes of the topology that have a graphics engine."""
    nodes = machine.root / _KFD_NODES
    for path in sorted(nodes.glob("[0-9]*"), key=lambda node: (len(node.name), node.name)):
        target = _properties(path).get("gfx_target_version", 0)
        if target:
            banks = map(_properties, (path / "mem_banks").glob("*"))
            yield Device(
                name=f"node {path.name}",
                memory=sum(
                    bank.get("size_in_bytes", 0)
                    for bank in banks
                    if bank.get("heap_type") in _FRAME_BUFFERS
                ),
                gfx=_gfx(target),
            )


def _properties(folder: Path) -> dict[str, int]:
    """The whole numbers in a ``properties`` file; none where it may not be read.

    The kernel keeps those of a device from whoever may not use the device, as in a container.
    """
    try:
        text = (folder / "properties").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _gfx(target: int) -> str:
    """90010 is gfx90a: major, minor, and the stepping as a hexadecimal digit."""
    return f"gfx{target // 10_000}{target // 100 % 100:x}{target % 100:x}"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _mebibytes(count: int) -> str:
    return f"{count >> 20} MiB"


_DEVICES: dict[str, Callable[[Machine], Iterator[Device]]] = {
    "cuda": _cuda_devices,
    "rocm": _rocm_devices,
}
