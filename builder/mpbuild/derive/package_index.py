"""The package: an index over its images, PEX files and model artifact. Version 1."""

from collections.abc import Sequence

import msgspec

from mpbuild.base.accelerator import Accelerator
from mpbuild.derive.image import annotations
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import ACCELERATOR, KIND, PARTIAL
from mpbuild.spec.model import Model


class PackageIndex(msgspec.Struct, frozen=True):
    """The index, whose digest is the package's identity."""

    index: oci.ImageIndex
    index_bytes: bytes
    descriptor: oci.Descriptor
    partial: bool


def package(model: Model, children: Sequence[oci.Descriptor]) -> PackageIndex:
    """Derives the index of ``children``; it is partial if the spec has more accelerators.

    Images come first, with cpu before all others, because engines take the first image that fits.
    PEX files follow in the same order, then the model artifact.
    """
    ordered = sorted(children, key=_rank)
    built = [a for a in Accelerator if a in {_accelerator(c) for c in children if _is_image(c)}]
    partial = any(a not in built for a in model.accelerators)
    about = annotations(model) | {KIND: "package"}
    if partial:
        about[PARTIAL] = ",".join(built)
    index = oci.ImageIndex(manifests=tuple(ordered), annotations=about)
    data = oci.encode(index)
    return PackageIndex(index, data, oci.descriptor(oci.INDEX, data), partial)


_KINDS = ("image", "pex", "model")


def _rank(child: oci.Descriptor) -> tuple[int, int]:
    order = list(Accelerator)
    accelerator = _accelerator(child)
    return (
        _KINDS.index((child.annotations or {})[KIND]),
        order.index(Accelerator(accelerator)) if accelerator else len(order),
    )


def _is_image(child: oci.Descriptor) -> bool:
    return (child.annotations or {})[KIND] == "image"


def _accelerator(child: oci.Descriptor) -> str:
    return (child.annotations or {}).get(ACCELERATOR, "")
