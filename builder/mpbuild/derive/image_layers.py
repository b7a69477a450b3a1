"""The recipe: which layers make an image or the root of a step, from what, in which order.

A pure function of the core spec, the locks and the names of the source files. Layers stand from
what changes rarely to what changes often: base, further Debian packages, large wheels one each,
small ones in groups, bytecode, the runtime, code, files, weights one each, and last the spec with
the locks.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mpbuild.base import image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
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
from mpbuild.formats.python.pylock import PythonLock, PythonPackage
from mpbuild.spec.model import Model, Weight
from mpbuild.spec.paths import import_root

OWN_LAYER_SIZE = 1 << 20
OWN_LAYERS = 36
GROUPS = 8

ENTRY_POINT = "mpbuild_runtime/mpbuild-run"
"""The runtime's file that becomes an image's entry point."""


CODE = "code"
"""The title of the layer of the model's code."""


class LockedFile(NamedTuple):
    """A file that a lock names: a ``wheel`` or a ``debian`` package; its size is in bytes.

    Fetched ``weights``, which the spec itself pins, are such, too.
    """

    kind: str
    name: str
    digest: Digest
    size: int


class EnvironmentLocks(msgspec.Struct, frozen=True):
    """The two locks of one environment."""

    python: PythonLock
    debian: DebianLock

    @property
    def files(self) -> Iterator[LockedFile]:
        """Everything that the locks name."""
        for package in self.python.packages:
            wheel = package.wheel
            yield LockedFile("wheel", wheel.filename, wheel.sha256, wheel.size)
        for deb in self.debian.packages:
            yield LockedFile("debian", posixpath.basename(deb.path), deb.sha256, deb.size)


class SourceFile(msgspec.Struct, frozen=True, order=True):
    """A file of the workspace that ``core.sources`` matched: path, from the model's folder."""

    path: str
    pattern: str
    executable: bool = False


def environment_layers(locks: EnvironmentLocks, python: str) -> tuple[LayerPlan, ...]:
    """The layers of an environment alone: what a step sees as its root."""
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
    """All layers of the image for ``accelerator``.

    ``locks`` are those of every environment by name; ``runtime`` names the files of
    mpbuild_runtime, relative to its parent folder.
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


def pex_paths(files: Mapping[str, Digest], accelerator: Accelerator) -> dict[str, Digest]:
    """The files of an image that stand in its PEX, too, by their paths there.

    Code and runtime stand at their import paths, weights and files below folders of these names,
    the spec and the lock of ``accelerator`` in the root. Raise InputError where a folder
    or file of the code would stand where others do.
    """
    found: dict[str, Digest] = {}
    roots: dict[str, str] = {}
    for path, digest in files.items():
        root, place = _pex_path(path, accelerator)
        first = place.partition("/")[0]
        if place and roots.setdefault(first, root) != root:
            raise InputError(
                f"{first} would hold files of the code and others in the PEX",
                where=f"/{path}",
                hint=f"rename what is called {first} in core.sources",
            )
        if place:
            found[place] = digest
    return found


def _pex_path(path: str, accelerator: Accelerator) -> tuple[str, str]:
    """The folder of an image that a file is in, and its path in the PEX; empty where it has none.

    Folders of the PEX hold files of one of these alone, because they are import roots there.
    """
    lock = f"pylock.{accelerator}.toml"
    if path == f"{image_paths.LOCKS}/{lock}":
        return image_paths.MODEL, lock
    if path == image_paths.ENTRY_POINT or path.startswith(f"{image_paths.LOCKS}/"):
        return "", ""
    for root in (image_paths.SOURCES, image_paths.RUNTIME, image_paths.MODEL):
        if path.startswith(f"{root}/"):
            return root, path.removeprefix(f"{root}/")
    return "", ""


def lock_environments(model: Model, accelerator: Accelerator) -> tuple[str, ...]:
    """The environments whose locks an image carries: its own, then those of the steps."""
    steps = {step.environment for step in model.steps}
    return (accelerator, *sorted(steps - {accelerator}))


def source_destination(source: SourceFile) -> str:
    """Where a source file stands in an image: below the sources' place, without its root."""
    root = import_root(source.pattern)
    relative = source.path.removeprefix(root).lstrip("/") if root else source.path
    return f"{image_paths.SOURCES}/{relative}"


def weight_source(weight: Weight) -> Leaf | Digest:
    """What brings a file of weights: a step, the workspace, or as an input its address."""
    if weight.step:
        return Leaf("step", f"{weight.step}/{weight.output}")
    if weight.path:
        return Leaf("source", weight.path)
    assert weight.sha256, "who isn't pinned gets no further than the check of the locks"
    return weight.sha256


def fetched_weights(model: Model) -> Iterator[LockedFile]:
    """The weights that are fetched, as files that the spec itself locks."""
    for weight in model.core.weights:
        if weight.url:
            assert weight.sha256, "who isn't pinned gets no further than the check of the locks"
            yield LockedFile("weights", weight.name, weight.sha256, weight.size or 0)


def bytecode_leaf(accelerator: Accelerator) -> Leaf:
    """The bytecode of an accelerator's environment, which a sandboxed action makes."""
    return Leaf("bytecode", f"{accelerator}/{BYTECODE_FILE}")


def weight_path(weight: Weight) -> str:
    """Where a file of weights stands in an image."""
    return f"{image_paths.WEIGHTS}/{weight.name}"


def built_environments(model: Model, accelerators: Iterable[Accelerator]) -> tuple[str, ...]:
    """The environments that a build for ``accelerators`` needs the files of."""
    return (*accelerators, *sorted({step.environment for step in model.steps}))


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
    """By name alone, so that a new package disturbs one group of small wheels."""
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
        leaf, place = Leaf("source", source.path), source_destination(source)
        if inputs.setdefault(place, leaf) != leaf:
            raise InputError(
                f"{source.path} and another file of core.sources would both stand at /{place}",
                hint="what stands before a pattern's first wildcard is left out: rename one",
            )
    return LayerPlan(
        rule=FILES,
        title=CODE,
        inputs=inputs,
        executable=tuple(source_destination(s) for s in sorted(sources) if s.executable),
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
