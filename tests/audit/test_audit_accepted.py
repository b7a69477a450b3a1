"""The spec accepts findings by code and packages, and says so of none that isn't there."""

import pytest

from mpbuild.audit.acceptance import left, stale
from mpbuild.audit.audited_environment import Observation
from mpbuild.base.errors import Finding
from mpbuild.spec.environment import AcceptedFinding
from mpbuild.spec.vocabulary import AcceptableCode


def seen(*packages, code="file-collision"):
    return Observation(Finding(code, "message", "where"), packages)


def accept(*packages, code=AcceptableCode.FILE_COLLISION):
    return AcceptedFinding(code=code, packages=packages, reason="known")


def test_a_finding_whose_packages_are_all_named_is_accepted():
    assert left([seen("a", "b")], [accept("b", "a")]) == []
    assert left([seen("a", "b"), seen("b", "c")], [accept("a", "b", "c")]) == []


@pytest.mark.parametrize(
    "entry",
    [accept("a"), accept("a", "c"), accept("a", "b", code=AcceptableCode.ENTRY_POINT_COLLISION)],
)
def test_another_finding_is_not(entry):
    assert left([seen("a", "b")], [entry]) == [seen("a", "b")]


def test_a_finding_about_no_package_cannot_be_accepted():
    assert left([seen()], [accept("a")]) == [seen()]


def test_an_entry_that_nothing_answers_to_is_itself_wrong():
    (found,) = stale([seen("a", "b")], [accept("a", "b"), accept("c", "d")], "digits/model.toml")
    assert found.code == "spec-invalid"
    assert found.finding.where == "digits/model.toml: environment.accepted[1]"
    assert (
        found.finding.message == "it accepts file-collision of c, d, but there is no such finding"
    )


def test_a_package_too_many_in_an_entry_is_wrong():
    (found,) = stale([seen("a", "b")], [accept("a", "b", "c")], "model.toml")
    assert found.packages == ("c",)


def test_of_what_was_not_looked_for_nothing_is_stale():
    entry = accept("a", code=AcceptableCode.ELF_UNMET)
    assert not list(stale([], [entry], "model.toml", {"elf-unmet"}))
    assert list(stale([], [entry], "model.toml", {"tag-mismatch"}))
