"""The dossier: what a package says of itself to machines, a document for each subject.

Model and environment are apart, as their versions are. Each document is canonical JSON with its
own ``schema``, whose number changes with its form; documents.py has them all, and makes their
JSON Schemas out of these declarations.
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
    """The root of all documents and of what is in them: what is not known is left out."""


class Release(DossierPart, frozen=True, kw_only=True):
    """What is released."""

    name: Annotated[str, Meta(description="The name of the package.")]
    version: Annotated[str, Meta(description="The version of the release.")]
    summary: Annotated[str, Meta(description="What the model does, in one line.")]
    owners: Annotated[tuple[str, ...], Meta(description="Who answers for it.")]
    license: Annotated[str, Meta(description="The licence, as an SPDX expression.")]


class StepOrigin(DossierPart, frozen=True, kw_only=True, tag_field="from", tag="step"):
    """Made by a step."""

    step: Annotated[str, Meta(description="The step.")]
    output: Annotated[str, Meta(description="Which of the step's outputs it is.")]


class WorkspaceOrigin(DossierPart, frozen=True, kw_only=True, tag_field="from", tag="workspace"):
    """A file of the workspace."""

    path: Annotated[str, Meta(description="Its path, from the folder of model.toml.")]


class AddressOrigin(DossierPart, frozen=True, kw_only=True, tag_field="from", tag="address"):
    """Fetched."""

    url: Annotated[str, Meta(description="The address it was fetched from.")]


Origin = StepOrigin | WorkspaceOrigin | AddressOrigin


class ModelFile(DossierPart, frozen=True, kw_only=True):
    """A file of weights, or one that travels with them."""

    name: Annotated[str, Meta(description="What the code finds it by.")]
    version: PackageVersion
    path: Annotated[str, Meta(description="Its path in the model artifact.")]
    digest: Sha256
    size: Size
    origin: Annotated[Origin, Meta(description="Where it comes from.")]


class ModelCore(DossierPart, frozen=True, kw_only=True):
    """The model, whatever it runs on."""

    version: Annotated[str, Meta(description="The version of code and weights together.")]
    task: Annotated[str, Meta(description="What kind of question it answers.")]
    format: Annotated[str, Meta(description="The format of the weights.")]
    entry_point: Annotated[str, Meta(description="The class that loads and predicts.")]
    weights: Annotated[tuple[ModelFile, ...], Meta(description="The files the code loads.")]
    files: Annotated[tuple[ModelFile, ...], Meta(description="Further files the code reads.")]


class ModelDocument(
    DossierPart, frozen=True, kw_only=True, tag_field="schema", tag="mpbuild.dossier.model/1"
):
    """What the model is, and nothing of what it runs on."""

    package: Annotated[Release, Meta(description="What is released.")]
    core: Annotated[ModelCore, Meta(description="The model, whatever it runs on.")]


class MachineRequirements(DossierPart, frozen=True, kw_only=True):
    """What a machine must have beside the package; what is absent, any will do."""

    driver: Annotated[str | UnsetType, Meta(description="The least version of the driver.")] = UNSET
    compute_capability: Annotated[
        str | UnsetType, Meta(description="The least compute capability (CUDA).")
    ] = UNSET
    gfx: Annotated[tuple[str, ...], Meta(description="The processors that will do (ROCm).")] = ()
    memory: Annotated[
        Amount | UnsetType, Meta(description="The least memory of the accelerator, in bytes.")
    ] = UNSET
    libraries: Annotated[
        tuple[str, ...], Meta(description="Shared objects that the machine supplies.")
    ] = ()


class WheelEntry(DossierPart, frozen=True, kw_only=True):
    """A locked Python package."""

    name: Name
    version: PackageVersion
    wheel: Annotated[str, Meta(description="The name of its file.")]
    digest: Sha256
    size: Size


class DebianPackageEntry(DossierPart, frozen=True, kw_only=True):
    """A locked Debian package."""

    name: Name
    version: PackageVersion
    architecture: Annotated[str, Meta(description="Its architecture, or all.")]
    base: Annotated[bool, Meta(description="Whether the base brings it.")]
    digest: Sha256
    size: Size


class Floors(DossierPart, frozen=True, kw_only=True):
    """The least versions that the locked wheels run with; what is absent, they don't name."""

    glibc: Annotated[str | UnsetType, Meta(description="The C library, for every wheel.")] = UNSET
    cuda: Annotated[str | UnsetType, Meta(description="The CUDA that the wheels bring.")] = UNSET
    driver: Annotated[str | UnsetType, Meta(description="The driver that it needs.")] = UNSET
    compute_capability: Annotated[
        str | UnsetType, Meta(description="The compute capability that it needs.")
    ] = UNSET


class EnvironmentEntry(DossierPart, frozen=True, kw_only=True):
    """One locked environment."""

    name: Name
    python: Annotated[str, Meta(description="The minor version of CPython.")]
    base: Annotated[str, Meta(description="The base it stands on.")]
    suite: Annotated[str, Meta(description="The Debian release of the base.")]
    dependencies: Annotated[
        tuple[str, ...], Meta(description="The Python packages asked for (PEP 508).")
    ]
    system: Annotated[tuple[str, ...], Meta(description="The Debian packages asked for.")]
    floors: Annotated[Floors, Meta(description="What its wheels need.")]
    requires: Annotated[
        MachineRequirements | UnsetType, Meta(description="What the spec demands of a machine.")
    ] = UNSET
    packages: Annotated[tuple[WheelEntry, ...], Meta(description="All Python packages, by name.")]
    debian: Annotated[
        tuple[DebianPackageEntry, ...], Meta(description="All Debian packages, by name.")
    ]


class EnvironmentDocument(
    DossierPart, frozen=True, kw_only=True, tag_field="schema", tag="mpbuild.dossier.environment/1"
):
    """What the model runs on and was made in, and nothing of the model."""

    version: Annotated[str, Meta(description="The version of the environment.")]
    accelerators: Annotated[
        tuple[EnvironmentEntry, ...], Meta(description="Those of the accelerators, cpu first.")
    ]
    steps: Annotated[tuple[EnvironmentEntry, ...], Meta(description="Those of the steps, by name.")]


class TensorEntry(DossierPart, frozen=True, kw_only=True):
    """A tensor, in the words of the Open Inference Protocol v2."""

    name: Name
    datatype: Annotated[str, Meta(description="The type of its elements.")]
    shape: Annotated[tuple[int, ...], Meta(description="Its dimensions; -1 for any length.")]
    minimum: Annotated[float | UnsetType, Meta(description="The least value of an element.")] = (
        UNSET
    )
    maximum: Annotated[float | UnsetType, Meta(description="The greatest value of an element.")] = (
        UNSET
    )
    description: Annotated[str | UnsetType, Meta(description="What it means.")] = UNSET


class ParameterEntry(DossierPart, frozen=True, kw_only=True):
    """A parameter of a request."""

    name: Name
    datatype: Annotated[str, Meta(description="The type of its value.")]
    default: Annotated[
        bool | float | str | UnsetType, Meta(description="Its value where a request has none.")
    ] = UNSET
    minimum: Annotated[float | UnsetType, Meta(description="The least value.")] = UNSET
    maximum: Annotated[float | UnsetType, Meta(description="The greatest value.")] = UNSET
    description: Annotated[str | UnsetType, Meta(description="What it means.")] = UNSET


class ModelInterface(DossierPart, frozen=True, kw_only=True):
    """What goes in and what comes out."""

    version: Annotated[str, Meta(description="The version of this contract.")]
    inputs: Annotated[tuple[TensorEntry, ...], Meta(description="The tensors of a request.")]
    outputs: Annotated[tuple[TensorEntry, ...], Meta(description="The tensors of a response.")]
    parameters: Annotated[tuple[ParameterEntry, ...], Meta(description="A request's parameters.")]


class HostEntry(DossierPart, frozen=True, kw_only=True):
    """A machine with one accelerator."""

    accelerator: Annotated[str, Meta(description="The accelerator.")]
    requires: Annotated[MachineRequirements, Meta(description="What the machine must have.")]


class ContractDocument(
    DossierPart, frozen=True, kw_only=True, tag_field="schema", tag="mpbuild.dossier.contract/1"
):
    """What whoever calls the model, and whoever runs it, can rely on and must provide."""

    io: Annotated[ModelInterface, Meta(description="What goes in and what comes out.")]
    hosts: Annotated[tuple[HostEntry, ...], Meta(description="The machines, by accelerator.")]
