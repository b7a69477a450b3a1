"""Signing: provenance from this user's own record, attached where the package lies."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mpbuild.attest.provenance import LOCAL_BUILDER, provenance
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import AnswerError, Finding, InputError
from mpbuild.effects.files import user_state
from mpbuild.effects.signers.key_signer import KeySigner
from mpbuild.formats.evidence import bundle, dsse, record, statement
from mpbuild.formats.oci.annotations import ACCELERATOR, PARTIAL
from mpbuild.package.package import KINDS, Package
from mpbuild.package.referrers import Referrers
from mpbuild.verify.public_keys import read_public_key

PASSPHRASE = "MPBUILD_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable


def open_signer(key: Path) -> KeySigner:
    """The key in a file, opened with the passphrase in MPBUILD_KEY_PASSPHRASE if there is one."""
    return KeySigner(key, passphrase() or None)


def passphrase() -> bytes | None:
    """What MPBUILD_KEY_PASSPHRASE says, in whatever encoding; None where it isn't set."""
    return os.environb.get(os.fsencode(PASSPHRASE))


def sign(
    package: Package, attachments: Referrers, signer: KeySigner, builder_id: str | None
) -> dict[str, Any]:
    """Attach a provenance of ``package`` to its index and to each child.

    Only what this user's own build recorded is signed: AnswerError (record-unproven) otherwise.
    """
    found = own_record(package.digest)
    made = provenance(found, tuple(_subjects(package)), builder_id or LOCAL_BUILDER)
    payload = statement.encode(made)
    data = _bundle(payload, signer)
    for subject in (package.descriptor, *package.index.manifests):
        attachments.attach(subject, data, made.predicate_type)
    return {
        "predicateType": made.predicate_type,
        "bundle": str(Digest.of(data)),
        "subject": [{"name": s.name, "digest": str(s.digest)} for s in made.subject],
    }


def warnings(package: Package) -> Iterator[Finding]:
    """What a signer should know before others rely on the signature."""
    partial = package.index.annotations.get(PARTIAL)
    if partial:
        yield Finding(
            Code.PACKAGE_PARTIAL,
            f"the package has only {partial} of the accelerators in its spec",
            str(package.digest),
            "whoever deploys it may want all of them: build without --accelerator",
            "warning",
        )


def own_record(package: Digest) -> record.Record:
    """The record of this user's own build of ``package``."""
    data = user_state.record_of(package)
    if data is None:
        raise _unproven(f"this user has no record of building {package}")
    try:
        found = record.decode(data)
    except InputError as error:
        problem = error.findings[0].message
        raise _unproven(f"the record of building {package} is damaged: {problem}") from error
    if found.package != package:
        raise _unproven(f"the record kept for {package} is that of building {found.package}")
    return found


def _unproven(message: str) -> AnswerError:
    return AnswerError(
        message,
        code=Code.RECORD_UNPROVEN,
        hint="build it here, or `mpbuild build --sign`: only own builds are vouched for",
    )


def _subjects(package: Package) -> Iterator[statement.Subject]:
    """The package and each child; names are for people, digests are what counts."""
    yield statement.Subject(package.name, package.digest)
    for kind in KINDS:
        for child in package.children(kind):
            accelerator = (child.annotations or {}).get(ACCELERATOR, "")
            name = accelerator if kind == "image" else f"{kind}-{accelerator}".rstrip("-")
            yield statement.Subject(f"{package.name}:{name}", child.digest)


def _bundle(payload: bytes, signer: KeySigner) -> bytes:
    """A key-mode bundle as stock cosign makes and reads it."""
    signature = signer.sign(dsse.pae(dsse.IN_TOTO, payload))
    public = read_public_key(signer.public_pem, where="the signer's key")
    envelope = dsse.Envelope(payload, dsse.IN_TOTO, (dsse.Signature(signature),))
    return bundle.encode(bundle.Bundle(envelope, public.hint))
