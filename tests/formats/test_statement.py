"""Statements: digests match, names don't count, work is bounded."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base import limits
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.evidence import statement
from mpbuild.formats.evidence.statement import Statement, Subject

DIGEST = Digest.of(b"x")
GOOD = Statement((Subject("x", DIGEST),), "https://example.org/type", {"a": 1})


def changed(**fields):
    return json.dumps(json.loads(statement.encode(GOOD)) | fields).encode()


def refused(data):
    with pytest.raises(InputError) as caught:
        statement.read(data)
    (finding,) = caught.value.findings
    return finding


@given(st.lists(st.text(max_size=9), min_size=1, max_size=5), st.text(min_size=1, max_size=20))
def test_what_is_written_is_read(names, kind):
    subjects = tuple(Subject(name, Digest.of(name.encode())) for name in names)
    made = Statement(subjects, kind, {"a": [1, "b", None]})
    assert statement.read(statement.encode(made)) == made


def test_the_form_is_statement_v1():
    assert json.loads(statement.encode(GOOD)) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": DIGEST.hex}}],
        "predicateType": "https://example.org/type",
        "predicate": {"a": 1},
    }


def test_further_digests_of_a_subject_do_not_matter():
    subject = {"digest": {"sha256": DIGEST.hex, "sha512": "00"}, "uri": "x"}
    assert statement.read(changed(subject=[subject])).subject == (Subject("", DIGEST),)


def test_as_many_subjects_as_are_allowed_are_read_and_one_more_is_refused():
    subject = {"name": "x", "digest": {"sha256": DIGEST.hex}}
    assert (
        len(statement.read(changed(subject=[subject] * limits.STATEMENT_SUBJECTS)).subject)
        == limits.STATEMENT_SUBJECTS
    )
    finding = refused(changed(subject=[subject] * (limits.STATEMENT_SUBJECTS + 1)))
    assert finding.code == "statement-malformed"
    assert "1025 subjects" in finding.message


def test_as_many_digests_as_are_allowed_are_read_and_one_more_is_refused():
    digests = {f"d{n}": "00" for n in range(limits.STATEMENT_DIGESTS - 1)} | {"sha256": DIGEST.hex}
    statement.read(changed(subject=[{"digest": digests}]))
    finding = refused(changed(subject=[{"digest": {**digests, "more": ""}}]))
    assert finding.code == "statement-malformed"


def test_the_subject_that_is_wrong_is_named():
    good = {"digest": {"sha256": DIGEST.hex}}
    finding = refused(changed(subject=[good, {"digest": {"sha256": "00"}}]))
    assert "subject[1]" in finding.message


def test_an_unknown_key_is_named_in_few_printable_letters():
    finding = refused(changed(**{"\x1b[2J" * 100: 1}))
    assert finding.message.isprintable()
    assert len(finding.message) < 200


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_by_their_code(data):
    assert refused(data).code in ("statement-malformed", "statement-type")


@settings(max_examples=200)
@given(
    st.sampled_from(["_type", "subject", "predicateType", "predicate"]),
    st.none()
    | st.integers()
    | st.text()
    | st.lists(st.none())
    | st.dictionaries(st.text(), st.text()),
)
def test_whatever_stands_in_a_field_is_read_or_refused_by_its_code(field, value):
    data, allowed = changed(**{field: value}), {"statement-malformed", "statement-type", ""}
    assert code(data) in allowed


def code(data):
    """Why it is refused, nothing where it isn't."""
    try:
        statement.read(data)
    except InputError as error:
        return error.findings[0].code
    return ""
