"""The environments of a model.toml: the foundations of images, PEX files and steps.

Each class is a table of the file, each field a key; see tables.py.
"""

from typing import Annotated

from mpbuild.base.accelerator import Accelerator
from mpbuild.spec.place import Place
from mpbuild.spec.tables import Items, Table
from mpbuild.spec.vocabulary import (
    AcceptableCode,
    CapabilityFloor,
    DebianPackage,
    DriverFloor,
    Gfx,
    InstalledPath,
    LibraryName,
    Line,
    Name,
    PackageName,
    PythonVersion,
    Requirement,
    SemanticVersion,
    Size,
)
from mpbuild.spec.workspace import LinkSettings, Override, check_links


class AcceptedFinding(Table, frozen=True, kw_only=True):
    """A finding of the audit that is known to be harmless."""

    code: Annotated[AcceptableCode, "The code of the finding."]
    packages: Annotated[
        tuple[PackageName, ...], Items(least=1, distinct=True), "The packages that it concerns."
    ]
    reason: Annotated[Line, "Why it is harmless."]


class Stack(Table, frozen=True, kw_only=True):
    """The packages of an environment above its base, and bounds on their versions."""

    system: Annotated[
        tuple[DebianPackage, ...],
        Items(distinct=True),
        "Debian packages in addition to the base's.",
    ] = ()
    constraints: Annotated[
        tuple[Requirement, ...],
        Items(distinct=True),
        "Version constraints (PEP 508); they apply to installed packages and install none.",
    ] = ()
    overrides: Annotated[
        tuple[Override, ...], "Requirements that replace those that packages declare."
    ] = ()
    links: Annotated[
        tuple[LinkSettings, ...],
        "Links that update-alternatives would make for packages of `system`.",
    ] = ()

    def check(self, at: Place) -> None:
        """Checks the link table."""
        check_links(self.links, at / "links")


class Environment(Stack, frozen=True, kw_only=True):
    """The environment that the model runs in, with its own version."""

    version: Annotated[SemanticVersion, "The version of the environment."]
    python: Annotated[PythonVersion, "The version of Python, which the base must provide."]
    base: Annotated[Name, "The base, one of [bases] in mpbuild.toml."]
    dependencies: Annotated[
        tuple[Requirement, ...],
        Items(distinct=True),
        "Python packages for all accelerators (PEP 508); the locks pin their versions.",
    ] = ()
    compile_bytecode: Annotated[
        bool, "Whether images contain bytecode of the standard library and the packages."
    ] = False
    accepted: Annotated[
        tuple[AcceptedFinding, ...], "Audit findings that are harmless for this model."
    ] = ()


class HostRequirements(Table, frozen=True, kw_only=True):
    """Requirements on the machine, beyond the image."""

    memory: Annotated[Size | None, "The minimum memory of the accelerator."] = None
    libraries: Annotated[
        tuple[LibraryName, ...],
        Items(distinct=True),
        "Shared objects that the machine provides in addition to the driver's, by their sonames.",
    ] = ()


class CudaRequirements(HostRequirements, frozen=True, kw_only=True):
    """Requirements on a machine with NVIDIA GPUs."""

    driver: Annotated[
        DriverFloor | None, "The minimum version of the driver; default: the lock's floor."
    ] = None
    compute_capability: Annotated[
        CapabilityFloor | None, "The minimum compute capability; default: the lock's floor."
    ] = None


class RocmRequirements(HostRequirements, frozen=True, kw_only=True):
    """Requirements on a machine with AMD GPUs."""

    gfx: Annotated[
        tuple[Gfx, ...], Items(distinct=True), "The supported processors; default: all."
    ] = ()


class AcceleratorEnvironment(Table, frozen=True, kw_only=True):
    """Additions of an accelerator to the environment; each such table gives an image."""

    dependencies: Annotated[
        tuple[Requirement, ...],
        Items(distinct=True),
        "Additional Python packages for this accelerator (PEP 508).",
    ] = ()
    never_loaded: Annotated[
        tuple[InstalledPath, ...],
        Items(distinct=True),
        "Shared objects of wheels that the model never loads, by their paths in the wheel; their "
        "dependencies may be missing.",
    ] = ()


class CudaEnvironment(AcceleratorEnvironment, frozen=True, kw_only=True):
    """Additions of CUDA to the environment."""

    requires: Annotated[CudaRequirements, "Requirements on the machine."] = CudaRequirements()


class RocmEnvironment(AcceleratorEnvironment, frozen=True, kw_only=True):
    """Additions of ROCm to the environment."""

    requires: Annotated[RocmRequirements, "Requirements on the machine."] = RocmRequirements()


class ExtraEnvironment(Stack, frozen=True, kw_only=True):
    """An environment of steps, locked the same way."""

    dependencies: Annotated[
        tuple[Requirement, ...], Items(distinct=True), "Python packages (PEP 508)."
    ] = ()
    python: Annotated[PythonVersion | None, "The Python version; default: [environment]'s."] = None
    base: Annotated[Name | None, "The base; default: [environment]'s."] = None
    accelerator: Annotated[Accelerator, "The accelerator whose indexes it uses."] = Accelerator.CPU
