"""Artifacts from whoever: PEX files and folders, the model artifact, inputs artifacts, layouts."""

import gzip
import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from mpbuild.app.verify import rederive
from mpbuild.app.verify.verify import read_images
from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.cli.root import run
from mpbuild.derive import inputs_artifact
from mpbuild.effects.store.store import Store
from mpbuild.formats.python import pylock
from mpbuild.package.artifact_contents import read_artifacts
from mpbuild.package.assemble import assemble
from mpbuild.package.in_layout import in_layout
from mpbuild.package.layer_bounds import LayerBounds
from mpbuild.package.package import Package
from mpbuild.package.package_inputs import read_inputs

TITLE = "org.opencontainers.image.title"
METADATA = "org.cncf.model.file.metadata+json"
LOCK = "pylock.cpu.toml"


@pytest.fixture
def exported(signed, cli, tmp_path) -> Path:
    """The PEX of the signed package."""
    folder = tmp_path / "tiny.pex"
    assert cli("export", signed.folder, "--pex", folder).code == 0
    return folder


@pytest.fixture
def reproduce(cli, tmp_path):
    """Reproduce a layout with an empty store."""

    def call(attack, *words, **more):
        words = (attack.folder, "--offline", *words)
        return cli("reproduce", *words, store=tmp_path / "empty", **more)

    return call


def child(attack, kind):
    """The place of a child in the index, and its manifest."""
    for place, entry in enumerate(attack.index["manifests"]):
        if entry["annotations"]["dev.mpbuild.kind"] == kind:
            return place, attack.document(entry["digest"])
    raise AssertionError(kind)


# ---- exported PEX folders


def drop(path):
    return lambda folder: (folder / path).unlink()


def write(path, data):
    def change(folder):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return change


def version_of_many_digits(text):
    return text.replace("2.0", f"2.{'9' * 5000}")


def link_evidence(folder):
    (folder / ".mpbuild").rename(folder.parent / "evidence")
    (folder / ".mpbuild").symlink_to(folder.parent / "evidence")


def change_lock(change):
    return lambda folder: (folder / LOCK).write_text(change((folder / LOCK).read_text()))


FOLDERS = {
    "lacks its bootstrap": drop(".bootstrap"),
    "lacks its program": drop("__main__.py"),
    "lacks PEX-INFO's spec": drop("spec.json"),
    "lacks its lock": drop(LOCK),
    "has an empty folder": lambda folder: (folder / "torch").mkdir(),
    "has an empty folder among its code": lambda folder: (folder / "tiny/fast").mkdir(),
    "has a file without a name in UTF-8": write(os.fsdecode(b"\xff.py"), b""),
    "has a spec nested beyond reading": write("spec.json", b"[" * 100_000),
    "has a lock nested beyond reading": write(LOCK, b"a = " + b"[" * 100_000),
    "has a lock with a version of thousands of digits": change_lock(version_of_many_digits),
    "has a lock that takes for ever to read": change_lock(lambda _: f"a{'.a' * 20_000} = 1\n"),
    "has a bootstrap beyond all bounds": lambda f: os.truncate(f / ".bootstrap", (64 << 20) + 1),
    "has its lock under the name of another accelerator": lambda folder: (folder / LOCK).rename(
        folder / "pylock.cuda.toml"
    ),
    "has locks of two accelerators": write("pylock.cuda.toml", b""),
    "is a layout, too": write("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
    "has code in a second folder of evidence": write("tiny/.mpbuild/evil.py", b"evil"),
    "has code where export keeps the evidence": write(".mpbuild.py", b"evil"),
    "has its evidence behind a link": link_evidence,
    "has a file as evidence": lambda f: (shutil.rmtree(f / ".mpbuild"), write(".mpbuild", b"")(f)),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_a_pex_folder_fails_that(exported, cli, tiny, tmp_path, what):
    FOLDERS[what](exported)
    answer = cli("verify", exported, "--key", tiny.key.public, store=tmp_path / "empty")
    assert answer.failed_with()


def test_a_pex_with_weights_larger_than_a_page_is_mapped_and_passes(rebuild, cli, tiny, tmp_path):
    def large(root):
        (root / "models/tiny/weights/numbers.bin").write_bytes(bytes(2 << 20))

    assert honest(rebuild(large), cli, tiny, tmp_path)


# ---- the model artifact


def change_model(attack, change):
    """Let ``change`` edit pairs of layer and diff_id."""
    place, manifest = child(attack, "model")
    config = attack.document(manifest["config"]["digest"])
    pairs = [list(p) for p in zip(manifest["layers"], config["modelfs"]["diffIds"], strict=True)]
    pairs = change(pairs)
    manifest["layers"] = [layer for layer, _ in pairs]
    config["modelfs"]["diffIds"] = [diff_id for _, diff_id in pairs]
    manifest["config"] |= attack.put(canonical.encode(config))
    attack.set_manifest(manifest, place)


def without(path):
    return lambda _, pairs: [pair for pair in pairs if pair[0]["annotations"][TITLE] != path]


def replaced(path, change):
    def edit(attack, pairs):
        for pair in pairs:
            about = pair[0]["annotations"]
            if about[TITLE] == path:
                data = change(attack.layout.read(Digest(pair[0]["digest"])))
                pair[0] |= attack.put(data)
                pair[1] = pair[0]["digest"]
                metadata = json.loads(about[METADATA]) | {"size": len(data)}
                about[METADATA] = canonical.encode(metadata).decode()
        return pairs

    return edit


MODELS = {
    "lacks the spec": without("spec.json"),
    "lacks a lock": without(f"locks/{LOCK}"),
    "lacks its dossier": without("dossier/model.json"),
    "lacks the weights": without("weights/numbers"),
    "has another spec": replaced("spec.json", lambda data: data + b" "),
    "has a lock that isn't ours": replaced(f"locks/{LOCK}", lambda data: data + b"\n"),
    "has a lock with a version of thousands of digits": replaced(
        f"locks/{LOCK}", lambda data: version_of_many_digits(data.decode()).encode()
    ),
    "has its layers in another order": lambda _, pairs: pairs[::-1],
    "has a layer twice": lambda _, pairs: [*pairs, pairs[-1]],
    "has no layer": lambda _, pairs: pairs[:0],
}


@pytest.mark.parametrize("what", MODELS)
def test_a_package_fails_whose_model_artifact(unsigned, reproduce, what):
    change_model(unsigned, lambda pairs: MODELS[what](unsigned, pairs))
    unsigned.sign()
    assert unsigned.verify().failed_with()
    assert reproduce(unsigned).code in (1, 2)


def test_a_lock_with_a_version_of_thousands_of_digits_is_not_exported(unsigned, cli, tmp_path):
    what = "has a lock with a version of thousands of digits"
    change_model(unsigned, lambda pairs: MODELS[what](unsigned, pairs))
    answer = cli("export", unsigned.folder, "--lock", tmp_path / "lock")
    assert answer.code == 2
    assert not (tmp_path / "lock").exists()


def test_pex_files_of_another_lock_than_the_image_fail_whoever_signs(unsigned, tiny, craft_wheel):
    """A signer cannot put wheels into a PEX that no lock of the images names."""
    store = tiny.store
    package = Package(in_layout(str(unsigned.folder), store))
    contents = read_images(package, store, [])
    artifacts = read_artifacts(package, contents[0].model, store)
    locks = artifacts.locks["cpu"]
    first, *rest = locks.python.packages
    kept = store.put([craft_wheel])
    wheel = msgspec.structs.replace(first.wheel, sha256=kept.digest, size=kept.size)
    first = msgspec.structs.replace(first, wheel=wheel)
    python = msgspec.structs.replace(locks.python, packages=(first, *rest))
    text = pylock.write(python).encode()
    changed = msgspec.structs.replace(
        artifacts,
        documents={**artifacts.documents, LOCK: store.put_bytes(text)},
        locks={"cpu": msgspec.structs.replace(locks, python=python)},
    )
    layers = {content.accelerator: rederive._layers(content, store) for content in contents}
    made = assemble(rederive._parts(contents, changed, layers), store)
    for blob in (*made.blobs, craft_wheel, text):
        unsigned.put(blob)
    unsigned.set_index(made.package.index_bytes)
    signed = unsigned.statement()
    resolved = signed["predicate"]["buildDefinition"]["resolvedDependencies"]
    lock = next(one for one in resolved if LOCK in json.dumps(one))
    resolved.append({**lock, "digest": {"sha256": Digest.of(text).hex}})
    unsigned.sign(made=signed)
    assert unsigned.verify("--source", tiny.workspace).failed_with()


@pytest.fixture
def craft_wheel(tiny) -> bytes:
    """Another wheel of numpy 2.0, as sound as the locked one."""
    lock = pylock.read((tiny.workspace / "lockfiles/models/tiny" / LOCK).read_text(), file=LOCK)
    wheels = {package.name: package.wheel for package in lock.packages}
    return tiny.store.read(wheels["tinynumbers"].sha256).replace(b"tinynumbers", b"numpy")


# ---- the index


def of_another_version(kind):
    def change(attack, rebuild):
        other = rebuild(new_version)
        place, _ = child(other, kind)
        entry = other.index["manifests"][place]
        for blob in other.blobs:
            attack.layout.add(Digest.from_hex(blob.name), [blob.read_bytes()])
        mine, _ = child(attack, kind)
        return lambda children: [*children[:mine], entry, *children[mine + 1 :]]

    return change


def new_version(root):
    spec = root / "models/tiny/model.toml"
    spec.write_text(spec.read_text().replace('version = "1.0.0"', 'version = "1.0.1"', 1))


def edited(place, **changes):
    return lambda *_: (
        lambda children: [
            entry | changes if i == place else entry for i, entry in enumerate(children)
        ]
    )


KIND, ACCELERATOR = "dev.mpbuild.kind", "dev.mpbuild.accelerator"
INDEXES = {
    "has the PEX of another version": of_another_version("pex"),
    "has the model artifact of another version": of_another_version("model"),
    "has its children in another order": lambda *_: lambda children: children[::-1],
    "has a PEX twice": lambda *_: lambda children: [*children, children[1]],
    "has two model artifacts": lambda *_: lambda children: [*children, children[2]],
    "has no model artifact": lambda *_: lambda children: children[:2],
    "has a PEX that an engine would run": edited(
        1, platform={"architecture": "amd64", "os": "linux"}
    ),
    "has a PEX for another accelerator": edited(1, annotations={KIND: "pex", ACCELERATOR: "cuda"}),
    "has a PEX for nothing": edited(1, annotations={KIND: "pex"}),
    "has a PEX for a long name": edited(1, annotations={KIND: "pex", ACCELERATOR: "x" * 9999}),
    "calls its PEX a model": edited(1, annotations={KIND: "model"}),
    "calls its model a PEX": edited(2, annotations={KIND: "pex", ACCELERATOR: "cpu"}),
    "has a model for an accelerator": edited(2, annotations={KIND: "model", ACCELERATOR: "cpu"}),
}


@pytest.mark.parametrize("what", INDEXES)
def test_a_package_fails_whose_index(unsigned, rebuild, reproduce, what):
    change = INDEXES[what](unsigned, rebuild)
    index = unsigned.index
    index["manifests"] = change(index["manifests"])
    unsigned.set_index(index)
    unsigned.sign()
    assert unsigned.verify().failed_with()
    assert reproduce(unsigned, "--rebuild", bwrap=()).code in (1, 2)


def test_images_whose_specs_know_other_accelerators_are_no_package(unsigned, rebuild, reproduce):
    """The image and PEX for cuda come from a package whose spec has cuda; the first's has not."""
    other = rebuild(for_all)
    for blob in other.blobs:
        unsigned.layout.add(Digest.from_hex(blob.name), [blob.read_bytes()])
    index = unsigned.index
    cuda = [e for e in other.index["manifests"] if e["annotations"].get(ACCELERATOR) == "cuda"]
    index["manifests"] += cuda
    unsigned.set_index(index)
    unsigned.sign()
    assert unsigned.verify().failed_with("derivation-mismatch")
    assert reproduce(unsigned, "--rebuild", bwrap=()).code in (1, 2)


# ---- the PEX manifest


def pex_titles(change):
    def edit(attack):
        place, manifest = child(attack, "pex")
        change(manifest)
        attack.set_manifest(manifest, place)

    return edit


def titled(title):
    return lambda manifest: manifest["layers"][0]["annotations"].update({TITLE: title})


PEXES = {
    "leads out": titled("../evil"),
    "is absolute": titled("/tmp/evil"),
    "is below its own link": titled("pex/evil"),
    "is its own link": titled("pex"),
    "stands twice": lambda m: m["layers"].insert(0, m["layers"][0]),
    "is empty": titled(""),
    "differs in case only": titled("pex-info"),
    "differs in case from its link": titled("PEX"),
    "has a negative size": lambda m: m["layers"][0].update(size=-1),
    "has another size": lambda m: m["layers"][0].update(size=1 << 40),
    "is executable in another way": lambda m: m["layers"][0]["annotations"].update(
        {"dev.mpbuild.executable": "yes"}
    ),
    "is in the place of the evidence": titled(".mpbuild/index.json"),
}


@pytest.mark.parametrize("what", PEXES)
def test_a_pex_is_not_exported_a_path_of_which(unsigned, cli, tmp_path, what):
    pex_titles(PEXES[what])(unsigned)
    target = tmp_path / "exports" / "p"
    answer = cli("export", unsigned.folder, "--pex", target)
    assert answer.code == 2
    assert not target.parent.exists() or list(target.parent.iterdir()) == []
    unsigned.sign()
    assert unsigned.verify().failed_with()


# ---- the inputs artifact


def set_inputs(attack, change):
    """Attach the inputs artifact anew, with other files by title; None takes one away."""
    (entry,) = [
        e for e in attack.listing["manifests"] if e["artifactType"] == inputs_artifact.ARTIFACT
    ]
    manifest = attack.document(entry["digest"])
    files = {layer["annotations"][TITLE]: layer for layer in manifest["layers"]}
    for title, data in change.items():
        if data is None:
            del files[title]
        else:
            known = files.get(title) or {
                "mediaType": inputs_artifact.FILE,
                "annotations": {TITLE: title},
            }
            files[title] = known | attack.put(data)
    manifest["layers"] = list(files.values())
    size = attack.layout.blob(attack.digest).stat().st_size
    manifest["subject"] |= {"digest": attack.digest, "size": size}
    changed = {**entry, **attack.put(canonical.encode(manifest))}
    attack.set_listing({"manifests": [changed]})


def steps(**read):
    return canonical.encode({"schema": "mpbuild.steps/1", "steps": read})


def reading(*files, folder="m"):
    named = [{"path": path, "digest": str(Digest.of(data))} for path, data in files]
    return {"folder": folder, "files": named}


INPUTS = {
    "folder leads out": lambda _: {inputs_artifact.STEPS: steps(a=reading(folder="../x"))},
    "folder is absolute": lambda _: {inputs_artifact.STEPS: steps(a=reading(folder="/etc"))},
    "file leads out": lambda _: {inputs_artifact.STEPS: steps(a=reading(("../x", b"")))},
    "file has other bytes": lambda pack: {
        inputs_artifact.STEPS: steps(a=reading(("m/x", b"one"))),
        "steps/a.tar.gz": pack({"m/x": b"two"}),
    },
    "layer is none": lambda _: {
        inputs_artifact.STEPS: steps(a=reading(("m/x", b""))),
        "steps/a.tar.gz": gzip.compress(b"no tar"),
    },
    "toolchain is missing": lambda _: {"locks/pylock.toolchain.toml": None},
    "toolchain is none": lambda _: {"locks/pylock.toolchain.toml": b"a = 1\n"},
}


@pytest.mark.parametrize("what", INPUTS)
def test_nothing_is_run_from_an_inputs_artifact_whose(unsigned, reproduce, what):
    set_inputs(unsigned, INPUTS[what](unsigned.pack))
    answer = reproduce(unsigned, "--rebuild", bwrap=())
    assert answer.code == 2
    assert "sandbox-unavailable" not in answer.errors


def test_a_layer_of_an_inputs_artifact_that_inflates_without_end_is_refused(unsigned, tmp_path):
    zeros = bytes(8 << 20)
    artifact = {
        inputs_artifact.STEPS: steps(a=reading(("m/x", zeros))),
        "steps/a.tar.gz": unsigned.pack({"m/x": zeros}),
    }
    set_inputs(unsigned, artifact)
    store = Store(tmp_path / "empty")
    package = Package(in_layout(str(unsigned.folder), store))
    with pytest.raises(InputError, match="inflates far beyond its size") as caught:
        read_inputs(package, store, LayerBounds(inflated=1 << 20))
    assert caught.value.findings[0].code == "layer-unsafe"
    assert not store.has(Digest.of(zeros))


def test_other_locks_in_an_inputs_artifact_are_not_even_read(unsigned, tmp_path):
    lock = bytes(4 << 20)
    set_inputs(unsigned, {f"locks/{number}": lock for number in range(100)})
    located = in_layout(str(unsigned.folder), Store(tmp_path / "empty"))
    kept = read_inputs(Package(located), Store(tmp_path / "empty"))
    assert sorted(kept.toolchain.files) == ["debian.toolchain.toml", "pylock.toolchain.toml"]


def test_without_a_sandbox_nothing_of_a_package_is_run_again(unsigned, reproduce):
    answer = reproduce(unsigned, "--rebuild", bwrap=())
    assert answer.code == 3
    assert answer.errors == {"sandbox-unavailable"}


def test_a_package_that_differs_from_its_leaves_is_not_run(unsigned, reproduce):
    layers, diff_ids = unsigned.rows()
    place, _ = unsigned.layer("weights")
    del layers[place], diff_ids[place]
    unsigned.set_layers(layers, diff_ids)
    answer = reproduce(unsigned, "--rebuild", bwrap=())
    assert answer.code == 1
    assert answer.errors == {"content-missing"}
    assert any("actions were not rerun" in remark for remark in answer.json["unchecked"])


# ---- bounds, terminals, and what is written where


def test_sizes_of_thousands_of_digits_are_no_traceback(unsigned, cli):
    manifest = unsigned.manifest()
    for one in manifest["layers"]:
        one["size"] = 7
    data = canonical.encode(manifest).replace(b'"size":7', b'"size":' + b"9" * 4300)
    unsigned.set_manifest(data)
    assert unsigned.verify().failed_with("content-mismatch")
    assert cli("inspect", unsigned.folder).code == 2


def test_what_a_package_says_of_itself_reaches_no_terminal(unsigned, capfdbinary):
    evil = "\x1b[2J\x9bPASSED\u202e"
    place, manifest = child(unsigned, "pex")
    manifest["layers"][0]["annotations"][TITLE] = evil
    unsigned.set_manifest(manifest, place)
    index = unsigned.index
    index["annotations"]["org.opencontainers.image.version"] = evil
    unsigned.set_index(index)
    capfdbinary.readouterr()
    store = str(unsigned.tiny.store.path)
    run(["--store", store, "inspect", str(unsigned.folder)])
    shown = b"".join(capfdbinary.readouterr()).decode()
    assert not set("\x1b\x9b\u202e") & set(shown)


def test_signing_in_a_layout_truncates_nothing_that_a_link_in_it_leads_to(signed, cli, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (signed.folder / ".lock").unlink(missing_ok=True)
    (signed.folder / ".lock").symlink_to(victim)
    cli("sign", signed.folder, "--key", signed.tiny.key.private)
    assert victim.read_text() == "mine"


# ---- honest packages


def spec(root, text, old="", new=""):
    path = root / "models/tiny/model.toml"
    path.write_text(path.read_text().replace(old, new) + text)


def source(path, data=b"", mode=0o644):
    def change(root):
        file = root / "models/tiny" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(mode)

    return change


def for_all(root):
    for accelerator in ("cuda", "rocm"):
        spec(root, f'[accelerators.{accelerator}]\ndependencies = ["tinynumbers"]\n')


def core_file(root):
    source("labels.txt", b"a\n")(root)
    spec(root, '[[core.files]]\nname = "labels"\nversion = "1.0.0"\npath = "labels.txt"\n')


def equal_weights(root):
    source("weights/same.bin", bytes(range(256)) * 16)(root)
    spec(root, '[[core.weights]]\nname = "b"\nversion = "1.0.0"\npath = "weights/same.bin"\n')


def unused_environment(root):
    spec(root, '[environments.extra]\nbase = "debian-bookworm"\ndependencies = ["numpy"]\n')


def no_weights(root):
    weights = (
        '[[core.weights]]\nname = "numbers"\nversion = "1.0.0"\npath = "weights/numbers.bin"\n'
    )
    spec(root, "", weights)


HONEST = {
    "every accelerator": for_all,
    "an empty source": source("src/tiny/empty.py"),
    "empty weights": source("weights/numbers.bin"),
    "an executable source": source("src/tiny/tool.py", b"x = 1\n", 0o755),
    "names beyond ASCII": source("src/tiny/größe.py", b"x = 1\n"),
    "names of combining characters": source("src/tiny/gro\u0308.py", b"x = 1\n"),
    "names with quotes and blanks": source("src/tiny/a 'b\".py", b"x = 1\n"),
    "hidden sources beside those that count": source("src/tiny/.hidden.py"),
    "hidden folders beside those that count": source("src/.mpbuild/blobs/x.py"),
    "paths longer than tar's": source(f"src/{'/'.join(['d' * 100] * 12)}/m.py", b"1"),
    "files beside the weights": core_file,
    "two weights of the same bytes": equal_weights,
    "weights of the bytes of code": source("weights/numbers.bin", b"x = 1\n"),
    "an environment that nothing uses": unused_environment,
    "no weights": no_weights,
}


@pytest.mark.parametrize("what", HONEST)
def test_an_honest_package_passes_with(rebuild, cli, tiny, tmp_path, what):
    assert honest(rebuild(HONEST[what]), cli, tiny, tmp_path)


def honest(made, cli, tiny, tmp_path, store="empty"):
    """Whether a package verifies, against its source, too; and all its PEX files; and again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "state of another"))
        assert cli("sign", made.folder, "--key", tiny.key.private).code == 0
    answer = made.verify("--source", tmp_path / "changed")
    assert answer.passed, answer.json
    for entry in made.index["manifests"]:
        if entry["annotations"][KIND] == "pex":
            accelerator = entry["annotations"][ACCELERATOR]
            folder = tmp_path / f"{accelerator}.pex"
            words = ("--pex", folder, "--accelerator", accelerator)
            assert cli("export", made.folder, *words).code == 0
            answer = cli("verify", folder, "--key", tiny.key.public, store=tmp_path / store)
            assert answer.passed, answer.json
    answer = cli("reproduce", made.folder, "--offline", store=tmp_path / store)
    return answer.code == 0


STEPS = """
[environments.work]
base = "debian-bookworm"
dependencies = ["numpy"]
[[steps]]
name = "one"
environment = "work"
command = ["sh", "-c", "cat src/tiny/model.py > {out}/o"]
inputs = ["src/tiny/model.py"]
outputs = ["o"]
[[steps]]
name = "same"
environment = "work"
command = ["sh", "-c", "cat src/tiny/model.py > {out}/o"]
inputs = ["src/tiny/model.py"]
outputs = ["o"]
[[steps]]
name = "alone"
environment = "work"
command = ["sh", "-c", "echo 1 > {out}/o"]
outputs = ["o"]
[[core.weights]]
name = "u"
version = "1.0.0"
url = "https://weights.example/u.bin"
size = 5
"""


def test_steps_that_read_the_same_or_nothing_are_kept(rebuild, tiny, cli, tmp_path):
    """The host runs the steps here: the test is about their inputs artifact."""

    def with_steps(root):
        text = STEPS + f'sha256 = "{tiny.store.put([b"hello"]).digest.hex}"\n'
        for name in ("one", "same", "alone"):
            text += f'[[core.weights]]\nname = "{name}"\nversion = "1.0.0"\n'
            text += f'step = "{name}"\noutput = "o"\n'
        spec(root, text)

    made = rebuild(with_steps, sandbox="none")
    assert honest(made, cli, tiny, tmp_path)
    store = Store(tmp_path / "empty")
    located = in_layout(str(made.folder), store)
    kept = read_inputs(Package(located), store)
    numbers = {name: len(read.files) for name, read in kept.steps.items()}
    assert numbers == {"one": 1, "same": 1, "alone": 0}
    set_inputs(made, {inputs_artifact.STEPS: steps()})
    answer = cli("reproduce", made.folder, "--offline", "--rebuild", store=tmp_path / "empty")
    assert answer.code == 2
    assert "no entry for the step" in answer.told("content-missing")
