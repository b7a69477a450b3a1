"""Verifying: evidence joined with the package, and the whole index derived again from leaves."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from mpbuild.app.attachments import Attachments
from mpbuild.app.reference import Package, Place
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.store import Store
from mpbuild.verify.key_mode import Accepted, accept, examine_all
from mpbuild.verify.keys import PublicKey
from mpbuild.verify.provenance import Part
from mpbuild.verify.verdict import LeafSeen, Verdict, told

if TYPE_CHECKING:
    from mpbuild.app.checkout import Checkout
    from mpbuild.app.leaves import Contents

KEY_MODE = (
    "who the holder of the key is: the verdict rests on the key alone",
    "nothing was run again: what steps, compiling and pex made is as the signer says",
)
NOT_DERIVED = (
    "what is in the package: leaves were not read and derived blobs not recomputed,"
    " all of it is as the signer says"
)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified, and how."""

    place: Place
    attachments: Attachments
    digest: Digest
    keys: tuple[PublicKey, ...]
    recompute: bool
    sound: Callable[[], list[Finding]]
    source: "Checkout | None" = None


def refused(error: InputError) -> Verdict:
    """The verdict on what can't even be found."""
    return Verdict(digest="", findings=told(error.findings))


def verify(question: Question, store: Store, *, offline: bool) -> Verdict:
    """Every finding about the package, collected: verifying doesn't stop at the first.

    ``offline``: inputs that the store lacks are not fetched, and so are missing.
    """
    findings: list[Finding] = []
    with _collecting(findings):
        findings += question.sound()
    bundles = question.attachments.bundles(question.digest)
    examined = examine_all(bundles, question.keys, question.digest)
    contents: list[Contents] = []
    leaves: set[Part] = set()
    needed: set[Part] = set()
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
        yield Finding("content-missing", "the package holds no image", str(package.digest))
    for accelerator, count in Counter(accelerators).items():
        if count > 1:
            message = f"the package has {count} images for {accelerator!r:.80}"
            yield Finding("derivation-mismatch", message, str(package.digest))


def read_images(package: Package, store: Store, findings: list[Finding]) -> "list[Contents]":
    """What each image holds; of several for one accelerator only the first is looked into."""
    from mpbuild.app.leaves import disagreements, read_contents

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
    contents: "Sequence[Contents]",
    store: Store,
    findings: list[Finding],
    *,
    offline: bool,
) -> set[Part]:
    """Derive the package again; the leaves that its artifacts hold."""
    from mpbuild.app.artifacts import differing, listed, read_artifacts
    from mpbuild.app.inputs import Inputs
    from mpbuild.app.rederive import rederive

    uneven = list(listed(package))
    findings += uneven
    artifacts = read_artifacts(package, contents[0].model, store)
    findings += differing(contents, artifacts)
    if not uneven:
        inputs = Inputs(store, package.place, offline=offline)
        findings += rederive(package, contents, artifacts, store, inputs).findings
    return set(artifacts.leaves)


def _leaves(accepted: Accepted, leaves: Iterable[Part]) -> Iterator[LeafSeen]:
    vouched = accepted.provenance.resolved if accepted.provenance else frozenset()
    for kind, name, digest in sorted(leaves):
        by = (accepted.signer,) if (kind, digest) in vouched else ()
        yield LeafSeen(kind=kind, name=name, digest=digest, vouched_by=by)


@contextlib.contextmanager
def _collecting(findings: list[Finding]) -> Iterator[None]:
    """An error of what is being verified becomes its finding; what we lack is not its fault."""
    try:
        yield
    except InputError as error:
        findings += error.findings
