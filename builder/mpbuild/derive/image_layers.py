"""The layers of an image, or of a step's root: which ones, from what, in which order.

A pure function of the core spec, the locks and the names of the source files. Layers that change
rarely come first: base, other Debian packages, large wheels one each, small wheels in groups,
bytecode, the runtime, code, files, weights one each, and last the spec with the locks.
"""

from collections.abc import Iterable, Mapping, Sequence

from mpbuild.base import image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive.environment_locks import EnvironmentLocks, lock_environments
from mpbuild.derive.image_leaves import (
    SourceFile,
    bytecode_leaf,
    source_path,
    weight_path,
    weight_source,
)
from mpbuild.derive.layers.alternatives import encode
from mpbuild.derive.layers.layer_plan import (
    BYTECODE,
    BYTECODE_FILE,
    DEBS,
    FILES,
    STORED,
    WHEELS,
    LayerPlan,
    Leaf,
)
from mpbuild.formats.debian.deblock import DebianLock, filename
from mpbuild.formats.python.pylock import PythonPackage
from mpbuild.spec.model import Model

OWN_LAYER_SIZE = 1 << 20
OWN_LAYERS = 36
GROUPS = 8

ENTRY_POINT = "mpbuild_runtime/mpbuild-run"
"""The runtime's file that becomes an image's entry point."""

CODE = "code"
"""The title of the layer of the model's code."""


def environment_layers(locks: EnvironmentLocks, python: str) -> tuple[LayerPlan, ...]:
    """The layers of an environment, lowest first: the root of a step."""
    return (
        *_debian("base", locks.debian, python, base=True),
        *_debian("system", locks.debian, python, base=False),
        *_wheels(locks.python.packages, python),
    )


def image_layers(
    model: Model,
    accelerator: Accelerator,
    locks: Mapping[str, EnvironmentLocks],
    sources: Sequence[SourceFile],
    runtime: Iterable[str],
) -> tuple[LayerPlan, ...]:
    """The layers of the image for ``accelerator``, lowest first.

    ``locks`` has every environment by name; ``runtime`` has the files of mpbuild_runtime, relative
    to its parent folder.
    """
    return (
        *environment_layers(locks[accelerator], model.environment.python),
        *_bytecode(model, accelerator),
        _runtime(runtime),
        _code(sources),
        *_files(model),
        *_weights(model),
        _dossier(model, accelerator),
    )


def _debian(title: str, lock: DebianLock, python: str, *, base: bool) -> Iterable[LayerPlan]:
    packages = [package for package in lock.packages if package.base is base]
    names = {package.name for package in packages}
    links = encode(link for link in lock.links if link.package in names)
    parameters: dict[str, str | bool] = {"python": python, "base": base}
    if packages:
        yield LayerPlan(
            rule=DEBS,
            title=f"{title}: {len(packages)} Debian packages",
            inputs={
                filename(package.name, package.version, package.architecture): package.sha256
                for package in packages
            },
            parameters=parameters | ({"links": links} if links else {}),
        )


def _wheels(packages: Sequence[PythonPackage], python: str) -> Iterable[LayerPlan]:
    large = sorted(packages, key=lambda p: (-p.wheel.size, p.name))[:OWN_LAYERS]
    own = [p for p in packages if p in large and p.wheel.size >= OWN_LAYER_SIZE]
    groups: dict[int, list[PythonPackage]] = {}
    for package in packages:
        if package not in own:
            groups.setdefault(_group(package.name), []).append(package)
    for members in (*([package] for package in own), *(groups[n] for n in sorted(groups))):
        yield LayerPlan(
            rule=WHEELS,
            title=", ".join(f"{package.name} {package.version}" for package in members),
            inputs={package.wheel.filename: package.wheel.sha256 for package in members},
            parameters={"python": python},
        )


def _group(name: str) -> int:
    """The group depends on the name alone, so a new package changes only one group."""
    return int(Digest.of(name.encode()).hex[:8], 16) % GROUPS


def _runtime(files: Iterable[str]) -> LayerPlan:
    inputs: dict[str, Digest | Leaf] = {
        f"{image_paths.RUNTIME}/{name}": Leaf("runtime", name) for name in sorted(files)
    }
    inputs[image_paths.ENTRY_POINT] = inputs.pop(
        f"{image_paths.RUNTIME}/{ENTRY_POINT}", Leaf("runtime", ENTRY_POINT)
    )
    return LayerPlan(
        rule=FILES, title="mpbuild runtime", inputs=inputs, executable=(image_paths.ENTRY_POINT,)
    )


def _code(sources: Sequence[SourceFile]) -> LayerPlan:
    inputs: dict[str, Digest | Leaf] = {}
    for source in sorted(sources):
        leaf, path = Leaf("source", source.path), source_path(source)
        if inputs.setdefault(path, leaf) != leaf:
            raise InputError(
                f"{source.path} and another file of core.sources have the same path /{path}",
                hint="the folders before a pattern's first wildcard are dropped: rename one file",
            )
    return LayerPlan(
        rule=FILES,
        title=CODE,
        inputs=inputs,
        executable=tuple(source_path(s) for s in sorted(sources) if s.executable),
    )


def _bytecode(model: Model, accelerator: Accelerator) -> Iterable[LayerPlan]:
    if model.environment.compile_bytecode:
        yield LayerPlan(
            rule=BYTECODE,
            title="bytecode",
            inputs={BYTECODE_FILE: bytecode_leaf(accelerator)},
            parameters={"python": model.environment.python},
        )


def _files(model: Model) -> Iterable[LayerPlan]:
    if model.core.files:
        yield LayerPlan(
            rule=FILES,
            title="files",
            inputs={
                f"{image_paths.FILES}/{f.name}": Leaf("source", f.path) for f in model.core.files
            },
        )


def _weights(model: Model) -> Iterable[LayerPlan]:
    for weight in model.core.weights:
        yield LayerPlan(
            rule=STORED,
            title=f"weights {weight.name} {weight.version}",
            inputs={weight_path(weight): weight_source(weight)},
        )


def _dossier(model: Model, accelerator: Accelerator) -> LayerPlan:
    inputs: dict[str, Digest | Leaf] = {image_paths.SPEC: Leaf("spec", "spec.json")}
    for environment in lock_environments(model, accelerator):
        for name in (f"pylock.{environment}.toml", f"debian.{environment}.toml"):
            inputs[f"{image_paths.LOCKS}/{name}"] = Leaf("lock", name)
    return LayerPlan(rule=FILES, title="spec and locks", inputs=inputs)
