"""In-toto statements: a predicate about subjects (in-toto/attestation, Statement v1).

Subjects match by digest; their names don't count.
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
    """A subject, identified by its sha256; ``name`` is informative."""

    name: str
    digest: Digest


class Statement(msgspec.Struct, frozen=True):
    """A statement: subjects, and a predicate about them."""

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
    """Reads a statement; raises InputError (statement-type, statement-malformed)."""
    try:
        document = canonical.decode(data)
    except InputError as error:
        raise _malformed(error.findings[0].message[:200]) from error
    if not isinstance(document, dict):
        raise _malformed("not an object")
    if document.get("_type") != TYPE:
        raise InputError(
            f"_type is {str(document.get('_type'))[:80]!r}, not {TYPE}",
            code=Code.STATEMENT_TYPE,
        )
    unknown = document.keys() - {"_type", "subject", "predicateType", "predicate"}
    if unknown:
        raise _malformed(f"unknown key {min(unknown)!r:.80}")
    predicate_type, predicate = document.get("predicateType"), document.get("predicate")
    if not isinstance(predicate_type, str) or not predicate_type:
        raise _malformed("predicateType is not a string")
    if not isinstance(predicate, dict):
        raise _malformed("predicate is not an object")
    return Statement(_subjects(document.get("subject")), predicate_type, predicate)


def _subjects(value: Any) -> tuple[Subject, ...]:
    if not isinstance(value, list) or not value:
        raise _malformed("no subject")
    if len(value) > limits.STATEMENT_SUBJECTS:
        raise _malformed(f"{len(value)} subjects; at most {limits.STATEMENT_SUBJECTS} are allowed")
    return tuple(_subject(item, f"subject[{index}]") for index, item in enumerate(value))


def _subject(value: Any, where: str) -> Subject:
    if not isinstance(value, dict) or not isinstance(value.get("digest"), dict):
        raise _malformed(f"{where} has no digest")
    name, digests = value.get("name", ""), value["digest"]
    if not isinstance(name, str):
        raise _malformed(f"{where}.name is not a string")
    if len(digests) > limits.STATEMENT_DIGESTS:
        raise _malformed(
            f"{where} has {len(digests)} digests; at most {limits.STATEMENT_DIGESTS} are allowed"
        )
    sha256 = digests.get("sha256")
    if not isinstance(sha256, str) or not _HEX.fullmatch(sha256):
        raise _malformed(f"{where} has no sha256 of 64 lower-case hexadecimal digits")
    return Subject(name, Digest.from_hex(sha256))


def _malformed(problem: str) -> InputError:
    return InputError(problem, code=Code.STATEMENT_MALFORMED)
