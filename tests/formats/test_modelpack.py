"""ModelPack as the model-spec has it, judged by its own schema, and read back strictly."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.oci import modelpack, oci
from mpbuild.formats.oci.modelpack import CodeArchive, ModelArtifactFile, ModelContents, Role

FILEPATH, METADATA = "org.cncf.model.filepath", "org.cncf.model.file.metadata+json"
CODE = CodeArchive("opt/model/src", Digest.of(b"gzip"), 4, Digest.of(b"tar"))
FILES = tuple(
    ModelArtifactFile.of(path, path.encode())
    for path in (
        "dossier/model.json",
        "files/labels",
        "locks/pylock.cpu.toml",
        "spec.json",
        "weights/a",
        "weights/b",
    )
)


def configured(*diff_ids, **about):
    general = {"authors": ("a team",), "name": "digits", "version": "1.0.0"} | {
        "description": "It reads digits.",
        "licenses": ("Apache-2.0",),
    }
    return modelpack.ModelConfig(
        descriptor=modelpack.ModelDescriptor(**general | about),
        config=modelpack.ModelFormat("onnx"),
        modelfs=modelpack.ModelFs(diff_ids=diff_ids),
    )


def artifact(contents):
    """Manifest and configuration of some contents."""
    made = modelpack.layers(contents)
    config = configured(*(diff_id for _, diff_id in made))
    manifest = oci.ArtifactManifest(
        artifact_type=modelpack.ARTIFACT,
        config=oci.descriptor(modelpack.CONFIG, modelpack.encode_config(config)),
        layers=tuple(layer for layer, _ in made),
        annotations={},
    )
    return manifest, config


@pytest.fixture(scope="module")
def schema():
    return json.loads((Path(__file__).parent / "modelpack/config-schema.json").read_text())


@pytest.fixture(scope="module")
def validate(schema):
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    return validator(schema).validate


def test_a_configuration_is_valid_by_the_model_specs_schema(validate):
    _, config = artifact(ModelContents(FILES, CODE))
    validate(canonical.decode(modelpack.encode_config(config)))


BROKEN = {
    "an unknown key": lambda c: c.update(extra=1),
    "an unknown key of the descriptor": lambda c: c["descriptor"].update(owner="a"),
    "an unknown key of the config": lambda c: c["config"].update(task="a"),
    "no modelfs": lambda c: c.pop("modelfs"),
    "another type of modelfs": lambda c: c["modelfs"].update(type="files"),
    "no layers": lambda c: c["modelfs"].update(diffIds=[]),
    "diff ids as images spell them": lambda c: c["modelfs"].update(
        diff_ids=c["modelfs"].pop("diffIds")
    ),
    "no name": lambda c: c["descriptor"].update(name=""),
    "one text of authors": lambda c: c["descriptor"].update(authors="a team"),
}


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_the_schema_refuses_what_is_broken(validate, breaks):
    document = canonical.decode(modelpack.encode_config(configured(CODE.diff_id)))
    validate(document)
    breaks(document)
    with pytest.raises(jsonschema.ValidationError):
        validate(document)


def test_a_configuration_holds_no_clock_and_is_canonical():
    data = modelpack.encode_config(configured(CODE.diff_id))
    document = canonical.decode(data)
    assert document["descriptor"]["createdAt"] == "1980-01-01T00:00:00Z"
    assert document["modelfs"] == {"type": "layers", "diffIds": [CODE.diff_id]}
    assert canonical.encode(document) == data
    assert modelpack.read_config(data) == configured(CODE.diff_id)


def test_a_manifest_is_what_the_model_spec_says():
    """``docs/spec.md``, "OCI Image Manifest Specification For Model Artifacts"."""
    manifest, _ = artifact(ModelContents(FILES, CODE))
    document = canonical.decode(oci.encode(manifest))
    assert document["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert document["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert document["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    prefix = "application/vnd.cncf.model."
    assert [
        (layer["mediaType"].removeprefix(prefix), layer["annotations"][FILEPATH])
        for layer in document["layers"]
    ] == [
        ("weight.v1.raw", "weights/a"),
        ("weight.v1.raw", "weights/b"),
        ("weight.config.v1.raw", "files/labels"),
        ("code.v1.tar+gzip", "opt/model/src"),
        ("doc.v1.raw", "dossier/model.json"),
        ("doc.v1.raw", "locks/pylock.cpu.toml"),
        ("doc.v1.raw", "spec.json"),
    ]


def test_a_raw_layer_is_the_file_and_its_content_too():
    made = modelpack.layers(ModelContents(FILES, CODE))
    by_path = {layer.annotations[FILEPATH]: (layer, diff_id) for layer, diff_id in made}
    for file in FILES:
        layer, diff_id = by_path[file.path]
        assert (layer.digest, layer.size, diff_id) == (file.digest, file.size, file.digest)
    layer, diff_id = by_path["opt/model/src"]
    assert (layer.digest, layer.size, diff_id) == (CODE.digest, CODE.size, CODE.diff_id)


def test_attributes_are_constants():
    """``docs/annotations.md``, "File Metadata Annotation Value"."""
    file = ModelArtifactFile.of("weights/a", b"four")
    told = {
        layer.annotations[FILEPATH]: json.loads(layer.annotations[METADATA])
        for layer, _ in modelpack.layers(ModelContents((file,), CODE))
    }
    owner = {"uid": 0, "gid": 0, "mtime": "1980-01-01T00:00:00Z"}
    regular = {"name": "a", "mode": 0o644, "size": 4, "typeflag": 0}
    folder = {"name": "src", "mode": 0o755, "size": 0, "typeflag": 5}
    assert told == {"weights/a": regular | owner, "opt/model/src": folder | owner}


def test_every_layer_has_a_title_that_oras_restores_it_by():
    made = modelpack.layers(ModelContents(FILES, CODE))
    titles = [layer.annotations["org.opencontainers.image.title"] for layer, _ in made]
    assert sorted(titles) == sorted([*(file.path for file in FILES), "code.tar.gz"])


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("weights/a", Role.WEIGHTS),
        ("files/a", Role.FILES),
        ("weights", Role.DOCUMENTS),
        ("spec.json", Role.DOCUMENTS),
        ("dossier/weights/a", Role.DOCUMENTS),
    ],
)
def test_a_path_says_what_a_file_is(path, role):
    assert ModelArtifactFile.of(path, b"").role is role


NAMES = st.sampled_from(["weights/a", "weights/ü", "files/a", "files/A b", "spec.json", "locks/x"])


@settings(max_examples=60, deadline=None)
@given(names=st.lists(NAMES, unique=True), data=st.binary())
def test_reading_is_the_inverse_of_making(names, data):
    contents = ModelContents(
        tuple(ModelArtifactFile.of(name, data + name.encode()) for name in names), CODE
    )
    manifest, config = artifact(contents)
    found = modelpack.read(
        oci.read_artifact(oci.encode(manifest)),
        modelpack.read_config(modelpack.encode_config(config)),
    )
    assert set(found.files) == set(contents.files)
    assert found.code == CODE
    assert artifact(found) == (manifest, config)


def changed(manifest, index, **fields):
    """The manifest with another layer at ``index``."""
    layers = list(manifest.layers)
    layers[index] = msgspec.structs.replace(layers[index], **fields)
    return msgspec.structs.replace(manifest, layers=tuple(layers))


def annotated(manifest, index, **fields):
    """The manifest with other annotations at ``index``; None removes one."""
    names = {"path": FILEPATH, "about": METADATA, "title": "org.opencontainers.image.title"}
    about = manifest.layers[index].annotations | {names[k]: v for k, v in fields.items()}
    return changed(manifest, index, annotations={k: v for k, v in about.items() if v is not None})


WRONG = {
    "another type": (
        lambda m: msgspec.structs.replace(m, artifact_type="application/vnd.other"),
        "not a application/vnd.cncf.model.manifest.v1+json",
    ),
    "another type of configuration": (
        lambda m: msgspec.structs.replace(
            m, config=msgspec.structs.replace(m.config, media_type=oci.CONFIG)
        ),
        "not a application/vnd.cncf.model.manifest.v1+json",
    ),
    "a layer too few": (
        lambda m: msgspec.structs.replace(m, layers=m.layers[:-1]),
        "layers of the artifact differ from its configuration",
    ),
    "another order": (
        lambda m: msgspec.structs.replace(m, layers=(m.layers[1], m.layers[0], *m.layers[2:])),
        "differs from the layer that mpbuild writes for weights/a",
    ),
    "no path": (lambda m: annotated(m, 0, path=None), "has no org.cncf.model.filepath"),
    "no code": (lambda m: changed(m, 3, media_type=Role.DOCUMENTS), "0 code layers, not one"),
    "two codes": (lambda m: changed(m, 4, media_type=Role.CODE), "2 code layers, not one"),
    "weights that call themselves a document": (
        lambda m: changed(m, 0, media_type=Role.DOCUMENTS),
        "differs from the layer that mpbuild writes for weights/a",
    ),
    "compressed weights": (
        lambda m: changed(m, 0, media_type="application/vnd.cncf.model.weight.v1.tar+gzip"),
        "differs from the layer that mpbuild writes for weights/a",
    ),
    "bytes that are not the content": (
        lambda m: changed(m, 0, digest=Digest.of(b"other")),
        "differs from the layer that mpbuild writes for weights/a",
    ),
    "another size": (
        lambda m: changed(m, 0, size=1),
        "differs from the layer that mpbuild writes for weights/a",
    ),
    "a setuid mode": (
        lambda m: annotated(m, 0, about=m.layers[0].annotations[METADATA].replace("420", "2541")),
        "differs from the layer that mpbuild writes for weights/a",
    ),
    "another title": (
        lambda m: annotated(m, 0, title="../../etc/passwd"),
        "differs from the layer that mpbuild writes for weights/a",
    ),
    "one more annotation": (
        lambda m: changed(m, 0, annotations=m.layers[0].annotations | {"a": "b"}),
        "differs from the layer that mpbuild writes for weights/a",
    ),
    "a dot in front": (lambda m: annotated(m, 6, path="./spec.json"), "begins with ./"),
}


@pytest.mark.parametrize(("wrong", "telling"), WRONG.values(), ids=WRONG)
def test_a_layer_that_mpbuild_does_not_write_is_refused(wrong, telling):
    manifest, config = artifact(ModelContents(FILES, CODE))
    with pytest.raises(InputError) as caught:
        modelpack.read(wrong(manifest), config)
    assert caught.value.findings[0].code == "content-mismatch"
    assert telling in caught.value.findings[0].message


UNSAFE = {
    "up": "../spec.json",
    "absolute": "/etc/passwd",
    "up inside": "weights/../../a",
    "no name": "",
    "a whiteout": "locks/.wh.a",
    "twice": "weights/a",
    "by case": "weights/A",
    "below a file": "weights/a/b",
    "a file over a folder": "weights",
    "the archive of the code": "code.tar.gz",
}


@pytest.mark.parametrize("path", UNSAFE.values(), ids=UNSAFE)
def test_files_that_would_not_unpack_to_one_tree_are_refused(path):
    manifest, config = artifact(ModelContents((*FILES, ModelArtifactFile.of(path, b"evil")), CODE))
    with pytest.raises(InputError) as caught:
        modelpack.read(manifest, config)
    assert caught.value.findings[0].code == "layer-unsafe"


def test_a_folder_of_code_outside_is_refused():
    manifest, config = artifact(
        ModelContents(FILES, msgspec.structs.replace(CODE, folder="../src"))
    )
    with pytest.raises(InputError, match=r"contains the name '\.\.'"):
        modelpack.read(manifest, config)


@pytest.mark.parametrize(
    "wrong",
    [b"", b"{}", b"[]", b'{"descriptor":{},"config":{},"modelfs":{}}'],
)
def test_a_configuration_that_is_none_is_refused(wrong):
    with pytest.raises(InputError) as caught:
        modelpack.read_config(wrong)
    assert caught.value.findings[0].code == "content-mismatch"
