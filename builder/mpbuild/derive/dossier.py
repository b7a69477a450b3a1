"""The dossier of a package: documents in the model artifact. Version 1.

It depends on the spec, the locks of all accelerators and the files of the model only, so it is the
same for every choice of accelerators to build.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from mpbuild.base.accelerator import Accelerator
from mpbuild.derive import dependency_graph
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.formats import cuda
from mpbuild.formats.dossier import documents, encoding
from mpbuild.formats.oci.modelpack import ModelArtifactFile
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.spec.environment import (
    AcceleratorEnvironment,
    CudaEnvironment,
    ExtraEnvironment,
    RocmEnvironment,
)
from mpbuild.spec.model import CoreFile, Model, Parameter, Tensor, Weight

T = TypeVar("T")


def dossier_files(
    model: Model, locks: Mapping[str, EnvironmentLocks], files: Iterable[ModelArtifactFile]
) -> dict[str, bytes]:
    """The bytes of each document by its path in the model artifact.

    ``locks`` has every environment by name; ``files`` has at least the model's own files, as
    ``weights/NAME`` and ``files/NAME``.
    """
    known = {file.path: file for file in files}
    contract = contract_document(model, locks)
    made: dict[str, encoding.Document] = {
        "contract": contract,
        "environment": environment_document(model, locks),
        "graph": dependency_graph.graph_document(model, locks, known, contract.hosts),
        "model": model_document(model, known),
    }
    return {f"dossier/{name}.json": encoding.encode(made[name]) for name in sorted(made)}


def model_document(model: Model, files: Mapping[str, ModelArtifactFile]) -> documents.ModelDocument:
    """The description of the model; ``files`` by path."""
    about, core = model.package, model.core
    return documents.ModelDocument(
        package=documents.Release(
            name=about.name,
            version=about.version,
            summary=about.summary,
            owners=about.owners,
            license=about.license,
        ),
        core=documents.ModelCore(
            version=core.version,
            task=core.task,
            format=core.format,
            entry_point=core.entry_point,
            weights=tuple(_model_file(w, files[f"weights/{w.name}"]) for w in core.weights),
            files=tuple(_model_file(f, files[f"files/{f.name}"]) for f in core.files),
        ),
    )


def environment_document(
    model: Model, locks: Mapping[str, EnvironmentLocks]
) -> documents.EnvironmentDocument:
    """The environments of the model and of its steps."""
    common = model.environment
    return documents.EnvironmentDocument(
        version=common.version,
        accelerators=tuple(
            _environment(
                locks[a],
                ExtraEnvironment(
                    dependencies=(*common.dependencies, *model.accelerators[a].dependencies),
                    system=common.system,
                ),
                model,
                _requirements(model.accelerators[a]),
            )
            for a in Accelerator
            if a in model.accelerators
        ),
        steps=tuple(
            _environment(locks[name], model.environments[name], model)
            for name in sorted({step.environment for step in model.steps})
        ),
    )


def contract_document(
    model: Model, locks: Mapping[str, EnvironmentLocks]
) -> documents.ContractDocument:
    """The interface of the model, and the requirements for machines."""
    io = model.io
    return documents.ContractDocument(
        io=documents.ModelInterface(
            version=io.version,
            inputs=tuple(map(_tensor, io.inputs)),
            outputs=tuple(map(_tensor, io.outputs)),
            parameters=tuple(map(_parameter, io.parameters)),
        ),
        hosts=tuple(
            _host(model, a, locks[a].python) for a in Accelerator if a in model.accelerators
        ),
    )


def _model_file(one: Weight | CoreFile, file: ModelArtifactFile) -> documents.ModelFile:
    return documents.ModelFile(
        name=one.name,
        version=one.version,
        path=file.path,
        digest=file.digest,
        size=file.size,
        origin=_origin(one),
    )


def _origin(one: Weight | CoreFile) -> documents.Origin:
    if one.path:
        return documents.WorkspaceOrigin(path=one.path)
    assert isinstance(one, Weight), "only weights have no path"
    if one.url:
        return documents.AddressOrigin(url=one.url)
    return documents.StepOrigin(step=str(one.step), output=str(one.output))


def _environment(
    locks: EnvironmentLocks,
    asked: ExtraEnvironment,
    model: Model,
    requires: documents.MachineRequirements | UnsetType = UNSET,
) -> documents.EnvironmentEntry:
    return documents.EnvironmentEntry(
        name=locks.python.environment,
        python=locks.python.python,
        base=asked.base or model.environment.base,
        suite=locks.debian.suite,
        dependencies=asked.dependencies,
        system=asked.system,
        floors=_floors(locks.python),
        requires=requires,
        packages=tuple(
            documents.WheelEntry(
                name=package.name,
                version=package.version,
                wheel=package.wheel.filename,
                digest=package.wheel.sha256,
                size=package.wheel.size,
            )
            for package in locks.python.packages
        ),
        debian=tuple(
            documents.DebianPackageEntry(
                name=package.name,
                version=package.version,
                architecture=package.architecture,
                base=package.base,
                digest=package.sha256,
                size=package.size,
            )
            for package in locks.debian.packages
        ),
    )


def _floors(lock: PythonLock) -> documents.Floors:
    if lock.cuda is None:
        return documents.Floors(glibc=lock.glibc or UNSET)
    floor = cuda.floor(lock.cuda)
    return documents.Floors(
        glibc=lock.glibc or UNSET,
        cuda=lock.cuda,
        driver=floor.driver,
        compute_capability=floor.capability,
    )


def _requirements(environment: AcceleratorEnvironment) -> documents.MachineRequirements:
    if isinstance(environment, CudaEnvironment):
        of_cuda = environment.requires
        return documents.MachineRequirements(
            driver=_given(of_cuda.driver),
            compute_capability=_given(of_cuda.compute_capability),
            memory=_given(of_cuda.memory),
            libraries=of_cuda.libraries,
        )
    if isinstance(environment, RocmEnvironment):
        of_rocm = environment.requires
        return documents.MachineRequirements(
            gfx=of_rocm.gfx, memory=_given(of_rocm.memory), libraries=of_rocm.libraries
        )
    return documents.MachineRequirements()


def _host(model: Model, accelerator: Accelerator, lock: PythonLock) -> documents.HostEntry:
    """The requirements of the spec, completed by those of the wheels."""
    demanded, floors = _requirements(model.accelerators[accelerator]), _floors(lock)
    requires = msgspec.structs.replace(
        demanded,
        driver=demanded.driver or floors.driver,
        compute_capability=demanded.compute_capability or floors.compute_capability,
    )
    return documents.HostEntry(accelerator=accelerator, requires=requires)


def _tensor(tensor: Tensor) -> documents.TensorEntry:
    return documents.TensorEntry(
        name=tensor.name,
        datatype=tensor.datatype,
        shape=tensor.shape,
        minimum=_given(tensor.minimum),
        maximum=_given(tensor.maximum),
        description=_given(tensor.description),
    )


def _parameter(parameter: Parameter) -> documents.ParameterEntry:
    return documents.ParameterEntry(
        name=parameter.name,
        datatype=parameter.datatype,
        default=_given(parameter.default),
        minimum=_given(parameter.minimum),
        maximum=_given(parameter.maximum),
        description=_given(parameter.description),
    )


def _given(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
