"""In-toto statements (in-toto/attestation, Statement v1): a predicate about subjects.

Digests match, names don't count. Work is bounded: nobody needs 100,000 subjects.
"""

import re
from typing import Any

import msgspec

from mpbuild.base import canonical, limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"

_HEX = re.compile(r"[0-9a-f]{64}")


class Subject(msgspec.Struct, frozen=True):
    """Something by its sha256; ``name`` is for people."""

    name: str
    digest: Digest


class Statement(msgspec.Struct, frozen=True):
    """What is said (``predicate``, of the type named) about which subjects."""

    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Any]


def encode(statement: Statement) -> bytes:
    """The canonical JSON of a statement."""
    return canonical.encode(
        {
            "_type": TYPE,
            "subject": [
                {"name": subject.name, "digest": {"sha256": subject.digest.hex}}
                for subject in statement.subject
            ],
            "predicateType": statement.predicate_type,
            "predicate": statement.predicate,
        }
    )


def read(data: bytes) -> Statement:
    """A statement, strictly; InputError has the code statement-type or statement-malformed."""
    try:
        document = canonical.decode(data)
    except InputError as error:
        raise _malformed(error.findings[0].message[:200]) from error
    if not isinstance(document, dict):
        raise _malformed("it is not an object")
    if document.get("_type") != TYPE:
        raise InputError(
            f"its _type is {str(document.get('_type'))[:80]!r}, not {TYPE}",
            code=Code.STATEMENT_TYPE,
        )
    unknown = document.keys() - {"_type", "subject", "predicateType", "predicate"}
    if unknown:
        raise _malformed(f"it has an unknown {min(unknown)!r:.80}")
    predicate_type, predicate = document.get("predicateType"), document.get("predicate")
    if not isinstance(predicate_type, str) or not predicate_type:
        raise _malformed("predicateType is not text")
    if not isinstance(predicate, dict):
        raise _malformed("predicate is not an object")
    return Statement(_subjects(document.get("subject")), predicate_type, predicate)


def _subjects(value: Any) -> tuple[Subject, ...]:
    if not isinstance(value, list) or not value:
        raise _malformed("it has no subject")
    if len(value) > limits.STATEMENT_SUBJECTS:
        raise _malformed(f"it has {len(value)} subjects; {limits.STATEMENT_SUBJECTS} are allowed")
    return tuple(_subject(item, f"subject[{index}]") for index, item in enumerate(value))


def _subject(value: Any, where: str) -> Subject:
    if not isinstance(value, dict) or not isinstance(value.get("digest"), dict):
        raise _malformed(f"{where} has no digest")
    name, digests = value.get("name", ""), value["digest"]
    if not isinstance(name, str):
        raise _malformed(f"{where}.name is not text")
    if len(digests) > limits.STATEMENT_DIGESTS:
        raise _malformed(
            f"{where} has {len(digests)} digests; {limits.STATEMENT_DIGESTS} are allowed"
        )
    sha256 = digests.get("sha256")
    if not isinstance(sha256, str) or not _HEX.fullmatch(sha256):
        raise _malformed(f"{where} has no sha256 of 64 lower-case digits")
    return Subject(name, Digest.from_hex(sha256))


def _malformed(problem: str) -> InputError:
    return InputError(problem, code=Code.STATEMENT_MALFORMED)
