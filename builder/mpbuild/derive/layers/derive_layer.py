"""Which function derives which layer.

A rule's version is the version of its format. One that ever made a released package is never
changed or deleted, only joined by another. A function is imported when a layer asks for it: a
build derives few of its layers anew.
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError
from mpbuild.derive.elf_needs import encode
from mpbuild.derive.elf_scan import ElfScan
from mpbuild.derive.layers import layer
from mpbuild.derive.layers.files_layer import file_nodes
from mpbuild.derive.layers.layer import Layer, LayerNode, Visitor
from mpbuild.derive.layers.layer_plan import BYTECODE, DEBS, FILES, STORED, WHEELS, LayerPlan
from mpbuild.formats.archive import gzip

Inputs = Mapping[str, Buffer]


class DerivedLayer(msgspec.Struct, frozen=True):
    """A layer and, as canonical JSON, what its ELF files need and offer."""

    layer: Layer
    needs: bytes


def derive(plan: LayerPlan, inputs: Inputs) -> DerivedLayer:
    """Everything about a layer but its bytes, with every content of ``inputs`` checked."""
    scan = ElfScan()
    made = layer.establish(_nodes(plan, inputs), scan)
    return DerivedLayer(made, encode(scan.needs()))


def blob(plan: LayerPlan, inputs: Inputs) -> Iterator[Buffer]:
    """The layer's compressed bytes; whoever takes them compares digests."""
    return layer.blob(_nodes(plan, inputs))


def unpack(plan: LayerPlan, inputs: Inputs, visitor: Visitor) -> Iterator[Buffer]:
    """The layer's plain bytes, while ``visitor`` sees its files."""
    return layer.plain(_nodes(plan, inputs), visitor)


def _nodes(plan: LayerPlan, inputs: Inputs) -> tuple[LayerNode, ...]:
    function = _FUNCTIONS.get((plan.rule, plan.version))
    if function is None or plan.codec != gzip.CODEC:
        raise InputError(
            f"this mpbuild can't derive {plan.rule} version {plan.version} with {plan.codec}",
            code=Code.NOT_SUPPORTED_YET,
            hint="a newer mpbuild made this package",
        )
    return function(plan, inputs)


def _wheels(plan: LayerPlan, inputs: Inputs) -> tuple[LayerNode, ...]:
    from mpbuild.derive.layers.wheel_layer import wheel_nodes

    return wheel_nodes(inputs, _python(plan))


def _debs(plan: LayerPlan, inputs: Inputs) -> tuple[LayerNode, ...]:
    from mpbuild.derive.layers.alternatives import decode
    from mpbuild.derive.layers.deb_layer import deb_nodes

    links = decode(str(plan.parameters.get("links", "")))
    base = plan.parameters.get("base") is True
    return deb_nodes(inputs, _python(plan), base=base, links=links)


def _files(plan: LayerPlan, inputs: Inputs) -> tuple[LayerNode, ...]:
    return file_nodes(inputs, plan.executable)


def _stored(plan: LayerPlan, inputs: Inputs) -> tuple[LayerNode, ...]:
    return file_nodes(inputs, plan.executable, stored=True)


def _bytecode(plan: LayerPlan, inputs: Inputs) -> tuple[LayerNode, ...]:
    from mpbuild.derive.layers.bytecode_layer import bytecode_nodes

    return bytecode_nodes(inputs, _python(plan))


def _python(plan: LayerPlan) -> str:
    return str(plan.parameters.get("python", ""))


_FUNCTIONS: dict[tuple[str, int], Callable[[LayerPlan, Inputs], tuple[LayerNode, ...]]] = {
    (WHEELS, 1): _wheels,
    (DEBS, 1): _debs,
    (FILES, 1): _files,
    (STORED, 1): _stored,
    (BYTECODE, 1): _bytecode,
}
