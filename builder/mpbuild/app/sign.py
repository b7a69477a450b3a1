"""Signs a package: attaches a provenance made from the record of this user's own build."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mpbuild.attest.provenance import LOCAL_BUILDER, provenance
from mpbuild.attest.signing import Signer, signed
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import AnswerError, Finding, InputError
from mpbuild.effects.files import user_state
from mpbuild.effects.signers.key_signer import KeySigner
from mpbuild.formats.evidence import record, statement
from mpbuild.formats.oci.annotations import ACCELERATOR, PARTIAL
from mpbuild.package.package import KINDS, Package

PASSPHRASE = "MPBUILD_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable


class SignedStatement(msgspec.Struct, frozen=True):
    """A statement that was attached: its predicate type, its subjects, its bundle's digest."""

    predicate_type: str
    bundle: Digest
    subjects: tuple[statement.Subject, ...]


def open_signer(key: Path) -> KeySigner:
    """Opens the key in a file, with the passphrase in MPBUILD_KEY_PASSPHRASE if it is set."""
    return KeySigner(key, passphrase() or None)


def passphrase() -> bytes | None:
    """Returns the bytes of MPBUILD_KEY_PASSPHRASE; None if it is not set."""
    return os.environb.get(os.fsencode(PASSPHRASE))


def sign(package: Package, signer: Signer, builder_id: str | None) -> SignedStatement:
    """Attaches a provenance of ``package`` to its index and to each child.

    Raises AnswerError (record-unproven) unless this user's own build is on record.
    """
    own = own_record(package.digest)
    made = provenance(own, tuple(_subjects(package)), builder_id or LOCAL_BUILDER)
    data = signed(made, signer)
    for subject in (package.descriptor, *package.index.manifests):
        package.referrers.attach(subject, data, made.predicate_type)
    return SignedStatement(made.predicate_type, Digest.of(data), made.subject)


def warnings(package: Package) -> Iterator[Finding]:
    """Yields what a signer should know before others rely on the signature."""
    partial = package.index.annotations.get(PARTIAL)
    if partial:
        yield Finding(
            Code.PACKAGE_PARTIAL,
            f"the package has only {partial} of the accelerators in its spec",
            str(package.digest),
            "build without --accelerator to include all of them",
            "warning",
        )


def own_record(package: Digest) -> record.Record:
    """Returns the record of this user's own build of ``package``.

    Raises AnswerError (record-unproven) if there is none, or it is damaged.
    """
    data = user_state.record_of(package)
    if data is None:
        raise _unproven(f"this user has no record of building {package}")
    try:
        own = record.decode(data)
    except InputError as error:
        problem = error.findings[0].message
        raise _unproven(f"the record of building {package} is damaged: {problem}") from error
    if own.package != package:
        raise _unproven(f"the record of {package} describes a build of {own.package}")
    return own


def _unproven(message: str) -> AnswerError:
    return AnswerError(
        message,
        code=Code.RECORD_UNPROVEN,
        hint="build it here, or use `mpbuild build --sign`: only own builds can be signed",
    )


def _subjects(package: Package) -> Iterator[statement.Subject]:
    """The package and each child; names are informative, digests identify."""
    yield statement.Subject(package.name, package.digest)
    for kind in KINDS:
        for child in package.children(kind):
            accelerator = (child.annotations or {}).get(ACCELERATOR, "")
            name = accelerator if kind == "image" else f"{kind}-{accelerator}".rstrip("-")
            yield statement.Subject(f"{package.name}:{name}", child.digest)
