"""Verifying: evidence joined with the package, and the whole index derived again from leaves."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.store.store import Store
from mpbuild.package.package import BlobSource, Package
from mpbuild.package.referrers import Referrers
from mpbuild.verify.choose import AcceptedProvenance, accept, examine_all
from mpbuild.verify.completeness import PackagePart
from mpbuild.verify.public_keys import PublicKey
from mpbuild.verify.verdict import LeafEvidence, Verdict, told

if TYPE_CHECKING:
    from mpbuild.app.verify.checkout import Checkout
    from mpbuild.package.image_contents import ImageContents

KEY_MODE = (
    "who the holder of the key is: the verdict rests on the key alone",
    "nothing was run again: what steps, compiling and pex made is as the signer says",
)
NOT_DERIVED = (
    "what is in the package: leaves were not read and derived blobs not recomputed,"
    " all of it is as the signer says"
)


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified, and how."""

    place: BlobSource
    attachments: Referrers
    digest: Digest
    keys: tuple[PublicKey, ...]
    recompute: bool
    sound: Callable[[], list[Finding]]
    source: "Checkout | None" = None


def refused(error: InputError) -> Verdict:
    """The verdict on what can't even be found."""
    return Verdict(digest="", findings=told(error.findings))


def verify(question: Verification, store: Store, *, offline: bool) -> Verdict:
    """Every finding about the package, collected: verifying doesn't stop at the first.

    ``offline``: inputs that the store lacks are not fetched, and so are missing.
    """
    findings: list[Finding] = []
    with _collecting(findings):
        findings += question.sound()
    bundles = question.attachments.bundles(question.digest)
    examined = examine_all(bundles, question.keys, question.digest)
    contents: list[ImageContents] = []
    leaves: set[PackagePart] = set()
    needed: set[PackagePart] = set()
    with _collecting(findings):
        package = Package(question.place, question.digest)
        findings += _listed(package)
        if question.recompute or question.source:
            contents += read_images(package, store, findings)
            leaves.update(leaf for content in contents for leaf in content.leaves)
        if question.source and contents:
            findings += question.source.compare(contents)
            needed.update(question.source.step_inputs(contents))
        if question.recompute and contents:
            leaves |= _recompute(package, contents, store, findings, offline=offline)
    needed.update(part for content in contents for part in content.everything)
    needed |= leaves
    accepted = accept(examined, sorted(needed))
    return Verdict(
        digest=question.digest,
        findings=told([*findings, *accepted.findings]),
        evidence=accepted.evidence,
        leaves=tuple(_leaves(accepted, leaves)),
        unchecked=KEY_MODE if question.recompute else (*KEY_MODE, NOT_DERIVED),
    )


def _listed(package: Package) -> Iterator[Finding]:
    """Whether there is anything to check, and each thing once."""
    accelerators = [image.accelerator for image in package.images()]
    if not accelerators:
        yield Finding(Code.CONTENT_MISSING, "the package holds no image", str(package.digest))
    for accelerator, count in Counter(accelerators).items():
        if count > 1:
            message = f"the package has {count} images for {accelerator!r:.80}"
            yield Finding(Code.DERIVATION_MISMATCH, message, str(package.digest))


def read_images(package: Package, store: Store, findings: list[Finding]) -> "list[ImageContents]":
    """What each image holds; of several for one accelerator only the first is looked into."""
    from mpbuild.package.image_contents import disagreements, read_contents

    contents = []
    images = {image.accelerator: image for image in reversed(list(package.images()))}
    for image in reversed(images.values()):
        with _collecting(findings):
            content = read_contents(image, package.place, store)
            findings += content.findings
            contents.append(content)
    findings += disagreements(contents)
    return contents


def _recompute(
    package: Package,
    contents: "Sequence[ImageContents]",
    store: Store,
    findings: list[Finding],
    *,
    offline: bool,
) -> set[PackagePart]:
    """Derive the package again; the leaves that its artifacts hold."""
    from mpbuild.app.fetch.input_supplier import InputSupplier
    from mpbuild.app.verify.rederive import rederive
    from mpbuild.package.artifact_contents import differing, listed, read_artifacts

    uneven = list(listed(package))
    findings += uneven
    artifacts = read_artifacts(package, contents[0].model, store)
    findings += differing(contents, artifacts)
    if not uneven:
        inputs = InputSupplier(store, package.place, offline=offline)
        findings += rederive(package, contents, artifacts, store, inputs).findings
    return set(artifacts.leaves)


def _leaves(accepted: AcceptedProvenance, leaves: Iterable[PackagePart]) -> Iterator[LeafEvidence]:
    vouched = accepted.provenance.resolved if accepted.provenance else frozenset()
    for kind, name, digest in sorted(leaves):
        by = (accepted.signer,) if (kind, digest) in vouched else ()
        yield LeafEvidence(kind=kind, name=name, digest=digest, vouched_by=by)


@contextlib.contextmanager
def _collecting(findings: list[Finding]) -> Iterator[None]:
    """An error of what is being verified becomes its finding; what we lack is not its fault."""
    try:
        yield
    except InputError as error:
        findings += error.findings
