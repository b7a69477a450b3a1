"""Selects the function that derives a layer.

A rule's version is the version of its format. A version that made a released package is never
changed or deleted; another is added. Functions are imported on use, since a build derives few of
its layers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError
from mpbuild.derive.elf_needs import encode
from mpbuild.derive.elf_scan import ElfScan
from mpbuild.derive.layers import layer
from mpbuild.derive.layers.files_layer import file_nodes
from mpbuild.derive.layers.layer import Layer, LayerNode, Visitor
from mpbuild.derive.layers.layer_plan import BYTECODE, DEBS, FILES, STORED, WHEELS
from mpbuild.formats.archive import gzip

Inputs = Mapping[str, Buffer]


class LayerAction(Protocol):
    """An action that derives a layer, as far as its function needs it; plans have the same form."""

    @property
    def rule(self) -> str:
        """The kind of layer."""

    @property
    def version(self) -> int:
        """The version of the layer's format."""

    @property
    def executable(self) -> tuple[str, ...]:
        """The inputs with the executable bit."""

    @property
    def parameters(self) -> Mapping[str, object]:
        """Further parameters by name."""

    @property
    def tools(self) -> Mapping[str, str]:
        """The compression, under ``codec``."""


class DerivedLayer(msgspec.Struct, frozen=True):
    """A layer, and the needs and definitions of its ELF files as canonical JSON."""

    layer: Layer
    needs: bytes


def derive(action: LayerAction, inputs: Inputs) -> DerivedLayer:
    """Derives the descriptor of a layer and checks the content of every input."""
    scan = ElfScan()
    made = layer.establish(_nodes(action, inputs), scan)
    return DerivedLayer(made, encode(scan.needs()))


def blob(action: LayerAction, inputs: Inputs) -> Iterator[Buffer]:
    """Streams the compressed layer; callers check its digest."""
    return layer.blob(_nodes(action, inputs))


def unpack(action: LayerAction, inputs: Inputs, visitor: Visitor) -> Iterator[Buffer]:
    """Streams the plain tar of the layer while ``visitor`` receives its files."""
    return layer.plain(_nodes(action, inputs), visitor)


def _nodes(action: LayerAction, inputs: Inputs) -> tuple[LayerNode, ...]:
    function = _FUNCTIONS.get((action.rule, action.version))
    if function is None or action.tools.get("codec") != gzip.CODEC:
        raise InputError(
            f"unsupported layer format: {action.rule} version {action.version} with"
            f" {action.tools.get('codec')}",
            code=Code.NOT_SUPPORTED_YET,
            hint="the package was made by a newer mpbuild",
        )
    return function(action, inputs)


def _wheels(action: LayerAction, inputs: Inputs) -> tuple[LayerNode, ...]:
    from mpbuild.derive.layers.wheel_layer import wheel_nodes

    return wheel_nodes(inputs, _python(action))


def _debs(action: LayerAction, inputs: Inputs) -> tuple[LayerNode, ...]:
    from mpbuild.derive.layers.alternatives import decode
    from mpbuild.derive.layers.deb_layer import deb_nodes

    links = decode(str(action.parameters.get("links", "")))
    base = action.parameters.get("base") is True
    return deb_nodes(inputs, _python(action), base=base, links=links)


def _files(action: LayerAction, inputs: Inputs) -> tuple[LayerNode, ...]:
    return file_nodes(inputs, action.executable)


def _stored(action: LayerAction, inputs: Inputs) -> tuple[LayerNode, ...]:
    return file_nodes(inputs, action.executable, stored=True)


def _bytecode(action: LayerAction, inputs: Inputs) -> tuple[LayerNode, ...]:
    from mpbuild.derive.layers.bytecode_layer import bytecode_nodes

    return bytecode_nodes(inputs, _python(action))


def _python(action: LayerAction) -> str:
    return str(action.parameters.get("python", ""))


_FUNCTIONS: dict[tuple[str, int], Callable[[LayerAction, Inputs], tuple[LayerNode, ...]]] = {
    (WHEELS, 1): _wheels,
    (DEBS, 1): _debs,
    (FILES, 1): _files,
    (STORED, 1): _stored,
    (BYTECODE, 1): _bytecode,
}
