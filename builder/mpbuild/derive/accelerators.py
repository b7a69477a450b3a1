"""Driver libraries of the machine, and the variables by which an image requests them.

NVIDIA's container toolkit reads variables of the image (its user guide, "Driver capabilities" and
"Constraints"), mounts the driver's libraries and rejects a machine that does not meet the
constraints. A constraint is ``property operator value``; a comma means and, a space means or.
NVIDIA_DISABLE_REQUIRE switches them off. AMD's toolkit only knows devices, and no constraints.
"""

from mpbuild.base import image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.formats import cuda
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.spec.environment import CudaEnvironment, RocmEnvironment
from mpbuild.spec.model import Model

# Their version must match the kernel module's, so neither a wheel nor a Debian package can have
# them. The toolkit mounts the first for the capability "compute", the second for "utility"; no
# file links to the other libraries that it mounts. ROCm's driver is entirely in the kernel.
_NVIDIA_DRIVER = frozenset({"libcuda.so.1", "libnvidia-ml.so.1"})


def supplied_by_host(model: Model, accelerator: Accelerator) -> frozenset[str]:
    """The names of shared objects of the driver, or of the machine as the spec declares them."""
    own = model.accelerators[accelerator]
    if isinstance(own, CudaEnvironment):
        return _NVIDIA_DRIVER.union(own.requires.libraries)
    return frozenset(own.requires.libraries if isinstance(own, RocmEnvironment) else ())


def never_loaded(model: Model, accelerator: Accelerator) -> frozenset[str]:
    """The paths in the image of shared objects that the spec declares as never loaded."""
    folder = image_paths.site_packages(model.environment.python)
    return frozenset(f"{folder}/{path}" for path in model.accelerators[accelerator].never_loaded)


def environment(model: Model, accelerator: Accelerator, lock: PythonLock) -> dict[str, str]:
    """The additional variables of an image for ``accelerator``."""
    own = model.accelerators[accelerator]
    if isinstance(own, RocmEnvironment):
        return {"AMD_VISIBLE_DEVICES": "all"}
    if not isinstance(own, CudaEnvironment):
        return {}
    found = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    constraint = _constraint(own, lock)
    return found | ({"NVIDIA_REQUIRE_CUDA": constraint} if constraint else {})


def _constraint(own: CudaEnvironment, lock: PythonLock) -> str:
    """The floors of lock and spec; a driver runs all minor versions of its major CUDA version."""
    least = cuda.floor(lock.cuda) if lock.cuda is not None else None
    driver = own.requires.driver or (least and least.driver)
    capability = own.requires.compute_capability or (least and least.capability)
    parts = [f"cuda>={lock.cuda.major}.0"] if lock.cuda is not None else []
    # One of the toolkit's parsers accepts semantic versions only, without leading zeros.
    parts += [f"driver>={driver.plain}"] if driver else []
    parts += [f"arch>={capability}"] if capability else []
    return ",".join(parts)
