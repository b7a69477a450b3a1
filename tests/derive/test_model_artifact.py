"""The model artifact: its files, their form, and its reader."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from mpbuild.base import canonical
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest
from mpbuild.derive import image
from mpbuild.derive.layers.layer import Layer
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.derive.model_artifact import carried, model_artifact
from mpbuild.formats.oci import modelpack, oci
from mpbuild.formats.oci.modelpack import ModelArtifactFile
from mpbuild.spec.environment import CudaEnvironment
from mpbuild.spec.model import CoreFile, Weight

CODE = Layer(Digest.of(b"gzip"), 4, Digest.of(b"tar"))
SCHEMA = Path(__file__).parent.parent / "formats/modelpack/config-schema.json"


@pytest.fixture(scope="module")
def files(model):
    made = [ModelArtifactFile.of(path, path.encode()) for path in carried(model)]
    return [*made, ModelArtifactFile.of("dossier/model.json", b"{}")]


@pytest.fixture(scope="module")
def made(model, files):
    return model_artifact(model, files, CODE, image.annotations(model))


def test_it_carries_spec_weights_and_the_locks_of_all_environments(model):
    assert carried(model) == {
        "spec.json": Leaf("spec", "spec.json"),
        "weights/classifier": Leaf("step", "train/classifier.onnx"),
        "weights/labels": Leaf("source", "weights/labels.bin"),
        "locks/pylock.cpu.toml": Leaf("lock", "pylock.cpu.toml"),
        "locks/debian.cpu.toml": Leaf("lock", "debian.cpu.toml"),
        "locks/pylock.train.toml": Leaf("lock", "pylock.train.toml"),
        "locks/debian.train.toml": Leaf("lock", "debian.train.toml"),
    }


def test_fetched_weights_are_carried_by_their_digest_and_files_as_sources(model):
    fetched = Weight(
        name="backbone",
        version="1.0.0",
        url="https://weights.example/b",
        sha256=Digest.of(b"b"),
        size=1,
    )
    labels = CoreFile(name="labels", version="1.0.0", path="labels.json")
    core = msgspec.structs.replace(model.core, weights=(fetched,), files=(labels,))
    found = carried(msgspec.structs.replace(model, core=core))
    assert found["weights/backbone"] == Digest.of(b"b")
    assert found["files/labels"] == Leaf("source", "labels.json")


def test_a_partial_build_carries_the_locks_of_all_accelerators(model):
    accelerators = {**model.accelerators, "cuda": CudaEnvironment()}
    of_two = msgspec.structs.replace(model, accelerators=accelerators)
    assert carried(of_two).keys() - carried(model).keys() == {
        "locks/pylock.cuda.toml",
        "locks/debian.cuda.toml",
    }


def test_documents_are_canonical_and_refer_to_each_other(made):
    for data in (made.config_bytes, made.manifest_bytes):
        assert canonical.encode(canonical.decode(data)) == data
    assert oci.read_artifact(made.manifest_bytes) == made.manifest
    assert made.manifest.config == oci.descriptor(modelpack.CONFIG, made.config_bytes)
    assert made.descriptor.digest == Digest.of(made.manifest_bytes)


def test_the_configuration_is_valid_by_the_model_specs_schema(model, made):
    schema = json.loads(SCHEMA.read_text())
    config = canonical.decode(made.config_bytes)
    jsonschema.validators.validator_for(schema)(schema).validate(config)
    assert config["descriptor"] == {
        "createdAt": "1980-01-01T00:00:00Z",
        "authors": ["vision-team", "data-team"],
        "name": "digits",
        "version": "3.0.0",
        "description": "Classifies pictures of handwritten digits.",
        "licenses": ["Apache-2.0"],
    }
    assert config["config"] == {"format": "onnx"}


def test_no_engine_takes_it_for_an_image(made):
    child = plain(made.descriptor)
    assert child["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert child["annotations"] == {"dev.mpbuild.kind": "model"}
    assert "artifactType" not in child


def test_the_code_is_the_layer_of_the_images(made):
    contents = modelpack.read(made.manifest, modelpack.read_config(made.config_bytes))
    assert contents.code == modelpack.CodeArchive(
        "opt/model/src", CODE.digest, CODE.size, CODE.diff_id
    )


def test_what_was_read_makes_the_same_artifact(model, files, made):
    contents = modelpack.read(made.manifest, modelpack.read_config(made.config_bytes))
    assert set(contents.files) == set(files)
    code = Layer(contents.code.digest, contents.code.size, contents.code.diff_id)
    assert model_artifact(model, contents.files, code, made.manifest.annotations) == made


def test_the_order_of_files_decides_nothing(model, files, made):
    assert model_artifact(model, files[::-1], CODE, image.annotations(model)) == made


def test_its_size_is_what_a_registry_transfers(files, made):
    own = len(made.manifest_bytes) + len(made.config_bytes)
    assert made.size == own + CODE.size + sum(file.size for file in files)


def test_annotations_are_those_of_an_image(model, made):
    assert made.manifest.annotations == image.annotations(model)


def test_the_bytes_are_those_they_always_were(made, golden):
    golden.check("model-artifact-1-config.json", made.config_bytes)
    golden.check("model-artifact-1-manifest.json", made.manifest_bytes)
