"""From the record of a build to a provenance: nothing left out, nothing made up."""

import msgspec
import pytest

from mpbuild.attest.provenance import LOCAL_BUILDER, predicate, provenance
from mpbuild.base.digest import Digest
from mpbuild.base.label import Label
from mpbuild.formats.evidence import statement
from mpbuild.formats.evidence.provenance import BUILD_TYPE, read_provenance
from mpbuild.formats.evidence.record import ActionRecord, Record, RecordedInput, RepositoryState
from mpbuild.formats.evidence.statement import Subject
from mpbuild.verify.provenance_checks import provenance_faults


def digest(text):
    return Digest.of(text.encode())


def action(name, rule, **fields):
    return ActionRecord(
        name=name,
        key=digest(name),
        rule=rule,
        version=1,
        inputs=fields.get("inputs", {}),
        root=(),
        command=(),
        outputs=fields.get("outputs", {}),
        diff_id=None,
        result=fields.get("result", "run"),
        sandboxed=fields.get("sandboxed", True),
        started=1.0,
        finished=2.0,
    )


@pytest.fixture
def record():
    return Record(
        mpbuild="0.1.0",
        label=Label("//models/tiny"),
        package=digest("package"),
        images={"cpu": digest("image")},
        pex={"cpu": digest("pex")},
        model=digest("model artifact"),
        partial=False,
        source=RepositoryState("c" * 40, dirty=True),
        hermetic=True,
        leaves={"lock:pylock.cpu.toml": digest("lock"), "source:src/a:b.py": digest("source")},
        inputs=(
            RecordedInput("debian", "a_1_all.deb", digest("deb")),
            RecordedInput("weights", "large", digest("fetched")),
            RecordedInput("wheel", "numpy-2.0-py3-none-any.whl", digest("wheel")),
            RecordedInput("wheel", "numpy-2.0-py3-none-any.whl", digest("of cuda")),
        ),
        actions=(
            action("layer:x", "wheel-layer", inputs={"w": digest("wheel")}),
            action(
                "step:train",
                "step",
                inputs={"train.py": digest("script")},
                outputs={"model.onnx": digest("model")},
                result="cached",
                sandboxed=False,
            ),
            action("pex", "pex-bootstrap", outputs={"main.py": digest("main")}),
            action("bytecode:cpu", "bytecode", outputs={"bytecode.tar": digest("tar")}),
        ),
        started=0.9,
        finished=3725.2,
    )


def resolved(made):
    return {
        (d["annotations"].get("kind"), d["name"]): d
        for d in made["buildDefinition"]["resolvedDependencies"]
    }


def test_every_input_leaf_and_output_of_a_step_is_named_by_kind(record):
    one = msgspec.structs.replace(record, inputs=record.inputs[:3])
    found = {key: d["digest"] for key, d in resolved(predicate(one, "x")).items()}
    assert found == {
        (None, "workspace"): {"gitCommit": "c" * 40},
        ("wheel", "numpy-2.0-py3-none-any.whl"): {"sha256": digest("wheel").hex},
        ("debian", "a_1_all.deb"): {"sha256": digest("deb").hex},
        ("lock", "pylock.cpu.toml"): {"sha256": digest("lock").hex},
        ("source", "src/a:b.py"): {"sha256": digest("source").hex},
        ("step-input", "step:train/train.py"): {"sha256": digest("script").hex},
        ("step", "train/model.onnx"): {"sha256": digest("model").hex},
        ("pex", "pex/main.py"): {"sha256": digest("main").hex},
        ("bytecode", "cpu/bytecode.tar"): {"sha256": digest("tar").hex},
        ("weights", "large"): {"sha256": digest("fetched").hex},
    }


def test_two_files_of_one_name_are_both_named(record):
    """Indexes of two accelerators may hold other bytes under one name."""
    resources = predicate(record, "x")["buildDefinition"]["resolvedDependencies"]
    wheels = {r["digest"]["sha256"] for r in resources if r["name"].startswith("numpy")}
    assert wheels == {digest("wheel").hex, digest("of cuda").hex}


def test_a_result_from_a_cache_or_from_outside_of_a_sandbox_is_named_as_such(record):
    annotations = resolved(predicate(record, "x"))[("step", "train/model.onnx")]["annotations"]
    assert annotations == {"kind": "step", "sandboxed": False, "result": "cached"}


def test_a_dirty_tree_is_reported_and_no_repository_is_no_source(record):
    source = resolved(predicate(record, "x"))[(None, "workspace")]
    assert source["annotations"] == {"dirty": True}
    bare = msgspec.structs.replace(record, source=RepositoryState(None, dirty=False))
    assert (None, "workspace") not in resolved(predicate(bare, "x"))


def test_builder_invocation_and_times_are_those_of_the_record(record):
    details = predicate(record, LOCAL_BUILDER)["runDetails"]
    assert details["builder"] == {"id": LOCAL_BUILDER, "version": {"mpbuild": "0.1.0"}}
    assert details["metadata"] == {
        "invocationId": record.digest,
        "startedOn": "1970-01-01T00:00:00Z",
        "finishedOn": "1970-01-01T01:02:05Z",
    }


def test_what_is_requested_and_whether_it_was_hermetic_is_reported(record):
    definition = predicate(record, "x")["buildDefinition"]
    assert definition["buildType"] == BUILD_TYPE
    assert definition["externalParameters"] == {"label": "//models/tiny", "accelerators": ["cpu"]}
    assert definition["internalParameters"] == {"hermetic": True}


def test_what_is_said_is_read_back_and_found_sound(record):
    made = provenance(record, (Subject("tiny", record.package),), "urn:x")
    read = statement.read(statement.encode(made))
    assert read == made
    found = read_provenance(read.predicate)
    assert list(provenance_faults(found)) == []
    assert found.hermetic
    assert found.of_kind("lock") == {"pylock.cpu.toml": digest("lock")}
    assert ("wheel", digest("wheel")) in found.resolved
