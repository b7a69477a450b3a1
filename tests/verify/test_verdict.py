"""The verdict: errors decide, and findings are fit to be read."""

from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base.errors import Finding
from mpbuild.verify.verdict import MOST_FINDINGS, Verdict, presentable

ERROR = Finding("content-missing", "gone")
WARNING = Finding("package-partial", "some", severity="warning")
NOTE = Finding("referrer-foreign", "who", severity="note")


def test_errors_alone_decide():
    assert Verdict(digest="", findings=()).passed
    assert Verdict(digest="", findings=(NOTE, WARNING)).passed
    assert not Verdict(digest="", findings=(NOTE, ERROR)).passed


def test_errors_come_first_and_each_once():
    assert presentable([NOTE, ERROR, WARNING, ERROR, NOTE]) == (ERROR, WARNING, NOTE)


@given(st.lists(st.text(), min_size=1))
def test_no_finding_holds_what_a_terminal_acts_upon(texts):
    for finding in presentable(Finding("x", text, text, text) for text in texts):
        assert finding.message.isprintable()
        assert finding.where.isprintable()
        assert finding.hint.isprintable()


def test_a_finding_without_end_is_cut_off():
    (finding,) = presentable([Finding("x", "a" * 10_000_000)])
    assert len(finding.message) < 1000


def test_findings_without_end_are_counted():
    found = presentable(Finding("content-extra", str(n)) for n in range(MOST_FINDINGS + 5))
    assert len(found) == MOST_FINDINGS + 1
    assert found[-1].message == "and 5 more findings"
    assert found[-1].severity == "error"


def test_an_error_is_never_cut_off_behind_notes():
    notes = [Finding("referrer-foreign", str(n), severity="note") for n in range(5000)]
    found = presentable([*notes, ERROR])
    assert found[0] == ERROR
    assert not Verdict(digest="", findings=found).passed


def test_what_spec_and_rules_say_becomes_what_it_means_for_a_package():
    found = presentable([Finding("spec-invalid", "a"), Finding("not-supported-yet", "b")])
    assert [finding.code for finding in found] == ["derivation-mismatch"] * 2
