"""From layers to an image: pure, in canonical JSON. Version 1."""

from collections.abc import Mapping, Sequence

import msgspec

from mpbuild.base import epoch
from mpbuild.base.accelerator import Accelerator
from mpbuild.derive import accelerators, places
from mpbuild.derive.layer import Layer
from mpbuild.derive.plan import LayerPlan
from mpbuild.formats import oci
from mpbuild.formats.annotations import ACCELERATOR, KIND, LAYER
from mpbuild.formats.pylock import PythonLock
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


def image(
    model: Model,
    accelerator: Accelerator,
    lock: PythonLock,
    layers: Sequence[tuple[LayerPlan, Layer]],
) -> Image:
    """The image of ``layers``, lowest first; ``lock`` is that of ``accelerator``."""
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
    return Image(accelerator, descriptor, manifest, data, config)


def _config(
    model: Model, variables: Mapping[str, str], layers: Sequence[tuple[LayerPlan, Layer]]
) -> oci.ImageConfig:
    return oci.ImageConfig(
        created=epoch.RFC3339,
        config=oci.Execution(
            user=f"{places.NONROOT}:{places.NONROOT}",
            env=tuple(f"{name}={value}" for name, value in sorted(variables.items())),
            entrypoint=(f"/{places.ENTRY_POINT}",),
            working_dir=f"/{places.MODEL}",
            labels=annotations(model),
        ),
        rootfs=oci.RootFs(tuple(layer.diff_id for _, layer in layers)),
        history=tuple(
            oci.History(epoch.RFC3339, f"mpbuild {plan.rule} {plan.version}: {plan.title}")
            for plan, _ in layers
        ),
    )


def environment(accelerator: Accelerator) -> dict[str, str]:
    """The environment variables that every image has."""
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


def annotations(model: Model) -> dict[str, str]:
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
