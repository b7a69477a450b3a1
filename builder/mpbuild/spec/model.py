"""model.toml: a model, its environments, and the steps that make its weights.

Each class is a table of the file, each field a key; see tables.py. Paths are kept as written,
relative to the folder of the file.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, NamedTuple, Self

import msgspec

from mpbuild.base.accelerator import Accelerator
from mpbuild.spec import datatype_ranges
from mpbuild.spec.environment import (
    AcceleratorEnvironment,
    CudaEnvironment,
    Environment,
    ExtraEnvironment,
    RocmEnvironment,
)
from mpbuild.spec.place import Place, shown
from mpbuild.spec.tables import Alternative, Items, Table, Variants
from mpbuild.spec.vocabulary import (
    Argument,
    Datatype,
    Default,
    Dimension,
    Duration,
    EntryPoint,
    EnvironmentName,
    FilePath,
    FilePattern,
    FileSize,
    InnerPath,
    Licence,
    Line,
    Name,
    Prose,
    Quantity,
    SchemaVersion,
    SemanticVersion,
    Sha256,
    StepInput,
    TensorName,
    WeightUrl,
)


class PackageTable(Table, frozen=True, kw_only=True):
    """The released package."""

    name: Annotated[Name, "The name of the package."]
    version: Annotated[SemanticVersion, "The version of the release."]
    summary: Annotated[Line, "What the model does, in one line."]
    owners: Annotated[
        tuple[Line, ...], Items(least=1, distinct=True), "The people or teams responsible for it."
    ]
    license: Annotated[Licence, "The licence, as an SPDX expression."]


class Weight(Table, frozen=True, kw_only=True):
    """A file of weights: the output of a step, a file of the workspace, or a fetched file.

    Fetched weights without ``sha256`` or ``size``, or with an oci:// reference by tag only, are not
    pinned yet: `mpbuild lock` pins them, and no other command accepts them.
    """

    ALTERNATIVES: ClassVar = (
        Alternative(required=("step", "output")),
        Alternative(required=("path",), optional=("sha256",)),
        Alternative(required=("url",), optional=("sha256", "size")),
    )

    name: Annotated[Name, "The name under which the code finds it."]
    version: Annotated[SemanticVersion, "The version of these weights."]
    step: Annotated[Name | None, "The step that makes it."] = None
    output: Annotated[InnerPath | None, "Which of the step's outputs it is."] = None
    path: Annotated[FilePath | None, "The path of the file, relative to model.toml."] = None
    sha256: Annotated[Sha256 | None, "The sha256 that the file must have."] = None
    url: Annotated[
        WeightUrl | None,
        "The URL it is fetched from: https://... or oci://.../name with :tag, @sha256:... or both.",
    ] = None
    size: Annotated[FileSize | None, "The size in bytes of a fetched file."] = None

    @property
    def pinned(self) -> bool:
        """Whether the content is fixed, if it is fetched."""
        if self.url is None:
            return True
        by_tag = self.url.startswith("oci:") and "@" not in self.url
        return self.sha256 is not None and self.size is not None and not by_tag


class CoreFile(Table, frozen=True, kw_only=True):
    """A file beside the weights: labels, a tokenizer, settings."""

    name: Annotated[Name, "The name under which the code finds it."]
    version: Annotated[SemanticVersion, "The version of this file."]
    path: Annotated[FilePath, "The path of the file, relative to model.toml."]
    sha256: Annotated[Sha256 | None, "The sha256 that the file must have."] = None


class Core(Table, frozen=True, kw_only=True):
    """The model, independent of its environment."""

    version: Annotated[SemanticVersion, "The version of code and weights together."]
    task: Annotated[Name, "The task of the model, such as image-classification."]
    format: Annotated[Name, "The format of the weights, such as onnx."]
    entry_point: Annotated[
        EntryPoint, "The class that loads the model and predicts, as module.path:Class."
    ]
    sources: Annotated[
        tuple[FilePattern, ...],
        Items(least=1, distinct=True),
        "The code, as paths and patterns. The folder before a pattern's first wildcard is added "
        "to the import path.",
    ]
    weights: Annotated[tuple[Weight, ...], "The files of weights that the code loads."] = ()
    files: Annotated[tuple[CoreFile, ...], "Further files that the code reads."] = ()

    @property
    def kept(self) -> Iterator[Weight | CoreFile]:
        """Weights and files in the workspace."""
        yield from (weight for weight in self.weights if weight.path)
        yield from self.files

    def check(self, at: Place) -> None:
        """Checks names: the code finds weights and files in one mapping."""
        weights = {weight.name for weight in self.weights}
        for index, file in enumerate(self.files):
            if file.name and file.name in weights:
                (at / "files" / index / "name").wrong(
                    f"{shown(file.name)} is also the name of weights",
                    hint="weights and files share one mapping: rename one of them",
                )


class Tensor(Table, frozen=True, kw_only=True):
    """A tensor of a request or response, in terms of the Open Inference Protocol v2."""

    name: Annotated[TensorName, "The name of the tensor."]
    datatype: Annotated[Datatype, "The type of its elements."]
    shape: Annotated[tuple[Dimension, ...], "The dimensions; -1 for any length."]
    minimum: Annotated[Quantity | None, "The minimum value of an element."] = None
    maximum: Annotated[Quantity | None, "The maximum value of an element."] = None
    description: Annotated[Prose | None, "The meaning, for readers."] = None

    def check(self, at: Place) -> None:
        """Checks that the bounds fit the datatype and are in order."""
        datatype_ranges.check_bounds(self.datatype, self.minimum, self.maximum, at)


class Parameter(Table, frozen=True, kw_only=True):
    """A parameter of a request."""

    name: Annotated[TensorName, "The name of the parameter."]
    datatype: Annotated[Datatype, "The type of its value."]
    default: Annotated[Default | None, "The value if a request omits it."] = None
    minimum: Annotated[Quantity | None, "The minimum value."] = None
    maximum: Annotated[Quantity | None, "The maximum value."] = None
    description: Annotated[Prose | None, "The meaning, for readers."] = None

    def check(self, at: Place) -> None:
        """Checks that bounds and default fit the datatype and are in order."""
        datatype_ranges.check_bounds(self.datatype, self.minimum, self.maximum, at)
        if self.default is not None:
            datatype_ranges.check_default(
                self.datatype, self.default, self.minimum, self.maximum, at / "default"
            )


class Io(Table, frozen=True, kw_only=True):
    """The inputs and outputs: the contract with callers of the model."""

    version: Annotated[SemanticVersion, "The version of the contract."]
    inputs: Annotated[tuple[Tensor, ...], Items(least=1), "The tensors of a request."]
    outputs: Annotated[tuple[Tensor, ...], Items(least=1), "The tensors of a response."]
    parameters: Annotated[tuple[Parameter, ...], "The parameters of a request."] = ()


class StepOutput(NamedTuple):
    """An output of a step as an input of another."""

    step: str
    output: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Returns the output that ``step:NAME/OUTPUT`` names; None for a path or pattern."""
        if not text.startswith("step:"):
            return None
        return cls(*text.removeprefix("step:").split("/", 1))


class Step(Table, frozen=True, kw_only=True):
    """A hermetic action: it has no network and sees only its inputs."""

    name: Annotated[Name, "The name by which weights and other steps refer to it."]
    command: Annotated[
        tuple[Argument, ...],
        Items(least=1),
        "Program and arguments; {out} is replaced by the output folder.",
    ]
    outputs: Annotated[
        tuple[InnerPath, ...],
        Items(least=1, distinct=True),
        "The files it writes, relative to {out}.",
    ]
    environment: Annotated[Name, "The environment it runs in, one of [environments]."]
    inputs: Annotated[
        tuple[StepInput, ...],
        Items(distinct=True),
        "Files it reads: paths, patterns, and outputs of other steps as step:NAME/OUTPUT.",
    ] = ()
    reproducible: Annotated[bool, "Whether a rerun must give the same bytes."] = False
    timeout: Annotated[Duration | None, "The time limit."] = None

    @property
    def files(self) -> tuple[str, ...]:
        """The inputs that are paths or patterns of files."""
        return tuple(text for text in self.inputs if StepOutput.parse(text) is None)

    @property
    def needs(self) -> tuple[StepOutput, ...]:
        """The inputs that are outputs of other steps."""
        return tuple(need for text in self.inputs if (need := StepOutput.parse(text)))

    def check(self, at: Place) -> None:
        """Checks that the command has the placeholder for its outputs."""
        if not any("{out}" in argument for argument in self.command):
            (at / "command").wrong(
                "no argument contains {out}, so the outputs can't be written",
                hint='pass the output folder to the program, such as "--out", "{out}"',
            )


class Model(Table, frozen=True, kw_only=True):
    """A model.toml: a model, its environments and its steps."""

    LATER: ClassVar = (
        "adapters",
        "card",
        "data",
        "governance",
        "lineage",
        "runtime",
        "security",
        "tests",
    )

    schema_version: Annotated[SchemaVersion, "The version of this format."]
    package: Annotated[PackageTable, "The released package."]
    core: Annotated[Core, "The model, independent of its environment."]
    io: Annotated[Io, "The inputs and outputs of the model."]
    environment: Annotated[Environment, "The environment that the model runs in."]
    accelerators: Annotated[
        dict[Accelerator, AcceleratorEnvironment],
        Items(least=1),
        Variants({Accelerator.CUDA: CudaEnvironment, Accelerator.ROCM: RocmEnvironment}),
        "The accelerators to build for, with their additions to the environment.",
    ]
    environments: Annotated[
        dict[EnvironmentName, ExtraEnvironment], "Further environments, for steps."
    ] = msgspec.field(default_factory=dict)
    steps: Annotated[tuple[Step, ...], "Actions that make files, such as training."] = ()
