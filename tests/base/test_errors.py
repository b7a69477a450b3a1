"""One error root: what is wrong, where, what to do, and the exit code."""

import pytest

from mpbuild.base.errors import (
    AnswerError,
    EnvironmentFailureError,
    Finding,
    InputError,
    MpbuildError,
)
from mpbuild.formats.archive.unsafe import UnsafeError


@pytest.mark.parametrize(
    ("kind", "exit_code", "code"),
    [
        (MpbuildError, 70, "internal"),
        (AnswerError, 1, "step-failed"),
        (InputError, 2, "spec-invalid"),
        (EnvironmentFailureError, 3, "fetch-failed"),
        (UnsafeError, 2, "layer-unsafe"),
    ],
)
def test_each_kind_has_its_exit_code_and_usual_code(kind, exit_code, code):
    error = kind("it is wrong")
    assert error.exit_code == exit_code
    assert error.findings[0].code == code
    assert error.findings[0].severity == "error"


def test_an_error_reads_place_message_hint():
    error = InputError("is wrong", where="a.toml:3", hint="mend it", code="lock-drift")
    assert str(error) == "a.toml:3: is wrong\n  hint: mend it"
    assert error.findings == (Finding("lock-drift", "is wrong", "a.toml:3", "mend it"),)


def test_without_place_and_hint_only_the_message_is_left():
    assert str(InputError("is wrong")) == "is wrong"


def test_collected_findings_are_all_told_in_their_order():
    findings = [Finding("b", "two", "y"), Finding("a", "one", "x", severity="warning")]
    error = InputError.collect(findings)
    assert type(error) is InputError
    assert error.findings == tuple(findings)
    assert str(error) == "y: two\nx: one"


@pytest.mark.parametrize("kind", [AnswerError, InputError, EnvironmentFailureError, UnsafeError])
def test_within_puts_a_place_in_front_of_every_place(kind):
    error = kind.collect([Finding("c", "m", "inner", "h"), Finding("d", "n")])
    outer = error.within("outer")
    assert type(outer) is kind
    assert outer.findings == (Finding("c", "m", "outer: inner", "h"), Finding("d", "n", "outer"))
    assert str(outer) == "outer: inner: m\n  hint: h\nouter: n"
    assert error.findings[0].where == "inner"


def test_places_grow_outward():
    error = InputError("m", where="c").within("b").within("a")
    assert error.findings[0].where == "a: b: c"
