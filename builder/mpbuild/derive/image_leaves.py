"""The leaves of an image and their paths: sources, weights, bytecode."""

import msgspec

from mpbuild.base import image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.derive.layers.layer_plan import BYTECODE_FILE, Leaf
from mpbuild.spec.model import Weight
from mpbuild.spec.paths import import_root


class SourceFile(msgspec.Struct, frozen=True, order=True):
    """A file that a pattern of ``core.sources`` matches; its path starts at the model's folder."""

    path: str
    pattern: str
    executable: bool = False


def source_path(source: SourceFile) -> str:
    """The path of a source file in an image, relative to its pattern's import root there."""
    root = import_root(source.pattern)
    relative = source.path.removeprefix(root).lstrip("/") if root else source.path
    return f"{image_paths.SOURCES}/{relative}"


def weight_path(weight: Weight) -> str:
    """The path of a file of weights in an image."""
    return f"{image_paths.WEIGHTS}/{weight.name}"


def weight_source(weight: Weight) -> Leaf | Digest:
    """The leaf of a file of weights; the digest of one with a URL, which is an input."""
    if weight.step:
        return Leaf("step", f"{weight.step}/{weight.output}")
    if weight.path:
        return Leaf("source", weight.path)
    assert weight.sha256, "checked with the locks"
    return weight.sha256


def bytecode_leaf(accelerator: Accelerator) -> Leaf:
    """The bytecode of an accelerator's environment, which a sandboxed action compiles."""
    return Leaf("bytecode", f"{accelerator}/{BYTECODE_FILE}")
