"""The documents of the dossier about model, environment and contract.

Each document is canonical JSON with its own ``schema``, whose number changes with its form. Model
and environment are separate, as their versions are.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mpbuild.base.digest import Digest

Name = Annotated[str, Meta(description="Its name.")]
PackageVersion = Annotated[str, Meta(description="Its version.")]
Sha256 = Annotated[Digest, Meta(description="The digest of its bytes.")]
Amount = Annotated[int, Meta(ge=0)]
Size = Annotated[Amount, Meta(description="Its size in bytes.")]


class DossierPart(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The base of all documents and their parts; omits unknown values."""


class Release(DossierPart, frozen=True, kw_only=True):
    """The release."""

    name: Annotated[str, Meta(description="The name of the package.")]
    version: Annotated[str, Meta(description="The version of the release.")]
    summary: Annotated[str, Meta(description="The purpose of the model, in one line.")]
    owners: Annotated[tuple[str, ...], Meta(description="The owners.")]
    license: Annotated[str, Meta(description="The licence, as an SPDX expression.")]


class StepOrigin(DossierPart, frozen=True, kw_only=True, tag_field="from", tag="step"):
    """The origin of a step's output."""

    step: Annotated[str, Meta(description="The name of the step.")]
    output: Annotated[str, Meta(description="The output of the step.")]


class WorkspaceOrigin(DossierPart, frozen=True, kw_only=True, tag_field="from", tag="workspace"):
    """The origin of a file in the workspace."""

    path: Annotated[str, Meta(description="Its path, relative to the folder of model.toml.")]


class AddressOrigin(DossierPart, frozen=True, kw_only=True, tag_field="from", tag="address"):
    """The origin of a fetched file."""

    url: Annotated[str, Meta(description="The URL from which it was fetched.")]


Origin = StepOrigin | WorkspaceOrigin | AddressOrigin


class ModelFile(DossierPart, frozen=True, kw_only=True):
    """A file of weights, or another file of the model."""

    name: Annotated[str, Meta(description="The name by which the code looks it up.")]
    version: PackageVersion
    path: Annotated[str, Meta(description="Its path in the model artifact.")]
    digest: Sha256
    size: Size
    origin: Annotated[Origin, Meta(description="Its origin.")]


class ModelCore(DossierPart, frozen=True, kw_only=True):
    """The model, independent of its environment."""

    version: Annotated[str, Meta(description="The version of code and weights together.")]
    task: Annotated[str, Meta(description="The task, such as image-classification.")]
    format: Annotated[str, Meta(description="The format of the weights.")]
    entry_point: Annotated[str, Meta(description="The class that loads the model and predicts.")]
    weights: Annotated[tuple[ModelFile, ...], Meta(description="The weights that the code loads.")]
    files: Annotated[tuple[ModelFile, ...], Meta(description="Other files that the code reads.")]


class ModelDocument(
    DossierPart, frozen=True, kw_only=True, tag_field="schema", tag="mpbuild.dossier.model/1"
):
    """The model, independent of its environment."""

    package: Annotated[Release, Meta(description="The release.")]
    core: Annotated[ModelCore, Meta(description="The model, independent of its environment.")]


class MachineRequirements(DossierPart, frozen=True, kw_only=True):
    """What a machine must provide; absent keys mean no requirement."""

    driver: Annotated[str | UnsetType, Meta(description="The minimum version of the driver.")] = (
        UNSET
    )
    compute_capability: Annotated[
        str | UnsetType, Meta(description="The minimum compute capability (CUDA).")
    ] = UNSET
    gfx: Annotated[tuple[str, ...], Meta(description="The supported processors (ROCm).")] = ()
    memory: Annotated[
        Amount | UnsetType, Meta(description="The minimum memory of the accelerator, in bytes.")
    ] = UNSET
    libraries: Annotated[
        tuple[str, ...], Meta(description="The shared objects that the machine provides.")
    ] = ()


class WheelEntry(DossierPart, frozen=True, kw_only=True):
    """A locked Python package."""

    name: Name
    version: PackageVersion
    wheel: Annotated[str, Meta(description="Its file name.")]
    digest: Sha256
    size: Size


class DebianPackageEntry(DossierPart, frozen=True, kw_only=True):
    """A locked Debian package."""

    name: Name
    version: PackageVersion
    architecture: Annotated[str, Meta(description='Its architecture, or "all".')]
    base: Annotated[bool, Meta(description="Whether it belongs to the base.")]
    digest: Sha256
    size: Size


class Floors(DossierPart, frozen=True, kw_only=True):
    """The minimum versions that the locked wheels need; absent keys mean that they name none."""

    glibc: Annotated[str | UnsetType, Meta(description="The minimum version of glibc.")] = UNSET
    cuda: Annotated[str | UnsetType, Meta(description="The CUDA version of the wheels.")] = UNSET
    driver: Annotated[str | UnsetType, Meta(description="The minimum version of the driver.")] = (
        UNSET
    )
    compute_capability: Annotated[
        str | UnsetType, Meta(description="The minimum compute capability.")
    ] = UNSET


class EnvironmentEntry(DossierPart, frozen=True, kw_only=True):
    """A locked environment."""

    name: Name
    python: Annotated[str, Meta(description="The minor version of CPython.")]
    base: Annotated[str, Meta(description="The name of its base.")]
    suite: Annotated[str, Meta(description="The Debian release of the base.")]
    dependencies: Annotated[
        tuple[str, ...], Meta(description="The required Python packages (PEP 508).")
    ]
    system: Annotated[tuple[str, ...], Meta(description="The required Debian packages.")]
    floors: Annotated[Floors, Meta(description="The needs of its wheels.")]
    requires: Annotated[
        MachineRequirements | UnsetType, Meta(description="What the spec requires of a machine.")
    ] = UNSET
    packages: Annotated[
        tuple[WheelEntry, ...], Meta(description="All Python packages, sorted by name.")
    ]
    debian: Annotated[
        tuple[DebianPackageEntry, ...], Meta(description="All Debian packages, sorted by name.")
    ]


class EnvironmentDocument(
    DossierPart, frozen=True, kw_only=True, tag_field="schema", tag="mpbuild.dossier.environment/1"
):
    """The environments of the accelerators and steps, independent of the model."""

    version: Annotated[str, Meta(description="The version of the environment.")]
    accelerators: Annotated[
        tuple[EnvironmentEntry, ...],
        Meta(description="The environments of the accelerators, cpu first."),
    ]
    steps: Annotated[
        tuple[EnvironmentEntry, ...],
        Meta(description="The environments of the steps, sorted by name."),
    ]


class TensorEntry(DossierPart, frozen=True, kw_only=True):
    """A tensor, in the terms of the Open Inference Protocol v2."""

    name: Name
    datatype: Annotated[str, Meta(description="The type of its elements.")]
    shape: Annotated[tuple[int, ...], Meta(description="Its dimensions; -1 for any length.")]
    minimum: Annotated[float | UnsetType, Meta(description="The minimum of its elements.")] = UNSET
    maximum: Annotated[float | UnsetType, Meta(description="The maximum of its elements.")] = UNSET
    description: Annotated[str | UnsetType, Meta(description="Its meaning.")] = UNSET


class ParameterEntry(DossierPart, frozen=True, kw_only=True):
    """A parameter of a request."""

    name: Name
    datatype: Annotated[str, Meta(description="The type of its value.")]
    default: Annotated[bool | float | str | UnsetType, Meta(description="Its default value.")] = (
        UNSET
    )
    minimum: Annotated[float | UnsetType, Meta(description="The minimum value.")] = UNSET
    maximum: Annotated[float | UnsetType, Meta(description="The maximum value.")] = UNSET
    description: Annotated[str | UnsetType, Meta(description="Its meaning.")] = UNSET


class ModelInterface(DossierPart, frozen=True, kw_only=True):
    """The interface of the model: requests and responses."""

    version: Annotated[str, Meta(description="The version of this interface.")]
    inputs: Annotated[tuple[TensorEntry, ...], Meta(description="The tensors of a request.")]
    outputs: Annotated[tuple[TensorEntry, ...], Meta(description="The tensors of a response.")]
    parameters: Annotated[
        tuple[ParameterEntry, ...], Meta(description="The parameters of a request.")
    ]


class HostEntry(DossierPart, frozen=True, kw_only=True):
    """A machine with a given accelerator."""

    accelerator: Annotated[str, Meta(description="The accelerator.")]
    requires: Annotated[MachineRequirements, Meta(description="What the machine must provide.")]


class ContractDocument(
    DossierPart, frozen=True, kw_only=True, tag_field="schema", tag="mpbuild.dossier.contract/1"
):
    """The contract with callers of the model, and with the machines that run it."""

    io: Annotated[ModelInterface, Meta(description="The interface: requests and responses.")]
    hosts: Annotated[tuple[HostEntry, ...], Meta(description="The machines, by accelerator.")]
