"""Derives the manifest and the configuration of an image from its layers. Version 1."""

from collections.abc import Mapping, Sequence

import msgspec

from mpbuild.base import epoch, image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.derive import accelerators
from mpbuild.derive.layers.layer import Layer
from mpbuild.derive.layers.layer_plan import LayerPlan
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import ACCELERATOR, KIND, LAYER
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.spec.model import Model


class DerivedImage(msgspec.Struct, frozen=True):
    """An image's own blobs; the index refers to it by ``descriptor``."""

    accelerator: Accelerator
    descriptor: oci.Descriptor
    manifest: oci.Manifest
    manifest_bytes: bytes
    config_bytes: bytes

    @property
    def size(self) -> int:
        """The bytes that a registry transfers: manifest, configuration and layers."""
        layers = sum(layer.size for layer in self.manifest.layers)
        return len(self.manifest_bytes) + len(self.config_bytes) + layers


def image(
    model: Model,
    accelerator: Accelerator,
    lock: PythonLock,
    layers: Sequence[tuple[LayerPlan, Layer]],
) -> DerivedImage:
    """Derives the image of ``layers``, lowest first; ``lock`` is the lock of ``accelerator``."""
    variables = environment(accelerator) | accelerators.environment(model, accelerator, lock)
    config = oci.encode(_config(model, variables, layers))
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
        annotations=annotations(model) | {ACCELERATOR: accelerator},
    )
    data = oci.encode(manifest)
    descriptor = oci.descriptor(
        oci.MANIFEST,
        data,
        platform=oci.Platform(),
        annotations={KIND: "image", ACCELERATOR: accelerator},
    )
    return DerivedImage(accelerator, descriptor, manifest, data, config)


def _config(
    model: Model, variables: Mapping[str, str], layers: Sequence[tuple[LayerPlan, Layer]]
) -> oci.ImageConfig:
    return oci.ImageConfig(
        created=epoch.RFC3339,
        config=oci.ExecutionConfig(
            user=f"{image_paths.NONROOT}:{image_paths.NONROOT}",
            env=tuple(f"{name}={value}" for name, value in sorted(variables.items())),
            entrypoint=(f"/{image_paths.ENTRY_POINT}",),
            working_dir=f"/{image_paths.MODEL}",
            labels=annotations(model),
        ),
        rootfs=oci.RootFs(tuple(layer.diff_id for _, layer in layers)),
        history=tuple(
            oci.History(epoch.RFC3339, f"mpbuild {plan.rule} {plan.version}: {plan.title}")
            for plan, _ in layers
        ),
    )


def environment(accelerator: Accelerator) -> dict[str, str]:
    """The environment variables of every image."""
    return {
        "HOME": "/tmp",  # noqa: S108 - the only folder that every runtime leaves writable
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "MPBUILD_ACCELERATOR": accelerator,
        "PATH": f"/{image_paths.VENV}/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"/{image_paths.SOURCES}:/{image_paths.RUNTIME}",
        "PYTHONUNBUFFERED": "1",
    }


def annotations(model: Model) -> dict[str, str]:
    """The annotations: pre-defined keys of the OCI image specification, and part versions."""
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
