"""What is in a package: its children with their blobs, what these share, what is attached."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import ACCELERATOR, LAYER, TITLE
from mpbuild.package.package import KINDS, Package
from mpbuild.package.referrers import Referrers


class ChildReport(msgspec.Struct, frozen=True):
    """A child of a package, and its blobs in order."""

    kind: str
    accelerator: str
    descriptor: oci.Descriptor
    config: oci.Descriptor
    layers: tuple[oci.Descriptor, ...]

    @property
    def blobs(self) -> dict[Digest, int]:
        """Sizes in bytes by digest: what stands twice counts once."""
        found = {blob.digest: blob.size for blob in (self.config, *self.layers)}
        return found | {self.descriptor.digest: self.descriptor.size}


def inspect(package: Package, attached: Referrers, other: Package | None) -> dict[str, Any]:
    """The children of a package; their blobs are compared with each other's and ``other``'s."""
    children = list(_children(package))
    held = Counter(digest for child in children for digest in child.blobs)
    known = set(_blobs(_children(other))) if other else set()
    every = _blobs(children)
    found: dict[str, Any] = {
        "digest": str(package.digest),
        "name": package.name,
        "version": package.version,
        "size": len(package.index_bytes) + sum(every.values()),
        "shared": sum(size for digest, size in every.items() if held[digest] > 1),
        "children": [_told(child, held, known if other else None) for child in children],
        "referrers": list(_referrers(package, attached)),
    }
    if other:
        same = sum(size for digest, size in every.items() if digest in known)
        found["other"] = {
            "digest": str(other.digest),
            "version": other.version,
            "same": same,
            "new": sum(every.values()) - same,
        }
    return found


def _children(package: Package) -> Iterator[ChildReport]:
    for kind in KINDS:
        for descriptor in package.children(kind):
            config, *layers = oci.pointers(package.sized(descriptor, oci.MANIFEST))
            accelerator = (descriptor.annotations or {}).get(ACCELERATOR, "")
            yield ChildReport(kind, accelerator, descriptor, config, tuple(layers))


def _blobs(children: "Iterator[ChildReport] | list[ChildReport]") -> dict[Digest, int]:
    return {digest: size for child in children for digest, size in child.blobs.items()}


def _told(child: ChildReport, held: Counter[Digest], known: set[Digest] | None) -> dict[str, Any]:
    return {
        "digest": str(child.descriptor.digest),
        "kind": child.kind,
        "accelerator": child.accelerator,
        "size": sum(child.blobs.values()),
        "layers": [
            {
                "digest": str(layer.digest),
                "size": layer.size,
                "title": _title(layer),
                "shared": held[layer.digest] > 1,
            }
            | ({} if known is None else {"same": layer.digest in known})
            for layer in child.layers
        ],
    }


def _title(layer: oci.Descriptor) -> str:
    annotations = layer.annotations or {}
    return annotations.get(LAYER) or annotations.get(TITLE, "")


def _referrers(package: Package, attached: Referrers) -> Iterator[dict[str, Any]]:
    for subject in (package.digest, *(child.digest for child in package.index.manifests)):
        for found in attached.listed(subject):
            yield {
                "digest": str(found.digest),
                "subject": str(subject),
                "type": found.artifact_type,
                "size": found.size,
            }
