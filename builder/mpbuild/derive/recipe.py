"""The recipe: which layers make an image or the root of a step, from what, in which order.

A pure function of the core spec, the locks and the names of the source files. Layers stand from
what changes rarely to what changes often: base, further Debian packages, large wheels one each,
small ones in groups, the runtime, code, weights one each, and last the spec with the locks.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import places
from mpbuild.derive.plan import DEBS, FILES, STORED, WHEELS, LayerPlan, Leaf
from mpbuild.formats.deblock import DebianLock, DebianPackage, filename
from mpbuild.formats.pylock import PythonLock, PythonPackage
from mpbuild.spec.model import Model, Weight
from mpbuild.spec.paths import import_root

OWN_LAYER_SIZE = 1 << 20
OWN_LAYERS = 36
GROUPS = 8

ENTRY_POINT = "mpbuild_runtime/mpbuild-run"
"""The runtime's file that becomes an image's entry point."""


class LockedFile(NamedTuple):
    """A file that a lock names: a ``wheel`` or a ``debian`` package; its size is in bytes."""

    kind: str
    name: str
    digest: Digest
    size: int


class Locks(msgspec.Struct, frozen=True):
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


def environment_layers(locks: Locks, python: str) -> tuple[LayerPlan, ...]:
    """The layers of an environment alone: what a step sees as its root."""
    debs = locks.debian.packages
    return (
        *_debian("base", [package for package in debs if package.base], python, base=True),
        *_debian("system", [package for package in debs if not package.base], python, base=False),
        *_wheels(locks.python.packages, python),
    )


def image_layers(
    model: Model,
    accelerator: Accelerator,
    locks: Mapping[str, Locks],
    sources: Sequence[SourceFile],
    runtime: Iterable[str],
) -> tuple[LayerPlan, ...]:
    """All layers of the image for ``accelerator``.

    ``locks`` are those of every environment by name; ``runtime`` names the files of
    mpbuild_runtime, relative to its parent folder.
    """
    return (
        *environment_layers(locks[accelerator], model.environment.python),
        _runtime(runtime),
        _code(sources),
        *_weights(model),
        _dossier(model, accelerator),
    )


def lock_environments(model: Model, accelerator: Accelerator) -> tuple[str, ...]:
    """The environments whose locks an image carries: its own, then those of the steps."""
    steps = {step.environment for step in model.steps}
    return (accelerator, *sorted(steps - {accelerator}))


def source_destination(source: SourceFile) -> str:
    """Where a source file stands in an image: below the sources' place, without its root."""
    root = import_root(source.pattern)
    relative = source.path.removeprefix(root).lstrip("/") if root else source.path
    return f"{places.SOURCES}/{relative}"


def weight_leaf(weight: Weight) -> Leaf:
    """The leaf that brings a file of weights: a step's output, or a file of the workspace."""
    if weight.step:
        return Leaf("step", f"{weight.step}/{weight.output}")
    return Leaf("source", str(weight.path))


def _debian(
    title: str, packages: Sequence[DebianPackage], python: str, *, base: bool
) -> Iterable[LayerPlan]:
    if packages:
        yield LayerPlan(
            rule=DEBS,
            title=f"{title}: {len(packages)} Debian packages",
            inputs={
                filename(package.name, package.version, package.architecture): package.sha256
                for package in packages
            },
            parameters={"python": python, "base": base},
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
        f"{places.RUNTIME}/{name}": Leaf("runtime", name) for name in sorted(files)
    }
    inputs[places.ENTRY_POINT] = inputs.pop(
        f"{places.RUNTIME}/{ENTRY_POINT}", Leaf("runtime", ENTRY_POINT)
    )
    return LayerPlan(
        rule=FILES, title="mpbuild runtime", inputs=inputs, executable=(places.ENTRY_POINT,)
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
        title="code",
        inputs=inputs,
        executable=tuple(source_destination(s) for s in sorted(sources) if s.executable),
    )


def _weights(model: Model) -> Iterable[LayerPlan]:
    for weight in model.core.weights:
        yield LayerPlan(
            rule=STORED,
            title=f"weights {weight.name} {weight.version}",
            inputs={f"{places.WEIGHTS}/{weight.name}": weight_leaf(weight)},
        )


def _dossier(model: Model, accelerator: Accelerator) -> LayerPlan:
    inputs: dict[str, Digest | Leaf] = {places.SPEC: Leaf("spec", "spec.json")}
    for environment in lock_environments(model, accelerator):
        for name in (f"pylock.{environment}.toml", f"debian.{environment}.toml"):
            inputs[f"{places.LOCKS}/{name}"] = Leaf("lock", name)
    return LayerPlan(rule=FILES, title="spec and locks", inputs=inputs)
