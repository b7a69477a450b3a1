"""A PEX as an artifact: its files, refused files, and writing and reading its manifest."""

import io
import json
import zipfile

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import pex
from mpbuild.formats.oci import oci
from mpbuild.formats.python import pex as form
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage

CPU, CUDA, _ = Accelerator
MAIN = b"#!/usr/bin/env python3.11\n\nboot(\n    pex_hash='%s',\n)\n" % (b"0" * 40)
FILES = {
    "digits/__init__.py": b"",
    "digits/größe.txt": b"8x8\n",
    "digits/model.py": b"class Model: ...\n",
    "files/labels": b"0123456789",
    "mpbuild_runtime/run.py": b"def main(): ...\n",
    "pylock.cpu.toml": b"lock-version\n",
    "spec.json": b"{}",
    "weights/classifier": bytes(range(256)),
}
TITLE = "org.opencontainers.image.title"
EMPTY = "dev.mpbuild.empty"


def wheel(name, version, filename):
    data = filename.encode()
    file = LockedWheel(filename=filename, sha256=Digest.of(data), size=len(data))
    return PythonPackage(name=name, version=version, wheel=file)


LOCK = PythonLock(
    environment="cpu",
    python="3.11",
    resolution=Digest.of(b"inputs"),
    resolver="uv 0.13.9",
    packages=(
        wheel("ml-dtypes", "0.6.0", "ml_dtypes-0.6.0-cp311-cp311-manylinux_2_28_x86_64.whl"),
        wheel("numpy", "2.4.6", "numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl"),
    ),
)


def bootstrap():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in {
            "pex/__init__.py": b"",
            "pex/pex.py": b"import os\n",
            "pex/version.py": b'__version__ = "2.105.2"\n',
        }.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return out.getvalue()


@pytest.fixture(scope="module")
def made(model):
    return pex.pex(model, CPU, LOCK, FILES, bootstrap(), MAIN)


def titles(manifest):
    return [layer.annotations[TITLE] for layer in manifest.layers]


def test_a_pex_has_the_bytes_it_always_had(made, golden):
    golden.check("pex-1-manifest.json", made.manifest_bytes)
    golden.check("pex-1-info.json", made.made["PEX-INFO"])
    golden.check("pex-1-main.py.txt", made.made["__main__.py"])


def test_empty_files_are_no_blobs_because_registries_refuse_these(made):
    assert FILES["digits/__init__.py"] == b""
    assert made.manifest.annotations["dev.mpbuild.empty"] == '["digits/__init__.py"]'
    assert all(layer.size for layer in made.manifest.layers)
    assert pex.read_files(made.manifest)["digits/__init__.py"] == pex.PexFile.of(b"")


def test_every_file_of_the_folder_that_has_bytes_is_a_blob(made):
    assert titles(made.manifest) == [
        ".bootstrap",
        ".deps/ml_dtypes-0.6.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        ".deps/numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl",
        "PEX-INFO",
        "__main__.py",
        "__pex__/__init__.py",
        *(path for path in FILES if FILES[path]),
    ]
    assert {layer.media_type for layer in made.manifest.layers} == {
        "application/vnd.mpbuild.pex.file.v1"
    }


def test_wheels_are_the_blobs_that_the_lock_names(made):
    files = pex.read_files(made.manifest)
    for package in LOCK.packages:
        file = files[f".deps/{package.wheel.filename}"]
        assert (file.digest, file.size) == (package.wheel.sha256, package.wheel.size)


def test_only_the_program_is_executable(made):
    files = pex.read_files(made.manifest)
    assert [path for path, file in files.items() if file.executable] == ["__main__.py"]


def test_pex_info_tells_wheels_requirements_python_and_accelerator(made):
    info = form.read_info(made.made["PEX-INFO"])
    assert info.requirements == ("ml-dtypes==0.6.0", "numpy==2.4.6")
    assert info.distributions == {p.wheel.filename: p.wheel.sha256.hex for p in LOCK.packages}
    assert info.interpreter_constraints == ("CPython==3.11.*",)
    assert info.inject_env == {"MPBUILD_ACCELERATOR": "cpu"}
    assert info.entry_point == "mpbuild_runtime.run:main"
    assert info.code_hash == form.code_hash(FILES)
    assert info.bootstrap_hash == form.read_bootstrap(bootstrap()).hash


def test_both_programs_carry_the_hash_of_the_pex(made):
    info = form.read_info(made.made["PEX-INFO"])
    main = made.made["__main__.py"]
    assert main == form.with_hash(MAIN, info.pex_hash)
    assert form.without_hash(main) == MAIN
    assert made.made["__pex__/__init__.py"] == form.import_hook(main)


def test_the_artifact_has_its_type_and_an_empty_configuration(made):
    document = canonical.decode(made.manifest_bytes)
    assert canonical.encode(document) == made.manifest_bytes
    assert oci.read_artifact(made.manifest_bytes) == made.manifest
    assert document["artifactType"] == "application/vnd.mpbuild.pex.v1"
    assert made.manifest.config == oci.descriptor(oci.EMPTY_TYPE, b"{}")
    assert document["annotations"]["dev.mpbuild.accelerator"] == "cpu"
    assert document["annotations"]["org.opencontainers.image.version"] == "1.4.0"


def test_no_engine_takes_it_for_an_image(made):
    assert made.descriptor == oci.Descriptor(
        media_type=oci.MANIFEST,
        digest=Digest.of(made.manifest_bytes),
        size=len(made.manifest_bytes),
        platform=oci.Platform("unknown", "unknown"),
        annotations={"dev.mpbuild.kind": "pex", "dev.mpbuild.accelerator": "cpu"},
    )


def test_the_size_counts_what_files_share_once(made):
    files = {file.digest: file.size for file in pex.read_files(made.manifest).values()}
    assert made.size == len(made.manifest_bytes) + 2 + sum(files.values())


def test_accelerators_share_all_but_what_tells_them_apart(model, made):
    other = pex.pex(model, CUDA, LOCK, FILES, bootstrap(), MAIN)
    one, two = (pex.read_files(m.manifest) for m in (made, other))
    differing = {path for path in one if one[path] != two[path]}
    assert differing == {"PEX-INFO", "__main__.py", "__pex__/__init__.py"}


def test_a_changed_line_changes_the_file_and_what_hashes_it(model, made):
    changed = FILES | {"digits/model.py": b"class Model: pass\n"}
    other = pex.pex(model, CPU, LOCK, changed, bootstrap(), MAIN)
    one, two = (pex.read_files(m.manifest) for m in (made, other))
    differing = {path for path in one if one[path] != two[path]}
    assert differing == {"PEX-INFO", "__main__.py", "__pex__/__init__.py", "digits/model.py"}


def test_other_bytes_of_a_wheel_are_another_pex_of_the_same_code(model, made):
    first, *others = LOCK.packages
    wheel = msgspec.structs.replace(first.wheel, sha256=Digest.of(b"other"))
    packages = (msgspec.structs.replace(first, wheel=wheel), *others)
    lock = msgspec.structs.replace(LOCK, packages=packages)
    other = pex.pex(model, CPU, lock, FILES, bootstrap(), MAIN)
    one, two = (form.read_info(m.made["PEX-INFO"]) for m in (made, other))
    assert one.pex_hash != two.pex_hash
    assert one.code_hash == two.code_hash


# ---- which files it can contain


@pytest.mark.parametrize(
    "path",
    [
        ".bootstrap",
        ".bootstrap/x.py",
        ".deps/x.whl",
        "PEX-INFO",
        "PEX-LAYOUT",
        "__main__.py",
        "__pex__/x.py",
        "pex",
        "pex/__init__.py",
    ],
)
def test_a_file_at_a_place_of_pex_is_refused(model, path):
    with pytest.raises(InputError) as caught:
        pex.pex(model, CPU, LOCK, FILES | {path: b""}, bootstrap(), MAIN)
    (finding,) = caught.value.findings
    assert (finding.code, finding.where) == ("spec-invalid", path)
    assert "rename the file" in finding.hint


@pytest.mark.parametrize("path", ["src/.env", "a/b.pyc", "__pycache__/x.py"])
def test_a_file_whose_change_pex_would_not_notice_is_refused(model, path):
    with pytest.raises(InputError, match="hidden or compiled files") as caught:
        pex.check_paths([path])
    (finding,) = caught.value.findings
    assert (finding.code, finding.where) == ("spec-invalid", path)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "", "a\n"]
)
def test_a_path_that_is_not_plain_is_refused(path):
    with pytest.raises(InputError) as caught:
        pex.check_paths(["fine.py", path])
    assert [finding.code for finding in caught.value.findings] == ["spec-invalid"]


def test_all_wrong_paths_are_reported_at_once():
    with pytest.raises(InputError) as caught:
        pex.check_paths(["pex", "a.py", ".deps/x", ".x"])
    assert [finding.where for finding in caught.value.findings] == ["pex", ".deps/x", ".x"]


@pytest.mark.parametrize("path", ["digits/MODEL.py", "digits", "Pex", "spec.json/x"])
def test_colliding_files_are_refused(model, path):
    with pytest.raises(InputError) as caught:
        pex.pex(model, CPU, LOCK, FILES | {path: b""}, bootstrap(), MAIN)
    assert caught.value.findings[0].code == "layer-unsafe"


def test_whose_a_path_is_shows_in_its_first_part():
    assert [
        path for path in (*FILES, "pex", ".deps/x", "PEX-INFO", "pexes.py") if pex.is_own(path)
    ] == [
        *FILES,
        "pexes.py",
    ]


# ---- from a folder, and from a manifest


def test_a_folder_maps_to_its_manifest_and_back(model, made):
    files = pex.read_files(made.manifest)
    assert pex.manifest(model, CPU, files) == made.manifest
    assert pex.manifest(model, CPU, dict(reversed(files.items()))) == made.manifest
    assert pex.read_files(pex.manifest(model, CPU, files)) == files


def test_another_bit_or_byte_in_a_folder_is_another_manifest(model, made):
    files = pex.read_files(made.manifest)
    loose = files | {"spec.json": msgspec.structs.replace(files["spec.json"], executable=True)}
    other = files | {"spec.json": pex.PexFile.of(b"{ }")}
    assert made.manifest not in (pex.manifest(model, CPU, f) for f in (loose, other))


paths = st.text("aé/b.", min_size=1, max_size=6).map(lambda text: f"own/{text}")


@settings(max_examples=60)
@given(st.dictionaries(paths, st.binary(max_size=8), max_size=4))
def test_whatever_is_accepted_is_read_again(model, files):
    try:
        made = pex.pex(model, CPU, LOCK, files, bootstrap(), MAIN)
    except InputError:
        return
    found = pex.read_files(oci.read_artifact(made.manifest_bytes))
    assert {path: found[path] for path in files} == {p: pex.PexFile.of(d) for p, d in files.items()}


def changed(document, change):
    """The manifest after ``change`` to its JSON."""
    change(document)
    return oci.read_artifact(canonical.encode(document))


def layer(document, title):
    return next(one for one in document["layers"] if one["annotations"][TITLE] == title)


HOSTILE = {
    "another artifact": lambda d: d.update(artifactType="application/vnd.oci.empty.v1+json"),
    "a configuration": lambda d: d["config"].update(size=3),
    "another order": lambda d: d["layers"].reverse(),
    "a doubled file": lambda d: d["layers"].insert(0, d["layers"][0]),
    "a file without a name": lambda d: d["layers"][0].pop("annotations"),
    "a file of another type": lambda d: d["layers"][0].update(mediaType=oci.LAYER_GZIP),
    "a file for a platform": lambda d: d["layers"][0].update(
        platform={"architecture": "amd64", "os": "linux"}
    ),
    "a further annotation": lambda d: d["layers"][0]["annotations"].update(x="y"),
    "another executable bit": lambda d: layer(d, "__main__.py")["annotations"].update(
        {"dev.mpbuild.executable": "1"}
    ),
    "empty files that are no list": lambda d: d["annotations"].update({EMPTY: "7"}),
    "empty files that are no JSON": lambda d: d["annotations"].update({EMPTY: "["}),
    "an empty file outside": lambda d: d["annotations"].update({EMPTY: '["../x"]'}),
    "an empty file that has bytes": lambda d: d["annotations"].update({EMPTY: '["spec.json"]'}),
    "empty files in another spelling": lambda d: d["annotations"].update(
        {EMPTY: '[ "digits/__init__.py"]'}
    ),
    "an empty blob": lambda d: layer(d, "spec.json").update(size=0, digest=str(Digest.of(b""))),
    "a negative size": lambda d: d["layers"][0].update(size=-1),
    "no program": lambda d: d["layers"].remove(layer(d, "__main__.py")),
    "no PEX-INFO": lambda d: d["layers"].remove(layer(d, "PEX-INFO")),
    "a file over the link": lambda d: layer(d, "spec.json")["annotations"].update({TITLE: "pex"}),
    "a file outside": lambda d: layer(d, "spec.json")["annotations"].update({TITLE: "../x"}),
    "a file among the evidence": lambda d: layer(d, "spec.json")["annotations"].update(
        {TITLE: ".mpbuild/index.json"}
    ),
    "an absolute path": lambda d: layer(d, "spec.json")["annotations"].update({TITLE: "/x"}),
    "a path with a dot": lambda d: layer(d, "spec.json")["annotations"].update({TITLE: "./x"}),
    "a file as a folder": lambda d: layer(d, "spec.json")["annotations"].update(
        {TITLE: "pylock.cpu.toml/x"}
    ),
    "another spelling": lambda d: layer(d, "spec.json")["annotations"].update(
        {TITLE: "Pylock.cpu.toml"}
    ),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_manifest_that_we_would_not_write_is_refused(made, attack):
    manifest = changed(json.loads(made.manifest_bytes), HOSTILE[attack])
    with pytest.raises(InputError) as caught:
        pex.read_files(manifest)
    assert {finding.code for finding in caught.value.findings} <= {
        "content-mismatch",
        "layer-unsafe",
    }


def test_a_manifest_without_layers_has_no_bootstrap(made):
    manifest = msgspec.structs.replace(made.manifest, layers=())
    with pytest.raises(InputError, match=r"no \.bootstrap"):
        pex.read_files(manifest)
