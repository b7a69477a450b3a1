"""What is in a package."""

from typing import Any

from mpbuild.app.reference import Image, Package
from mpbuild.formats.annotations import LAYER


def inspect(package: Package) -> dict[str, Any]:
    """The children of a package with their layers, lowest first."""
    about = package.index.annotations
    return {
        "digest": str(package.digest),
        "name": about.get("org.opencontainers.image.title", ""),
        "version": about.get("org.opencontainers.image.version", ""),
        "children": [_child(image) for image in package.images()],
        "referrers": [],
    }


def _child(image: Image) -> dict[str, Any]:
    layers = image.manifest.layers
    return {
        "digest": str(image.descriptor.digest),
        "kind": "image",
        "accelerator": image.accelerator,
        "size": sum(layer.size for layer in layers) + image.manifest.config.size,
        "layers": [
            {
                "digest": str(layer.digest),
                "size": layer.size,
                "title": (layer.annotations or {}).get(LAYER, ""),
            }
            for layer in layers
        ],
    }
