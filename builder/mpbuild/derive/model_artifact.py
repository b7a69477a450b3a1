"""The model artifact: weights, files, code and documents as ModelPack. Version 1."""

from collections.abc import Iterable, Mapping

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.derive import places, recipe
from mpbuild.derive.layer import Layer
from mpbuild.derive.plan import Leaf
from mpbuild.formats import modelpack, oci
from mpbuild.formats.annotations import KIND
from mpbuild.formats.modelpack import File
from mpbuild.spec.model import Model


class ModelArtifact(msgspec.Struct, frozen=True):
    """The artifact's own blobs; ``descriptor`` is how the index refers to it."""

    descriptor: oci.Descriptor
    manifest: oci.Artifact
    manifest_bytes: bytes
    config_bytes: bytes

    @property
    def size(self) -> int:
        """What a registry transfers for it: manifest, configuration and layers, in bytes."""
        layers = sum(layer.size for layer in self.manifest.layers)
        return len(self.manifest_bytes) + len(self.config_bytes) + layers


def carried(model: Model) -> dict[str, Leaf | Digest]:
    """What brings each file of the artifact, by its path; the dossier is made, and not here."""
    found: dict[str, Leaf | Digest] = {"spec.json": Leaf("spec", "spec.json")}
    for weight in model.core.weights:
        found[f"weights/{weight.name}"] = recipe.weight_source(weight)
    for file in model.core.files:
        found[f"files/{file.name}"] = Leaf("source", file.path)
    for environment in recipe.built_environments(model, model.accelerators):
        for name in (f"pylock.{environment}.toml", f"debian.{environment}.toml"):
            found[f"locks/{name}"] = Leaf("lock", name)
    return found


def model_artifact(
    model: Model, files: Iterable[File], code: Layer, annotations: Mapping[str, str]
) -> ModelArtifact:
    """The artifact of ``files``, in any order, and the layer of code that the images have.

    ``annotations`` are the manifest's, as an image has them.
    """
    found = modelpack.layers(
        modelpack.Contents(
            tuple(files), modelpack.Code(places.SOURCES, code.digest, code.size, code.diff_id)
        )
    )
    config = modelpack.encode_config(_config(model, tuple(diff_id for _, diff_id in found)))
    manifest = oci.Artifact(
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


def _config(model: Model, diff_ids: tuple[Digest, ...]) -> modelpack.Config:
    about = model.package
    return modelpack.Config(
        descriptor=modelpack.General(
            authors=about.owners,
            name=about.name,
            version=model.core.version,
            description=about.summary,
            licenses=(about.license,),
        ),
        config=modelpack.Technical(model.core.format),
        modelfs=modelpack.ModelFs(diff_ids=diff_ids),
    )
