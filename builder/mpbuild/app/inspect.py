"""Inspects a package: its children and their blobs, what these share, and its referrers."""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import ACCELERATOR, LAYER, TITLE
from mpbuild.package.package import KINDS, Package
from mpbuild.package.referrers import summaries


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """A layer; ``size`` in bytes, ``shared`` with another child.

    ``same`` is whether the other package has it; None without another package.
    """

    digest: Digest
    size: int
    title: str
    shared: bool
    same: bool | None = None


class ChildReport(msgspec.Struct, frozen=True, kw_only=True):
    """A child of a package; ``size`` in bytes counts each of its blobs once."""

    digest: Digest
    kind: str
    accelerator: str
    size: int
    layers: tuple[LayerReport, ...]


class ReferrerReport(msgspec.Struct, frozen=True, kw_only=True):
    """A referrer of the package or of a child; ``size`` in bytes includes its blobs."""

    digest: Digest
    subject: Digest
    type: str
    size: int


class PackageComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Another package, and the bytes that it has in common with the inspected one."""

    digest: Digest
    version: str
    same: int
    new: int


class PackageReport(msgspec.Struct, frozen=True, kw_only=True):
    """A package; ``size`` in bytes counts each blob once, ``shared`` blobs of several children."""

    digest: Digest
    name: str
    version: str
    size: int
    shared: int
    children: tuple[ChildReport, ...]
    referrers: tuple[ReferrerReport, ...]
    other: PackageComparison | None = None


class _Child(msgspec.Struct, frozen=True):
    kind: str
    accelerator: str
    descriptor: oci.Descriptor
    config: oci.Descriptor
    layers: tuple[oci.Descriptor, ...]

    @property
    def blobs(self) -> dict[Digest, int]:
        """Sizes in bytes by digest, so that a blob counts once."""
        sizes = {blob.digest: blob.size for blob in (self.config, *self.layers)}
        return sizes | {self.descriptor.digest: self.descriptor.size}


def inspect(package: Package, other: Package | None) -> PackageReport:
    """Reports the children of a package; compares their blobs with each other's and ``other``'s."""
    children = list(_children(package))
    held = Counter(digest for child in children for digest in child.blobs)
    known = set(_blobs(_children(other))) if other else None
    blobs = _blobs(children)
    return PackageReport(
        digest=package.digest,
        name=package.name,
        version=package.version,
        size=len(package.index_bytes) + sum(blobs.values()),
        shared=sum(size for digest, size in blobs.items() if held[digest] > 1),
        children=tuple(_child_report(child, held, known) for child in children),
        referrers=tuple(_referrer_reports(package)),
        other=_comparison(other, blobs, known or set()) if other else None,
    )


def _children(package: Package) -> Iterator[_Child]:
    for kind in KINDS:
        for descriptor in package.children(kind):
            config, *layers = oci.pointers(package.sized(descriptor, oci.MANIFEST))
            accelerator = (descriptor.annotations or {}).get(ACCELERATOR, "")
            yield _Child(kind, accelerator, descriptor, config, tuple(layers))


def _blobs(children: Iterable[_Child]) -> dict[Digest, int]:
    return {digest: size for child in children for digest, size in child.blobs.items()}


def _comparison(other: Package, blobs: dict[Digest, int], known: set[Digest]) -> PackageComparison:
    same = sum(size for digest, size in blobs.items() if digest in known)
    return PackageComparison(
        digest=other.digest, version=other.version, same=same, new=sum(blobs.values()) - same
    )


def _child_report(child: _Child, held: Counter[Digest], known: set[Digest] | None) -> ChildReport:
    return ChildReport(
        digest=child.descriptor.digest,
        kind=child.kind,
        accelerator=child.accelerator,
        size=sum(child.blobs.values()),
        layers=tuple(
            LayerReport(
                digest=layer.digest,
                size=layer.size,
                title=_title(layer),
                shared=held[layer.digest] > 1,
                same=None if known is None else layer.digest in known,
            )
            for layer in child.layers
        ),
    )


def _title(layer: oci.Descriptor) -> str:
    annotations = layer.annotations or {}
    return annotations.get(LAYER) or annotations.get(TITLE, "")


def _referrer_reports(package: Package) -> Iterator[ReferrerReport]:
    for subject in (package.digest, *(child.digest for child in package.index.manifests)):
        for found in summaries(package.referrers, subject):
            yield ReferrerReport(
                digest=found.digest, subject=subject, type=found.artifact_type, size=found.size
            )
