"""The inputs artifact: its list of files, its reader, and what the reader refuses."""

import msgspec
import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.files import WorkspaceFile
from mpbuild.derive import inputs_artifact
from mpbuild.derive.inputs_artifact import InputFile, StepFiles
from mpbuild.formats.oci import oci, referrer

SUBJECT = oci.descriptor(oci.INDEX, b"index", annotations={"a": "b"})


def file(path, data=b"x", media_type=inputs_artifact.FILE):
    return InputFile(path, Digest.of(data), len(data), media_type)


FILES = [
    file("wheels/b.whl", b"b"),
    file("debian/a.deb", b"a"),
    file("steps/train.tar.gz", b"t", oci.LAYER_GZIP),
    file("steps.json", b"s"),
]
STEPS = {
    "train": StepFiles("models/m", (WorkspaceFile("models/m/train.py", Digest.of(b"t"), True),)),
    "idle": StepFiles("models/m", ()),
}


def test_files_are_listed_by_path_whatever_their_order():
    made = inputs_artifact.inputs(SUBJECT, FILES)
    assert made == inputs_artifact.inputs(SUBJECT, FILES[::-1])
    assert [one.path for one in inputs_artifact.read_files(made)] == sorted(
        one.path for one in FILES
    )
    assert set(inputs_artifact.read_files(made)) == set(FILES)


def test_it_speaks_of_the_package_and_of_nothing_else_of_it():
    made = inputs_artifact.inputs(SUBJECT, FILES)
    assert made.artifact_type == "application/vnd.mpbuild.inputs.v1"
    assert made.subject == oci.Descriptor(
        media_type=oci.INDEX, digest=SUBJECT.digest, size=SUBJECT.size
    )
    assert referrer.read(referrer.encode(made)) == made


def test_bytes_that_two_files_share_are_listed_once():
    made = inputs_artifact.inputs(SUBJECT, [file("debian/a.deb"), file("wheels/a.whl")])
    assert [one.path for one in inputs_artifact.read_files(made)] == ["debian/a.deb"]


def test_another_artifact_is_none():
    made = msgspec.structs.replace(
        inputs_artifact.inputs(SUBJECT, FILES), artifact_type="application/x"
    )
    with pytest.raises(InputError, match="application/x") as caught:
        inputs_artifact.read_files(made)
    assert caught.value.findings[0].code == "content-mismatch"


def test_what_steps_read_is_written_and_read_back():
    data = inputs_artifact.write_steps(STEPS)
    assert inputs_artifact.read_steps(data) == STEPS
    assert data == inputs_artifact.write_steps(dict(reversed(STEPS.items())))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"schema":"mpbuild.steps/2","steps":{}}', b'{"steps":{},"more":1}'],
)
def test_a_document_of_steps_that_is_none_is_refused(data):
    with pytest.raises(InputError):
        inputs_artifact.read_steps(data)


def test_the_layer_of_what_a_step_reads_holds_its_files_at_their_paths():
    plan = inputs_artifact.step_plan("train", STEPS["train"])
    assert plan.inputs == {"models/m/train.py": Digest.of(b"t")}
    assert plan.executable == ("models/m/train.py",)
