"""What an image for an accelerator takes from its machine, and how it tells a container runtime.

NVIDIA's container toolkit reads variables of the image (its user guide, "Driver capabilities" and
"Constraints"): it mounts the driver's libraries and refuses a machine that falls short. A
constraint is ``property operator value``; a comma means and, a space means or. It can be switched
off with NVIDIA_DISABLE_REQUIRE. AMD's toolkit knows which devices are wanted, and no constraints.
"""

from mpbuild.base import image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.formats import cuda
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.spec.environment import CudaEnvironment, RocmEnvironment
from mpbuild.spec.model import Model

# They belong to the kernel module's version, so neither a wheel nor a Debian package can bring
# them; the toolkit mounts the first for the capability "compute", the second for "utility". Of
# what else it mounts for these, nothing is linked to. ROCm's driver is all in the kernel.
_NVIDIA_DRIVER = frozenset({"libcuda.so.1", "libnvidia-ml.so.1"})


def supplied_by_host(model: Model, accelerator: Accelerator) -> frozenset[str]:
    """Names of shared objects that the driver or, as the spec says, the machine supplies."""
    own = model.accelerators[accelerator]
    if isinstance(own, CudaEnvironment):
        return _NVIDIA_DRIVER.union(own.requires.libraries)
    return frozenset(own.requires.libraries if isinstance(own, RocmEnvironment) else ())


def never_loaded(model: Model, accelerator: Accelerator) -> frozenset[str]:
    """Paths in the image of shared objects that the model never loads, as the spec says."""
    folder = image_paths.site_packages(model.environment.python)
    return frozenset(f"{folder}/{path}" for path in model.accelerators[accelerator].never_loaded)


def environment(model: Model, accelerator: Accelerator, lock: PythonLock) -> dict[str, str]:
    """Variables that an image of ``accelerator`` has beside those of every image."""
    own = model.accelerators[accelerator]
    if isinstance(own, RocmEnvironment):
        return {"AMD_VISIBLE_DEVICES": "all"}
    if not isinstance(own, CudaEnvironment):
        return {}
    found = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    constraint = _constraint(own, lock)
    return found | ({"NVIDIA_REQUIRE_CUDA": constraint} if constraint else {})


def _constraint(own: CudaEnvironment, lock: PythonLock) -> str:
    """The floors of lock and spec; a driver for the major version of CUDA runs all its minors."""
    least = cuda.floor(lock.cuda) if lock.cuda is not None else None
    driver = own.requires.driver or (least and least.driver)
    capability = own.requires.compute_capability or (least and least.capability)
    parts = [f"cuda>={lock.cuda.major}.0"] if lock.cuda is not None else []
    # One of the toolkit's readers takes semantic versions only, which have no zeros in front.
    parts += [f"driver>={driver.plain}"] if driver else []
    parts += [f"arch>={capability}"] if capability else []
    return ",".join(parts)
