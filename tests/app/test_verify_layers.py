"""What is derived is compared with what is there: configuration, layers, and leaves in them."""

import gzip
import json
import time

import pytest
from msgspec import structs

from mpbuild.base import canonical
from mpbuild.formats.python import pylock

SPEC = "opt/model/spec.json"
LOCK = "opt/model/locks/pylock.cpu.toml"
CODE = "opt/model/src/tiny/model.py"


CONFIGS = {
    "entry point": lambda config: config["config"].update(Entrypoint=["/bin/sh"]),
    "preloaded library": lambda config: config["config"]["Env"].append("LD_PRELOAD=/tmp/x.so"),
    "user": lambda config: config["config"].update(User="0:0"),
    "working folder": lambda config: config["config"].update(WorkingDir="/"),
    "unknown key of an engine": lambda config: config["config"].update(Cmd=["/bin/sh"]),
    "unknown key beside": lambda config: config.update({"x-run": ["/bin/sh"]}),
    "health check": lambda config: config["config"].update(Healthcheck={"Test": ["CMD", "x"]}),
    "platform": lambda config: config.update(architecture="arm64"),
    "time": lambda config: config.update(created="2030-01-01T00:00:00Z"),
    "history": lambda config: config["history"][0].update(created_by="somebody else"),
    "empty layer in the history": lambda config: config["history"].append(
        {"created": "1980-01-01T00:00:00Z", "created_by": "x", "empty_layer": True}
    ),
    "label": lambda config: config["config"]["Labels"].update(x="y"),
}


@pytest.mark.parametrize("key", ["the right key", "another key"])
@pytest.mark.parametrize("what", CONFIGS)
def test_a_changed_configuration_is_not_what_spec_and_locks_give(unsigned, what, key):
    """Row 83: layers untouched, everything hashed and signed again."""
    config = unsigned.config()
    CONFIGS[what](config)
    unsigned.set_config(config)
    other = key == "another key"
    unsigned.sign(unsigned.tiny.other if other else unsigned.tiny.key)
    answer = unsigned.verify()
    assert answer.failed_with("derivation-mismatch")
    assert ("signer-unknown" in answer.errors) == other


def test_a_configuration_in_another_form_of_json_is_not_what_is_derived(unsigned):
    unsigned.set_config(json.dumps(unsigned.config(), indent=1).encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_manifest_or_index_in_another_form_of_json_is_not_what_is_derived(unsigned):
    unsigned.set_manifest(json.dumps(unsigned.manifest(), indent=1).encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")
    unsigned.set_index(json.dumps(unsigned.index, indent=1).encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_the_signatures_of_the_good_package_do_not_follow_a_changed_one(signed):
    """What was attached stays attached to the old index; nothing speaks for the new one."""
    config = signed.config()
    config["config"]["User"] = "0:0"
    signed.set_config(config)
    assert signed.verify().failed_with("derivation-mismatch", "signature-missing")


def test_the_statement_of_the_good_package_attached_to_a_changed_one_is_about_another(unsigned):
    bundle = unsigned.tiny.key.sign(canonical.encode(unsigned.statement()))
    config = unsigned.config()
    config["config"]["User"] = "0:0"
    unsigned.set_config(config)
    unsigned.attach(bundle)
    assert unsigned.verify().failed_with("derivation-mismatch", "subject-mismatch")


def test_a_reordered_layer_is_found(unsigned):
    layers, diff_ids = unsigned.rows()
    layers[1], layers[2] = layers[2], layers[1]
    diff_ids[1], diff_ids[2] = diff_ids[2], diff_ids[1]
    unsigned.set_layers(layers, diff_ids)
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_removed_layer_is_found(unsigned):
    layers, diff_ids = unsigned.rows()
    unsigned.set_layers(layers[:1] + layers[2:], diff_ids[:1] + diff_ids[2:])
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_layer_twice_is_found(unsigned):
    layers, diff_ids = unsigned.rows()
    unsigned.set_layers([layers[0], *layers], [diff_ids[0], *diff_ids])
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_swapped_wheel_layer_is_found(unsigned):
    files = {"opt/venv/lib/python3.11/site-packages/numpy/__init__.py": b"import evil\n"}
    place, _ = unsigned.layer("numpy")
    unsigned.set_layer(place, unsigned.pack(files))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch", "content-extra")


def test_the_same_layer_compressed_otherwise_is_found(unsigned):
    place, plain_tar = unsigned.layer("code")
    unsigned.set_layer(place, gzip.compress(plain_tar, mtime=0))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_another_annotation_of_a_layer_is_found(unsigned):
    """Row 84: a layer whose annotation names another wheel."""
    manifest = unsigned.manifest()
    manifest["layers"][1]["annotations"]["dev.mpbuild.layer"] = "innocent 1.0"
    unsigned.set_manifest(manifest)
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


@pytest.mark.parametrize(
    "files",
    [
        {"usr/bin/sh": b"evil"},
        {"srv/x": b"evil"},
        {"opt/model/src/evil.py": b"evil"},
        {"opt/model/unheard-of": b"evil"},
        {"opt/model/weights/unheard-of": b"evil"},
        {},
    ],
    ids=lambda files: next(iter(files), "empty"),
)
@pytest.mark.parametrize("place", [0, 2, None])
def test_an_extra_layer_is_extra_wherever_it_lies(unsigned, files, place):
    """Row 84."""
    unsigned.add_layer(unsigned.pack(files), place)
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra")


def test_an_extra_file_in_a_layer_of_leaves_is_extra(unsigned):
    """Row 77."""
    files = {**unsigned.files("spec and locks"), "opt/model/notes.txt": b"x"}
    place, _ = unsigned.layer("spec and locks")
    unsigned.set_layer(place, unsigned.pack(files))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra", "derivation-mismatch")


def test_a_renamed_file_of_weights_is_missing_and_extra(unsigned):
    """Row 76."""
    (data,) = unsigned.files("weights").values()
    place, _ = unsigned.layer("weights")
    unsigned.set_layer(place, unsigned.pack({"opt/model/weights/others": data}))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-missing", "content-extra")


def test_a_changed_file_in_a_code_layer_packed_by_other_hands_is_found(unsigned):
    unsigned.replace_file("code", CODE, b"import evil\n")
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch", "dependencies-incomplete")
    unsigned.sign(unsigned.tiny.other)
    assert unsigned.verify(key=unsigned.tiny.other.public).failed_with("derivation-mismatch")


def test_a_changed_file_packed_as_mpbuild_packs_is_one_that_nobody_vouches_for(rebuild):
    """The package is derived from its leaves, but the provenance names another file."""
    attack = rebuild(lambda root: (root / "models/tiny/src/tiny/model.py").write_text("evil\n"))
    attack.sign()
    answer = attack.verify()
    assert answer.failed_with("dependencies-incomplete")
    assert "derivation-mismatch" not in answer.errors
    strangers = [leaf["name"] for leaf in answer.json["leaves"] if not leaf["vouched_by"]]
    assert strangers == ["tiny/model.py"]


def test_an_added_source_packed_as_mpbuild_packs_is_one_that_nobody_vouches_for(rebuild):
    attack = rebuild(lambda root: (root / "models/tiny/src/tiny/more.py").write_text("evil\n"))
    attack.sign()
    assert attack.verify().failed_with("dependencies-incomplete")


def test_an_executable_bit_that_the_builder_did_not_set_is_found(unsigned):
    files = unsigned.files("code")
    place, _ = unsigned.layer("code")
    unsigned.set_layer(place, unsigned.pack(files, executable=(CODE,)))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


@pytest.mark.parametrize("code", ["layer-unsafe", "content-extra"])
def test_links_and_devices_among_the_leaves_are_refused(unsigned, code):
    place, _ = unsigned.layer("code")
    files = {**unsigned.files("code"), "opt/model/src/link": "->/etc/passwd"}
    blob = unsigned.pack(files)
    if code == "layer-unsafe":
        blob = gzip.compress(gzip.decompress(blob).replace(b"0000644\0", b"0000644\0", 1), mtime=0)
        plain_tar = bytearray(gzip.decompress(blob))
        at = plain_tar.index(b"opt/model/src/link\0")
        plain_tar[at + 156] = ord("3")
        plain_tar[at + 148 : at + 156] = b" " * 8
        total = sum(plain_tar[at : at + 512])
        plain_tar[at + 148 : at + 156] = b"%06o\0 " % total
        blob = gzip.compress(bytes(plain_tar), mtime=0)
    unsigned.set_layer(place, blob)
    unsigned.sign()
    assert unsigned.verify().failed_with(code)


@pytest.mark.parametrize(
    "path",
    [
        "opt/model/src/.wh.model.py",
        "opt/model/src/.wh..wh..opq",
        "opt/model/src/../../../etc/passwd",
        "/opt/model/src/x.py",
    ],
)
def test_an_unsafe_path_in_a_layer_of_leaves_is_refused(unsigned, path):
    """Rows 75 and 87."""
    place, _ = unsigned.layer("code")
    unsigned.set_layer(place, unsigned.pack({**unsigned.files("code"), path: b"x"}))
    unsigned.sign()
    assert unsigned.verify().failed_with("layer-unsafe")


def test_a_leaf_in_two_layers_is_refused(unsigned):
    unsigned.add_layer(unsigned.pack({CODE: b"import evil\n"}))
    unsigned.sign()
    answer = unsigned.verify()
    assert answer.failed_with("content-extra")
    assert "duplicate path" in answer.told("content-extra")


def test_two_specs_are_refused(unsigned):
    unsigned.add_layer(unsigned.pack({SPEC: unsigned.files("spec and locks")[SPEC]}))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra")


def test_a_leaf_behind_files_of_another_kind_is_part_of_no_derived_layer(unsigned):
    """Layers of wheels are not read for leaves: whoever hides one there changes the whole."""
    files = {"usr/share/x": b"x", "opt/model/src/tiny/evil.py": b"import evil\n"}
    unsigned.add_layer(unsigned.pack(files))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra", "derivation-mismatch")


def test_a_layer_that_begins_with_leaves_may_hold_nothing_else(unsigned):
    files = {**unsigned.files("code"), "usr/lib/x.so": b"x"}
    place, _ = unsigned.layer("code")
    unsigned.set_layer(place, unsigned.pack(files))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-extra")


def test_an_image_without_a_spec_is_none_of_ours(unsigned):
    files = {p: d for p, d in unsigned.files("spec and locks").items() if p != SPEC}
    place, _ = unsigned.layer("spec and locks")
    unsigned.set_layer(place, unsigned.pack(files))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


@pytest.mark.parametrize(
    "spec",
    [
        b"[]",
        b"null",
        b"{}",
        b"{",
        b'{"schema_version": 2}',
        b'{"a": 1, "a": 2}',
        b"\xff\xfe",
        b"1e999",
        b"[" * 100_000,
    ],
    ids=repr,
)
def test_a_spec_that_is_none_is_a_verdict(unsigned, spec):
    unsigned.replace_file("spec and locks", SPEC, spec)
    unsigned.sign()
    answer = unsigned.verify()
    assert answer.code == 1
    assert answer.errors & {"derivation-mismatch", "content-mismatch"}
    assert "spec-invalid" not in answer.errors


def test_an_accelerator_that_the_spec_does_not_have_is_found(unsigned):
    spec = json.loads(unsigned.files("spec and locks")[SPEC])
    spec["accelerators"] = {"rocm": {"dependencies": []}}
    unsigned.replace_file("spec and locks", SPEC, canonical.encode(spec))
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")


def test_a_missing_lock_is_missing_content(unsigned):
    files = {p: d for p, d in unsigned.files("spec and locks").items() if p != LOCK}
    place, _ = unsigned.layer("spec and locks")
    unsigned.set_layer(place, unsigned.pack(files))
    unsigned.sign()
    assert unsigned.verify().failed_with("content-missing")


LOCKS = {
    "a path that leaves its folder": (b'path = "wheels/', b'path = "wheels/../../'),
    "an absolute path": (b'path = "wheels/', b'path = "/etc/'),
    "an address": (b'path = "wheels/', b'url = "https://evil.example/'),
    "no digest": (b"sha256 = ", b"md5 = "),
    "another environment": (b'environment = "cpu"', b'environment = "rocm"'),
    "another form": (b"\n\n[tool.mpbuild]", b"\n\n# changed\n[tool.mpbuild]"),
    "no UTF-8": (b"lock-version", b"\xff"),
    "a key without end": (b"[tool.mpbuild]", b"[tool." + b"a." * 200_000 + b"b]"),
    "no TOML": (b"lock-version", b"]["),
}


@pytest.mark.parametrize("what", LOCKS)
def test_a_lock_that_mpbuild_would_not_write_is_malformed(unsigned, what):
    """Row 92 among others: exit 1, as it is the package that is wrong."""
    good = unsigned.files("spec and locks")[LOCK]
    old, new = LOCKS[what]
    assert old in good
    unsigned.replace_file("spec and locks", LOCK, good.replace(old, new, 1))
    unsigned.sign()
    started = time.monotonic()
    assert unsigned.verify().failed_with("lock-malformed")
    assert time.monotonic() - started < 5


def test_a_wheel_that_lies_is_unsafe_when_the_layer_is_derived(unsigned, lying_wheel):
    """Rows 86 and 87: the lock names it, the verifier has it, and no package can come of it."""
    lock = pylock.read(unsigned.files("spec and locks")[LOCK].decode(), file=LOCK)
    kept = unsigned.tiny.store.put([lying_wheel])
    numpy, *others = lock.packages
    wheel = structs.replace(numpy.wheel, sha256=kept.digest, size=kept.size)
    packages = (structs.replace(numpy, wheel=wheel), *others)
    bad = pylock.write(structs.replace(lock, packages=packages))
    unsigned.replace_file("spec and locks", LOCK, bad.encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("layer-unsafe")
