"""The example built again from nothing but itself: the same digest, or what differs is told."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile

import pytest

from tests.making.tars import write_tar

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
TITLE = "org.opencontainers.image.title"
# Ports where nobody listens, should anything ask for the network all the same.
PROXIES = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")}
TRAIN = "examples/digits/train.py"
WEIGHTS = "step:train/classifier.onnx"
# It takes no time, and what it makes are other weights.
SCRIPT = b"import sys\nopen(sys.argv[-1], 'wb').write(b'of another training')\n"


class Copy:
    """A copy of a layout, to be changed: documents are hashed again up to ``index.json``."""

    def __init__(self, source, folder):
        shutil.copytree(source, folder)
        self.folder = folder

    @property
    def digest(self):
        return self._top()["manifests"][0]["digest"]

    def replace(self, kind, title, data):
        """Put another file into the child of this kind."""
        top = self._top()
        index = self._document(top["manifests"][0])
        (child,) = (c for c in index["manifests"] if c["annotations"]["dev.mpbuild.kind"] == kind)
        manifest = self._document(child)
        (layer,) = (one for one in manifest["layers"] if one["annotations"][TITLE] == title)
        layer |= self._put(data)
        child |= self._put(encode(manifest))
        top["manifests"][0] |= self._put(encode(index))
        (self.folder / "index.json").write_bytes(encode(top))

    def script(self, data=None):
        """What the inputs artifact says that the step runs; with ``data``, it says that instead."""
        top = self._top()
        listing = self._document(top["manifests"][1])
        (entry,) = listing["manifests"]
        manifest = self._document(entry)
        layers = {layer["annotations"][TITLE]: layer for layer in manifest["layers"]}
        steps, read = layers["steps.json"], layers["steps/train.tar.gz"]
        told = self._document(steps)
        (file,) = told["steps"]["train"]["files"]
        with tarfile.open(fileobj=io.BytesIO(self._read(read))) as archive:
            found = archive.extractfile(TRAIN).read()
        if data is not None:
            file["digest"] = digest_of(data)
            steps |= self._put(encode(told))
            read |= self._put(packed(TRAIN, data))
            entry |= self._put(encode(manifest))
            top["manifests"][1] |= self._put(encode(listing))
            (self.folder / "index.json").write_bytes(encode(top))
        return found

    def _top(self):
        return json.loads((self.folder / "index.json").read_bytes())

    def blob(self, entry):
        return self.folder / "blobs/sha256" / entry["digest"].removeprefix("sha256:")

    def _read(self, entry):
        return self.blob(entry).read_bytes()

    def _document(self, entry):
        return json.loads(self._read(entry))

    def _put(self, data):
        entry = {"digest": digest_of(data), "size": len(data)}
        self.blob(entry).write_bytes(data)
        return entry


def encode(document):
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def packed(path, data):
    """A layer of one file and its folders."""
    parts = path.split("/")
    folders = [("/".join(parts[:count]), None) for count in range(1, len(parts))]
    return gzip.compress(write_tar([*folders, (path, data)]), mtime=0)


@pytest.fixture
def reproduce_in(digits, disconnected, tmp_path):
    """``reproduce_in(store)(layout, *options)``: without a workspace or a network."""
    proxies = {**PROXIES, **{name.upper(): proxy for name, proxy in PROXIES.items()}}
    mpbuild = digits.mpbuild._replace(workspace=tmp_path, wrapper=disconnected).within(**proxies)

    def reproduce_in(store):
        command = mpbuild._replace(store=store)
        return lambda layout, *options: command("reproduce", layout, *options, "--offline")

    return reproduce_in


@pytest.fixture
def reproduce(reproduce_in, tmp_path):
    """``reproduce(layout, *options)``: with an empty store."""
    return reproduce_in(tmp_path / "store")


@pytest.fixture
def retrain(reproduce_in, digits):
    """``retrain(layout)``: with the store that has everything but another training's result."""
    return lambda layout: reproduce_in(digits.mpbuild.store)(layout, "--rebuild")


@pytest.fixture
def copy(digits, tmp_path):
    return Copy(digits.layout, tmp_path / "layout")


def differences(answer):
    assert answer.code == 1, answer.err + answer.out.decode()
    assert answer.json["ok"] is False
    found = answer.json["differences"]
    assert all(one["expected"] != one["actual"] for one in found)
    return [one["path"] for one in found]


def test_the_layout_alone_gives_the_same_digest_again(digits, copy, reproduce):
    answer = reproduce(copy.folder, "--rebuild")
    assert answer.code == 0, answer.err + answer.out.decode()
    again = answer.json
    assert (again["digest"], again["differences"]) == (digits.digest, [])
    assert again["derived"]["matched"] == again["derived"]["checked"] > 20
    assert again["steps"] == {"checked": 3, "matched": 3}, "the weights, and a PEX's two beginnings"
    assert again["unchecked"] == []


def test_a_leaf_that_was_changed_in_one_place_is_a_difference(copy, reproduce):
    copy.replace("pex", "digits/model.py", b"class Model: ...\n")
    answer = reproduce(copy.folder)
    assert {"PEX cpu, digits/model.py", "PEX cpu", "the index"} <= {*differences(answer)}
    assert {code for code, _ in answer.findings} == {"derivation-mismatch"}
    assert answer.json["digest"] == copy.digest


def test_another_script_than_the_one_that_trained_gives_other_weights(copy, retrain):
    copy.script(SCRIPT)
    answer = retrain(copy.folder)
    assert differences(answer) == [WEIGHTS]
    assert answer.json["derived"]["matched"] == answer.json["derived"]["checked"]
    assert answer.json["steps"] == {"checked": 3, "matched": 2}
    assert [code for code, _ in answer.findings] == ["not-reproduced"]


def test_weights_of_another_training_are_not_reproduced(digits, copy, workspace, retrain):
    """A package as it should be, but its inputs artifact tells of another training."""
    (workspace / TRAIN).write_bytes(SCRIPT)
    layout = workspace / "layout"
    built = digits.mpbuild._replace(workspace=workspace).build("--output", layout)
    forged = Copy(layout, workspace / "forged")
    assert forged.digest == built.digest != digits.digest
    assert forged.script(copy.script()) == SCRIPT
    answer = retrain(forged.folder)
    assert differences(answer) == [WEIGHTS]
    (difference,) = answer.json["differences"]
    assert difference["expected"] == digest_of(b"of another training")
    weights = digits.layers(digits.digest, "pex")["weights/classifier"]
    assert difference["actual"] == weights, "which is what that training gives"


def test_a_damaged_inputs_artifact_is_refused_before_anything_of_it_runs(copy, reproduce):
    copy.script(SCRIPT)
    blob = copy.blob({"digest": digest_of(packed(TRAIN, SCRIPT))})
    blob.write_bytes(packed(TRAIN, SCRIPT.upper()))
    answer = reproduce(copy.folder, "--rebuild")
    assert answer.code == 1
    assert {code for code, _ in answer.findings} == {"content-mismatch"}
    assert answer.json["steps"] == {"checked": 0, "matched": 0}
