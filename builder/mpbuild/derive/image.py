"""From layers to an image, from images to the package: pure, in canonical JSON. Version 1."""

from collections.abc import Sequence

import msgspec

from mpbuild.base import epoch
from mpbuild.base.accelerator import Accelerator
from mpbuild.derive import places
from mpbuild.derive.layer import Layer
from mpbuild.derive.plan import LayerPlan
from mpbuild.formats import oci
from mpbuild.formats.annotations import ACCELERATOR, KIND, LAYER, PARTIAL
from mpbuild.spec.model import Model


class Image(msgspec.Struct, frozen=True):
    """An image's own blobs; ``descriptor`` is how the index refers to it."""

    accelerator: Accelerator
    descriptor: oci.Descriptor
    manifest: oci.Manifest
    manifest_bytes: bytes
    config_bytes: bytes

    @property
    def size(self) -> int:
        """What a registry transfers for it: manifest, configuration and layers, in bytes."""
        layers = sum(layer.size for layer in self.manifest.layers)
        return len(self.manifest_bytes) + len(self.config_bytes) + layers


class Package(msgspec.Struct, frozen=True):
    """The index, whose digest is the package's identity."""

    index: oci.Index
    index_bytes: bytes
    descriptor: oci.Descriptor
    partial: bool


def image(
    model: Model, accelerator: Accelerator, layers: Sequence[tuple[LayerPlan, Layer]]
) -> Image:
    """The image of ``layers``, lowest first."""
    config = oci.encode(_config(model, accelerator, layers))
    manifest = oci.Manifest(
        config=oci.descriptor(oci.CONFIG, config),
        layers=tuple(
            oci.Descriptor(
                media_type=oci.LAYER_GZIP,
                digest=layer.digest,
                size=layer.size,
                annotations={LAYER: plan.title},
            )
            for plan, layer in layers
        ),
        annotations=_annotations(model) | {ACCELERATOR: accelerator},
    )
    data = oci.encode(manifest)
    descriptor = oci.descriptor(
        oci.MANIFEST,
        data,
        platform=oci.Platform(),
        annotations={KIND: "image", ACCELERATOR: accelerator},
    )
    return Image(accelerator, descriptor, manifest, data, config)


def package(model: Model, images: Sequence[Image]) -> Package:
    """The index over ``images``, cpu first; partial when the spec has more accelerators."""
    order = list(Accelerator)
    ordered = sorted(images, key=lambda image: order.index(image.accelerator))
    missing = [a for a in order if a in model.accelerators and a not in _names(images)]
    annotations = _annotations(model) | {KIND: "package"}
    if missing:
        annotations[PARTIAL] = ",".join(_names(ordered))
    index = oci.Index(
        manifests=tuple(image.descriptor for image in ordered), annotations=annotations
    )
    data = oci.encode(index)
    return Package(index, data, oci.descriptor(oci.INDEX, data), bool(missing))


def _names(images: Sequence[Image]) -> list[Accelerator]:
    return [image.accelerator for image in images]


def _config(
    model: Model, accelerator: Accelerator, layers: Sequence[tuple[LayerPlan, Layer]]
) -> oci.ImageConfig:
    return oci.ImageConfig(
        created=epoch.RFC3339,
        config=oci.Execution(
            user=f"{places.NONROOT}:{places.NONROOT}",
            env=tuple(f"{k}={v}" for k, v in sorted(environment(accelerator).items())),
            entrypoint=(f"/{places.ENTRY_POINT}",),
            working_dir=f"/{places.MODEL}",
            labels=_annotations(model),
        ),
        rootfs=oci.RootFs(tuple(layer.diff_id for _, layer in layers)),
        history=tuple(
            oci.History(epoch.RFC3339, f"mpbuild {plan.rule} {plan.version}: {plan.title}")
            for plan, _ in layers
        ),
    )


def environment(accelerator: Accelerator) -> dict[str, str]:
    """The environment variables of an image."""
    return {
        "HOME": "/tmp",  # noqa: S108 - the one folder every runtime leaves writable
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "MPBUILD_ACCELERATOR": accelerator,
        "PATH": f"/{places.VENV}/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"/{places.SOURCES}:/{places.RUNTIME}",
        "PYTHONUNBUFFERED": "1",
    }


def _annotations(model: Model) -> dict[str, str]:
    """Pre-defined annotation keys of the OCI image specification, and versions of the parts."""
    about = model.package
    found = {
        "dev.mpbuild.core.version": model.core.version,
        "dev.mpbuild.environment.version": model.environment.version,
        "org.opencontainers.image.authors": ", ".join(about.owners),
        "org.opencontainers.image.created": epoch.RFC3339,
        "org.opencontainers.image.description": about.summary,
        "org.opencontainers.image.licenses": about.license,
        "org.opencontainers.image.title": about.name,
        "org.opencontainers.image.version": about.version,
    }
    return {key: value for key, value in found.items() if value}
