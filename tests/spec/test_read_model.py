"""A good model.toml becomes frozen, typed data."""

import contextlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.version import Version
from mpbuild.spec.model import Model, StepOutput
from mpbuild.spec.read import document, read_model
from mpbuild.spec.vocabulary import Datatype
from mpbuild.spec.workspace import Workspace


def test_values_have_their_types(model: Model) -> None:
    assert model.package.version == Version("1.4.0")
    assert isinstance(model.package.version, Version)
    assert model.core.sources == ("src/**/*.py", "../common/*.py")
    assert isinstance(model.core.weights[1].sha256, Digest)
    assert model.io.inputs[0].datatype is Datatype.FP32
    assert model.io.inputs[0].shape == (-1, 64)
    assert (model.io.inputs[0].minimum, model.io.inputs[0].maximum) == (0, 16.0)
    assert list(model.accelerators) == [Accelerator.CPU]
    assert all(isinstance(name, Accelerator) for name in model.accelerators)


def test_keys_that_are_left_out_have_their_defaults(model: Model) -> None:
    weight, step = model.core.weights[0], model.steps[0]
    assert (weight.path, weight.sha256) == (None, None)
    assert (step.reproducible, step.timeout) == (False, None)
    assert (model.environments["train"].python, model.environments["train"].base) == (None, None)


def test_a_timeout_is_in_milliseconds(model: Model) -> None:
    assert model.steps[1].timeout == 600_000


def test_a_step_tells_files_from_outputs_of_other_steps(model: Model) -> None:
    step = model.steps[1]
    assert step.files == ("train.py",)
    assert step.needs == (StepOutput("prepare", "rows.npy"),)


def test_a_model_is_frozen(model: Model) -> None:
    with pytest.raises(AttributeError):
        model.package.name = "other"  # type: ignore[misc]
    assert msgspec.structs.replace(model) == model


@pytest.mark.parametrize(
    ("good", "other"),
    [
        ('"Apache-2.0"', '"MIT OR (Apache-2.0 AND LicenseRef-Acme)"'),
        ('"Apache-2.0"', '"GPL-2.0-only WITH Classpath-exception-2.0"'),
        ("numpy>=2", "numpy[x] ~=2.0; python_version < '3.12'"),
        ("[-1, 64]", "[]"),
        ("minimum = 0\n", ""),
        ("default = 10\n", ""),
        ('"INT64"\ndefault = 10\nminimum = 1\nmaximum = 10', '"BYTES"\ndefault = "a\\nb"'),
        ('"INT64"\ndefault = 10\nminimum = 1\nmaximum = 10', '"BOOL"\ndefault = false'),
        ('"INT64"\ndefault = 10', '"FP64"\ndefault = 2'),
        ("src/**/*.py", "src/café/[a-z].py"),
        ("src/**/*.py", "a/../src/model.py"),
        ("data/*.csv", "../../data/?.csv"),
        ('"python", "train.py"', '"sh", "-c", "", "a\\nb"'),
        ('"10m"', '"1.5h"'),
        ("rows of", "rows\\nof"),
    ],
)
def test_other_good_values_are_read_too(
    model_text: str, workspace: Workspace, good: str, other: str
) -> None:
    text = model_text.replace(good, other)
    read_model(text, file="model.toml", folder="models/digits", workspace=workspace)


def test_a_model_may_lie_at_the_root_of_the_workspace(
    model_text: str, workspace: Workspace
) -> None:
    text = model_text.replace("../common", "common")
    assert read_model(text, file="model.toml", folder="", workspace=workspace).steps
    with pytest.raises(InputError, match="leaves the workspace"):
        read_model(model_text, file="model.toml", folder="", workspace=workspace)


def test_a_key_with_an_escape_is_the_same_key(
    model_text: str, workspace: Workspace, model: Model
) -> None:
    text = model_text.replace("entry_point", r'"entry\u005fpoint"').replace("\n", "\r\n")
    same = read_model(text, file="model.toml", folder="models/digits", workspace=workspace)
    assert same == model


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_text_makes_the_reader_fail_otherwise_than_by_an_input_error(
    data: st.DataObject, model_text: str, findings_of_model: Callable[[str], tuple[Finding, ...]]
) -> None:
    """Lines are dropped, doubled, swapped and cut into each other."""
    rows = model_text.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        a, b = (data.draw(st.integers(0, len(rows) - 1)) for _ in "ab")
        cut = data.draw(st.integers(0, 30))
        rows[a] = data.draw(
            st.sampled_from(["", rows[b], rows[a][:cut] + rows[b][cut:], rows[a] + rows[b]])
        )
    text = "\n".join(rows)
    findings = findings_of_model(text)
    assert all(finding.where.startswith("model.toml:") for finding in findings)
    assert {finding.code for finding in findings} <= {"spec-invalid", "not-supported-yet"}
    with contextlib.suppress(InputError):
        document(text)
