"""Compares the floors of a lock (glibc, CUDA, driver) with base and spec."""

from collections.abc import Iterator

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats import cuda
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.locks.python_inputs import PythonInputs
from mpbuild.spec.environment import AcceleratorEnvironment, CudaEnvironment

_WITHOUT_NVIDIA = (Accelerator.CPU, Accelerator.ROCM)


def check(
    lock: PythonLock,
    wanted: PythonInputs,
    accelerator: AcceleratorEnvironment | None,
    *,
    lock_file: str,
    spec_file: str,
) -> list[Finding]:
    """Yields floors that base or spec do not meet; ``accelerator`` is None for step environments.

    Codes: lock-malformed, spec-invalid, not-supported-yet.
    """
    findings = list(_glibc(lock, wanted, lock_file))
    if accelerator is not None:
        findings += _nvidia(lock, spec_file)
    try:
        floor = cuda.floor(lock.cuda) if lock.cuda is not None else None
    except InputError as error:
        return [*findings, *error.within(lock_file).findings]
    if floor is not None and isinstance(accelerator, CudaEnvironment):
        findings += _requirements(lock, floor, accelerator, spec_file)
    return findings


def _glibc(lock: PythonLock, wanted: PythonInputs, where: str) -> Iterator[Finding]:
    if lock.glibc and DottedVersion(lock.glibc) > wanted.glibc:
        message = f"its wheels need glibc {lock.glibc}, but the base has {wanted.glibc}"
        yield Finding(Code.LOCK_MALFORMED, message, where, "run `mpbuild lock`")


def _nvidia(lock: PythonLock, where: str) -> Iterator[Finding]:
    if lock.environment not in _WITHOUT_NVIDIA:
        return
    for package in lock.packages:
        if cuda.is_nvidia(package.name):
            yield Finding(
                Code.SPEC_INVALID,
                f"the dependencies of {lock.environment} include {package.name} {package.version}",
                where,
                "choose the framework's build without CUDA for this accelerator",
            )


def _requirements(
    lock: PythonLock, floor: cuda.Floor, own: CudaEnvironment, where: str
) -> Iterator[Finding]:
    pairs = (
        ("driver", own.requires.driver, floor.driver),
        ("compute_capability", own.requires.compute_capability, floor.capability),
    )
    for key, required, least in pairs:
        if required is not None and required < least:
            yield Finding(
                Code.SPEC_INVALID,
                f"accelerators.cuda.requires.{key} is >={required}, but CUDA {lock.cuda} of the"
                f" lock needs {least}",
                where,
                f"write >={least}, or depend on wheels for an older CUDA",
            )
