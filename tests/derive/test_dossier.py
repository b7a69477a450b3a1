"""The dossier: each document matches spec, locks and its schema, and is the same in every build."""

from itertools import pairwise

import jsonschema
import msgspec
import pytest

from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.derive.dossier import dossier_files
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.formats.debian.deblock import DebianLock, DebianPackage
from mpbuild.formats.dossier import encoding
from mpbuild.formats.oci.modelpack import ModelArtifactFile
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage
from mpbuild.spec.read import read_model, read_workspace

MODEL = """\
schema_version = 1

[package]
name = "digits"
version = "1.4.0"
summary = "Classifies pictures of handwritten digits."
owners = ["vision-team", "data-team"]
license = "Apache-2.0"

[core]
version = "3.0.0"
task = "image-classification"
format = "onnx"
entry_point = "digits.model:Model"
sources = ["src/**/*.py"]

[[core.weights]]
name = "classifier"
version = "3.0.0"
step = "train"
output = "classifier.onnx"

[[core.weights]]
name = "backbone"
version = "2.0.0"
url = "https://weights.example/backbone.onnx"
sha256 = "SHA"
size = 9

[[core.weights]]
name = "calibration"
version = "1.0.0"
path = "weights/calibration.bin"

[[core.files]]
name = "labels"
version = "1.0.0"
path = "labels.json"

[io]
version = "2.0.0"
[[io.inputs]]
name = "pixels"
datatype = "FP32"
shape = [-1, 64]
minimum = 0.0
maximum = 16.0
description = "Rows of grey values."
[[io.outputs]]
name = "probabilities"
datatype = "FP32"
shape = [-1, 10]
[[io.parameters]]
name = "scale"
datatype = "BOOL"
default = false

[environment]
version = "1.1.0"
python = "3.11"
base = "debian-bookworm"
dependencies = ["numpy>=2"]
system = ["libgomp1"]

[accelerators.rocm]
requires = { gfx = ["gfx90a"], memory = "2GiB", libraries = ["libamdhip64.so.7"] }

[accelerators.cuda]
dependencies = ["framework-gpu"]
requires = { compute_capability = ">=8.0" }

[accelerators.cpu]
dependencies = ["framework"]

[environments.train]
dependencies = ["scikit-learn"]

[environments.unused]

[[steps]]
name = "prepare"
command = ["python", "prepare.py", "{out}"]
inputs = ["prepare.py", "data/*.csv"]
outputs = ["table.bin"]
environment = "train"

[[steps]]
name = "train"
command = ["python", "train.py", "{out}"]
inputs = ["train.py", "step:prepare/table.bin"]
outputs = ["classifier.onnx", "log.txt"]
environment = "train"
""".replace("SHA", Digest.of(b"backbone").hex)

WORKSPACE = """\
schema_version = 1
[workspace]
name = "models"
[bases.debian-bookworm]
suite = "bookworm"
packages = ["python3.11-minimal"]
"""

FILES = tuple(
    ModelArtifactFile.of(path, path.encode())
    for path in ("weights/classifier", "weights/backbone", "weights/calibration", "files/labels")
)


def wheel(name, version="1.0", tag="py3-none-any"):
    filename = f"{name.replace('-', '_')}-{version}-{tag}.whl"
    found = LockedWheel(filename=filename, sha256=Digest.of(filename.encode()), size=1000)
    return PythonPackage(name=name, version=version, wheel=found)


def debian(name, *, base):
    return DebianPackage(
        name=name,
        version="1:1.0-1",
        architecture="amd64",
        base=base,
        path=f"pool/main/{name[0]}/{name}/{name}_1.0-1_amd64.deb",
        sha256=Digest.of(name.encode()),
        size=2000,
    )


def locked(environment, *packages, system=()):
    debs = [debian("python3.11-minimal", base=True), *(debian(n, base=False) for n in system)]
    none = Digest.of(b"")
    return EnvironmentLocks(
        PythonLock(
            environment=environment,
            python="3.11",
            resolution=none,
            resolver="uv 0.13.9",
            packages=tuple(sorted(packages, key=lambda p: p.name)),
        ),
        DebianLock(
            environment=environment,
            suite="bookworm",
            architecture="amd64",
            resolution=none,
            packages=tuple(sorted(debs, key=lambda p: p.name)),
        ),
    )


NUMPY = wheel("numpy", "2.4.6", "cp311-cp311-manylinux_2_28_x86_64")
LOCKS = {
    "cpu": locked("cpu", NUMPY, wheel("framework"), system=["libgomp1"]),
    "cuda": locked(
        "cuda",
        NUMPY,
        wheel("framework-gpu"),
        wheel("nvidia-cuda-runtime-cu12", "12.8.90"),
        system=["libgomp1"],
    ),
    "rocm": locked("rocm", NUMPY, system=["libgomp1"]),
    "train": locked("train", NUMPY, wheel("scikit-learn")),
    "unused": locked("unused"),
}


@pytest.fixture(scope="module")
def spec():
    workspace = read_workspace(WORKSPACE, file="mpbuild.toml")
    return read_model(MODEL, file="model.toml", folder="digits", workspace=workspace)


@pytest.fixture(scope="module")
def made(spec):
    """The documents by name."""
    found = dossier_files(spec, LOCKS, FILES)
    return {
        path.removeprefix("dossier/").removesuffix(".json"): canonical.decode(data)
        for path, data in found.items()
    }


def test_there_is_a_document_for_each_subject_in_canonical_json(spec):
    found = dossier_files(spec, LOCKS, FILES)
    assert list(found) == [f"dossier/{name}.json" for name in encoding.DOCUMENTS]
    for data in found.values():
        assert canonical.encode(canonical.decode(data)) == data


@pytest.mark.parametrize("name", encoding.DOCUMENTS)
def test_a_document_is_valid_by_its_schema_and_names_it(name, made):
    assert made[name]["schema"] == f"mpbuild.dossier.{name}/1"
    jsonschema.Draft202012Validator(encoding.json_schema(name)).validate(made[name])


@pytest.mark.parametrize("name", encoding.DOCUMENTS)
def test_a_document_is_not_valid_by_the_schema_of_another(name, made):
    for other in encoding.DOCUMENTS:
        if other != name:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.Draft202012Validator(encoding.json_schema(other)).validate(made[name])


def test_the_bytes_are_those_they_always_were(spec, golden):
    for path, data in dossier_files(spec, LOCKS, FILES).items():
        golden.check(f"dossier-1-{path.removeprefix('dossier/')}", data)


def test_documents_depend_on_no_order(spec):
    locks = dict(reversed(LOCKS.items()))
    accelerators = dict(reversed(spec.accelerators.items()))
    other = msgspec.structs.replace(spec, accelerators=accelerators)
    assert dossier_files(other, locks, FILES[::-1]) == dossier_files(spec, LOCKS, FILES)


def test_the_model_document_lists_its_files_and_their_origins(made):
    about = made["model"]
    assert about["package"] == {
        "name": "digits",
        "version": "1.4.0",
        "summary": "Classifies pictures of handwritten digits.",
        "owners": ["vision-team", "data-team"],
        "license": "Apache-2.0",
    }
    core = about["core"]
    assert core["entry_point"] == "digits.model:Model"
    assert core["weights"][0] == {
        "name": "classifier",
        "version": "3.0.0",
        "path": "weights/classifier",
        "digest": FILES[0].digest,
        "size": FILES[0].size,
        "origin": {"from": "step", "step": "train", "output": "classifier.onnx"},
    }
    assert [one["origin"] for one in (*core["weights"][1:], *core["files"])] == [
        {"from": "address", "url": "https://weights.example/backbone.onnx"},
        {"from": "workspace", "path": "weights/calibration.bin"},
        {"from": "workspace", "path": "labels.json"},
    ]


def test_model_and_environment_are_apart(spec, made):
    """A new environment does not change the model's document, and vice versa."""
    newer = msgspec.structs.replace(
        spec, environment=msgspec.structs.replace(spec.environment, version="2.0.0")
    )
    found = dossier_files(newer, LOCKS | {"cpu": locked("cpu", wheel("framework"))}, FILES)
    assert canonical.decode(found["dossier/model.json"]) == made["model"]
    assert canonical.decode(found["dossier/environment.json"]) != made["environment"]
    trained = msgspec.structs.replace(
        spec, core=msgspec.structs.replace(spec.core, version="4.0.0")
    )
    found = dossier_files(trained, LOCKS, FILES)
    assert canonical.decode(found["dossier/model.json"]) != made["model"]
    assert canonical.decode(found["dossier/environment.json"]) == made["environment"]


def test_every_environment_of_a_package_is_listed_cpu_first(made):
    about = made["environment"]
    assert about["version"] == "1.1.0"
    assert [one["name"] for one in about["accelerators"]] == ["cpu", "cuda", "rocm"]
    assert [one["name"] for one in about["steps"]] == ["train"]


def test_an_environment_tells_what_was_requested_and_what_is_locked(made):
    cpu, _, _ = made["environment"]["accelerators"]
    assert cpu == {
        "name": "cpu",
        "python": "3.11",
        "base": "debian-bookworm",
        "suite": "bookworm",
        "dependencies": ["numpy>=2", "framework"],
        "system": ["libgomp1"],
        "floors": {"glibc": "2.28"},
        "requires": {},
        "packages": [
            {
                "name": package.name,
                "version": package.version,
                "wheel": package.wheel.filename,
                "digest": package.wheel.sha256,
                "size": 1000,
            }
            for package in LOCKS["cpu"].python.packages
        ],
        "debian": [
            {
                "name": name,
                "version": "1:1.0-1",
                "architecture": "amd64",
                "base": base,
                "digest": Digest.of(name.encode()),
                "size": 2000,
            }
            for name, base in (("libgomp1", False), ("python3.11-minimal", True))
        ],
    }
    (train,) = made["environment"]["steps"]
    assert (train["dependencies"], train["system"]) == (["scikit-learn"], [])
    assert "requires" not in train


def test_floors_of_the_wheels_are_listed_with_the_requirements_of_the_spec(made):
    _, cuda, rocm = made["environment"]["accelerators"]
    assert cuda["floors"] == {
        "glibc": "2.28",
        "cuda": "12.8",
        "driver": "525.60.13",
        "compute_capability": "5.0",
    }
    assert cuda["requires"] == {"compute_capability": "8.0"}
    assert rocm["requires"] == {
        "gfx": ["gfx90a"],
        "memory": 2 << 30,
        "libraries": ["libamdhip64.so.7"],
    }


def test_the_contract_is_the_schema_of_calls_and_what_machines_must_have(made):
    """Floors of the wheels apply where the spec has none."""
    contract = made["contract"]
    assert contract["io"] == {
        "version": "2.0.0",
        "inputs": [
            {
                "name": "pixels",
                "datatype": "FP32",
                "shape": [-1, 64],
                "minimum": 0,
                "maximum": 16,
                "description": "Rows of grey values.",
            }
        ],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
        "parameters": [{"name": "scale", "datatype": "BOOL", "default": False}],
    }
    assert [(host["accelerator"], host["requires"]) for host in contract["hosts"]] == [
        ("cpu", {}),
        ("cuda", {"driver": "525.60.13", "compute_capability": "8.0"}),
        ("rocm", made["environment"]["accelerators"][2]["requires"]),
    ]


@pytest.fixture(scope="module")
def related(made):
    """The names of the nodes to which a node has a relationship."""
    names = {node["id"]: node["name"] for node in made["graph"]["nodes"]}

    def related(source, relationship):
        return {
            names[edge["to"]]
            for edge in made["graph"]["edges"]
            if (edge["from"], edge["relationship"]) == (source, relationship)
        }

    return related


def test_nodes_and_edges_are_sorted_and_unique_and_every_edge_has_two_ends(made):
    graph = made["graph"]
    ids = [node["id"] for node in graph["nodes"]]
    edges = [(e["from"], e["relationship"], e["to"]) for e in graph["edges"]]
    assert all(one < other for one, other in pairwise(ids))
    assert all(one < other for one, other in pairwise(edges))
    assert {end for source, _, target in edges for end in (source, target)} == set(ids)


def test_a_package_contains_its_children_and_they_the_model(related):
    assert related("package:digits", "contains") == {"digits", "cpu", "cuda", "rocm"}
    carried = {"digits.model:Model", "classifier", "backbone", "calibration", "labels"}
    assert related("model:digits", "contains") == carried
    assert related("image:cpu", "contains") == carried | {"cpu"}
    assert related("pex:cpu", "contains") == carried | {"numpy", "framework"}


def test_an_environment_contains_what_its_locks_name(related):
    assert related("environment:cpu", "contains") == {
        *("numpy", "framework"),
        *("libgomp1", "python3.11-minimal"),
    }
    assert related("environment:cpu", "dependsOn") == {"debian-bookworm", "CPython"}
    assert related("base:debian-bookworm", "contains") == {"CPython", "python3.11-minimal"}
    locks = {"pylock.cpu.toml", "debian.cpu.toml"}
    assert related("environment:cpu", "hasDependencyManifest") == locks


def test_environments_share_the_node_of_a_file_that_they_share(made):
    wheels = [node for node in made["graph"]["nodes"] if node["name"] == "numpy"]
    assert wheels == [
        {
            "id": f"wheel:{NUMPY.wheel.sha256}",
            "kind": "wheel",
            "name": "numpy",
            "version": "2.4.6",
            "digest": NUMPY.wheel.sha256,
            "size": 1000,
        }
    ]


def test_the_graph_has_what_the_machine_provides(made, related):
    provided = "hasProvidedDependency"
    assert related("image:cpu", provided) == set()
    assert related("pex:cpu", provided) == {"CPython", "glibc"}
    driver = {"nvidia", "libcuda.so.1", "libnvidia-ml.so.1"}
    assert related("image:cuda", provided) == driver
    assert related("pex:cuda", provided) == driver | {"CPython", "glibc"}
    assert related("image:rocm", provided) == {"amdgpu", "libamdhip64.so.7"}
    versions = {node["id"]: node.get("version") for node in made["graph"]["nodes"]}
    assert versions["driver:nvidia"] == "525.60.13"
    assert versions["driver:amdgpu"] is None
    assert versions["host-library:glibc-2.28"] == "2.28"


def test_a_step_has_inputs_outputs_and_an_environment(related):
    assert related("step:prepare", "hasInput") == {"prepare.py", "data/*.csv"}
    assert related("step:prepare", "hasOutput") == {"prepare/table.bin"}
    assert related("step:train", "hasInput") == {"train.py", "prepare/table.bin"}
    assert related("step:train", "hasOutput") == {"classifier", "train/log.txt"}
    assert related("step:train", "usesTool") == {"train"}


def test_what_is_computed_after_the_graph_has_no_digest_in_it(made):
    digested = {node["kind"] for node in made["graph"]["nodes"] if "digest" in node}
    assert digested == {"weights", "file", "wheel", "debian"}


def test_a_model_without_files_and_steps_has_a_dossier(spec):
    core = msgspec.structs.replace(spec.core, weights=(), files=())
    bare = msgspec.structs.replace(spec, core=core, steps=())
    for path, data in dossier_files(bare, LOCKS, ()).items():
        name = path.removeprefix("dossier/").removesuffix(".json")
        validator = jsonschema.Draft202012Validator(encoding.json_schema(name))
        validator.validate(canonical.decode(data))
