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
        tuple[PackageName, ...], Items(least=1, distinct=True), "The packages that it is about."
    ]
    reason: Annotated[Line, "Why it does no harm."]


class Stack(Table, frozen=True, kw_only=True):
    """The packages of an environment above its base, and bounds on their versions."""

    system: Annotated[
        tuple[DebianPackage, ...], Items(distinct=True), "Debian packages beside the base's."
    ] = ()
    constraints: Annotated[
        tuple[Requirement, ...],
        Items(distinct=True),
        "Bounds (PEP 508) on versions of packages, which they don't bring in.",
    ] = ()
    overrides: Annotated[
        tuple[Override, ...], "Requirements in place of what packages themselves ask for."
    ] = ()
    links: Annotated[
        tuple[LinkSettings, ...], "Links for packages of `system` that need update-alternatives."
    ] = ()

    def check(self, at: Place) -> None:
        """Checks the link table."""
        check_links(self.links, at / "links")


class Environment(Stack, frozen=True, kw_only=True):
    """The environment that the model runs in, with its own version."""

    version: Annotated[SemanticVersion, "The version of the environment."]
    python: Annotated[PythonVersion, "The version of the interpreter, which the base must have."]
    base: Annotated[Name, "The base that it stands on, one of mpbuild.toml."]
    dependencies: Annotated[
        tuple[Requirement, ...],
        Items(distinct=True),
        "Python packages of every accelerator (PEP 508); the locks pin their versions.",
    ] = ()
    compile_bytecode: Annotated[
        bool, "Whether images hold the interpreter's and the packages' bytecode."
    ] = False
    accepted: Annotated[
        tuple[AcceptedFinding, ...], "Findings of the audit of locks that do no harm to this model."
    ] = ()


class HostRequirements(Table, frozen=True, kw_only=True):
    """Requirements on the machine, beyond the image."""

    memory: Annotated[Size | None, "The least memory of the accelerator."] = None
    libraries: Annotated[
        tuple[LibraryName, ...],
        Items(distinct=True),
        "Shared objects that the machine supplies beside the driver's own, by the names that files "
        "need them by.",
    ] = ()


class CudaRequirements(HostRequirements, frozen=True, kw_only=True):
    """Requirements on a machine with NVIDIA GPUs."""

    driver: Annotated[
        DriverFloor | None, "The least version of the driver; the lock's floor if not given."
    ] = None
    compute_capability: Annotated[
        CapabilityFloor | None, "The least compute capability; that of the lock if not given."
    ] = None


class RocmRequirements(HostRequirements, frozen=True, kw_only=True):
    """Requirements on a machine with AMD GPUs."""

    gfx: Annotated[
        tuple[Gfx, ...], Items(distinct=True), "The processors that will do; all if not given."
    ] = ()


class AcceleratorEnvironment(Table, frozen=True, kw_only=True):
    """Additions of an accelerator to the environment; each such table gives an image."""

    dependencies: Annotated[
        tuple[Requirement, ...], Items(distinct=True), "Python packages for this accelerator."
    ] = ()
    never_loaded: Annotated[
        tuple[InstalledPath, ...],
        Items(distinct=True),
        "Shared objects of wheels that the model never loads, by their paths in the wheel: what "
        "they need may be missing.",
    ] = ()


class CudaEnvironment(AcceleratorEnvironment, frozen=True, kw_only=True):
    """Additions of CUDA to the environment."""

    requires: Annotated[CudaRequirements, "What the machine must have."] = CudaRequirements()


class RocmEnvironment(AcceleratorEnvironment, frozen=True, kw_only=True):
    """Additions of ROCm to the environment."""

    requires: Annotated[RocmRequirements, "What the machine must have."] = RocmRequirements()


class ExtraEnvironment(Stack, frozen=True, kw_only=True):
    """An environment of steps, locked the same way."""

    dependencies: Annotated[
        tuple[Requirement, ...], Items(distinct=True), "Python packages (PEP 508)."
    ] = ()
    python: Annotated[PythonVersion | None, "The interpreter; [environment]'s if not given."] = None
    base: Annotated[Name | None, "The base; [environment]'s if not given."] = None
    accelerator: Annotated[
        Accelerator, "Whose indexes it takes, where they differ between accelerators."
    ] = Accelerator.CPU
