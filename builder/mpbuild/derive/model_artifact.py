"""The model artifact: weights, files, code and documents as ModelPack. Version 1."""

from collections.abc import Iterable, Mapping

import msgspec

from mpbuild.base import image_paths
from mpbuild.base.digest import Digest
from mpbuild.derive.environment_locks import built_environments
from mpbuild.derive.image_leaves import weight_source
from mpbuild.derive.layers.layer import Layer
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.formats.oci import modelpack, oci
from mpbuild.formats.oci.annotations import KIND
from mpbuild.formats.oci.modelpack import ModelArtifactFile
from mpbuild.spec.model import Model


class ModelArtifact(msgspec.Struct, frozen=True):
    """The artifact's own blobs; the index refers to it by ``descriptor``."""

    descriptor: oci.Descriptor
    manifest: oci.ArtifactManifest
    manifest_bytes: bytes
    config_bytes: bytes

    @property
    def size(self) -> int:
        """The bytes that a registry transfers: manifest, configuration and layers."""
        layers = sum(layer.size for layer in self.manifest.layers)
        return len(self.manifest_bytes) + len(self.config_bytes) + layers


def carried(model: Model) -> dict[str, Leaf | Digest]:
    """The leaf or input of each file of the artifact, by path, except for the derived dossier."""
    found: dict[str, Leaf | Digest] = {"spec.json": Leaf("spec", "spec.json")}
    for weight in model.core.weights:
        found[f"weights/{weight.name}"] = weight_source(weight)
    for file in model.core.files:
        found[f"files/{file.name}"] = Leaf("source", file.path)
    for environment in built_environments(model, model.accelerators):
        for name in (f"pylock.{environment}.toml", f"debian.{environment}.toml"):
            found[f"locks/{name}"] = Leaf("lock", name)
    return found


def model_artifact(
    model: Model, files: Iterable[ModelArtifactFile], code: Layer, annotations: Mapping[str, str]
) -> ModelArtifact:
    """Derives the artifact of ``files``, in any order, and the images' layer of code.

    ``annotations`` are those of the manifest, as in an image.
    """
    found = modelpack.layers(
        modelpack.ModelContents(
            tuple(files),
            modelpack.CodeArchive(image_paths.SOURCES, code.digest, code.size, code.diff_id),
        )
    )
    config = modelpack.encode_config(_config(model, tuple(diff_id for _, diff_id in found)))
    manifest = oci.ArtifactManifest(
        artifact_type=modelpack.ARTIFACT,
        config=oci.descriptor(modelpack.CONFIG, config),
        layers=tuple(layer for layer, _ in found),
        annotations=dict(annotations),
    )
    data = oci.encode(manifest)
    descriptor = oci.descriptor(
        oci.MANIFEST, data, platform=oci.NO_PLATFORM, annotations={KIND: "model"}
    )
    return ModelArtifact(descriptor, manifest, data, config)


def _config(model: Model, diff_ids: tuple[Digest, ...]) -> modelpack.ModelConfig:
    about = model.package
    return modelpack.ModelConfig(
        descriptor=modelpack.ModelDescriptor(
            authors=about.owners,
            name=about.name,
            version=model.core.version,
            description=about.summary,
            licenses=(about.license,),
        ),
        config=modelpack.ModelFormat(model.core.format),
        modelfs=modelpack.ModelFs(diff_ids=diff_ids),
    )
