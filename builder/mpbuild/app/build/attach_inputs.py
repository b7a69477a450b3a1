"""Attaches the inputs artifact to a package that was built: see derive/inputs_artifact.py."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from mpbuild.app.build.blueprint import Blueprint
from mpbuild.app.build.build_graph import BuildPlan
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.derive import inputs_artifact
from mpbuild.derive.environment_locks import built_environments
from mpbuild.derive.inputs_artifact import InputFile
from mpbuild.effects.store.store import Store
from mpbuild.engine.scheduler import TaskOutcome
from mpbuild.formats.oci import oci, referrer
from mpbuild.package.assemble import Assembly
from mpbuild.package.referrers import StoreReferrers, inputs_artifacts

_FOLDERS = {"wheel": "wheels", "debian": "debian"}


def attach_inputs(
    blueprint: Blueprint,
    plan: BuildPlan,
    done: Mapping[str, TaskOutcome],
    assembly: Assembly,
    store: Store,
) -> list[Digest]:
    """Attaches the artifact in the store and returns the digests of its own small blobs."""
    steps = inputs_artifact.write_steps(blueprint.steps)
    files = [
        *_locked(blueprint, [image.accelerator for image in assembly.images]),
        *_step_layers(plan, done),
        InputFile(inputs_artifact.STEPS, Digest.of(steps), len(steps)),
        *(
            InputFile(f"locks/{name}", Digest.of(data), len(data))
            for name, data in blueprint.toolchain.files.items()
        ),
    ]
    package = assembly.package.descriptor
    manifest = referrer.encode(inputs_artifact.inputs(package, files))
    blobs = (oci.EMPTY, steps, *blueprint.toolchain.files.values(), manifest)
    kept = [store.put_bytes(blob) for blob in blobs]
    # An earlier build of the same package may have read other files: the last build counts.
    for digest, _ in list(inputs_artifacts(StoreReferrers(store), package.digest)):
        if digest != Digest.of(manifest):
            store.unrefer(package.digest, digest)
    store.refer(package.digest, Digest.of(manifest))
    return kept


def _locked(blueprint: Blueprint, accelerators: Sequence[Accelerator]) -> Iterator[InputFile]:
    """Debian packages, and the wheels that are in no PEX of the package."""
    names = built_environments(blueprint.model, accelerators)
    held = {
        file.digest
        for name in accelerators
        for file in blueprint.locks[name].files
        if file.kind == "wheel"
    }
    locks = [*(blueprint.locks[name] for name in names), blueprint.toolchain.locks]
    for file in chain.from_iterable(lock.files for lock in locks):
        if file.digest not in held:
            yield InputFile(f"{_FOLDERS[file.kind]}/{file.name}", file.digest, file.size)


def _step_layers(plan: BuildPlan, done: Mapping[str, TaskOutcome]) -> Iterator[InputFile]:
    for name, task in plan.reads.items():
        layer = done[task].result.outputs["layer"]
        path = f"steps/{name}.tar.gz"
        yield InputFile(path, layer.digest, layer.size, oci.LAYER_GZIP)
