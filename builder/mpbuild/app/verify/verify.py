"""Verifies a package: authenticates its provenance, derives its index again, reaches a verdict."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.store.store import Store
from mpbuild.package.location import PackageLocation
from mpbuild.package.package import Package
from mpbuild.package.referrers import bundles
from mpbuild.verify.authenticate import SignatureVerifier
from mpbuild.verify.choose import ProvenanceChoice, choose, examine
from mpbuild.verify.completeness import PackagePart
from mpbuild.verify.verdict import LeafEvidence, Verdict, presentable

if TYPE_CHECKING:
    from mpbuild.app.verify.checkout import Checkout
    from mpbuild.package.image_contents import ImageContents

UNCHECKED_WITH_KEY = (
    "who holds the key: the verdict rests on the key alone",
    "steps, bytecode and PEX bootstraps were not run again: the signer vouches for them",
)
UNCHECKED_WITHOUT_RECOMPUTING = (
    "the contents of the package: leaves were not read and derived blobs not recomputed;"
    " the signer vouches for them"
)


def refusal(error: InputError) -> Verdict:
    """Returns the verdict on a package that cannot be located."""
    return Verdict(digest="", findings=presentable(error.findings))


def verify(
    location: PackageLocation,
    verifier: SignatureVerifier,
    store: Store,
    *,
    recompute: bool = True,
    source: "Checkout | None" = None,
    offline: bool = False,
) -> Verdict:
    """Verifies a package and collects every finding; does not stop at the first.

    ``recompute`` derives the package again, ``source`` is a checkout to compare it with. With
    ``offline``, inputs that neither store nor package have are missing instead of fetched.
    """
    findings: list[Finding] = []
    contents: list[ImageContents] = []
    leaves: set[PackagePart] = set()
    required: set[PackagePart] = set()
    # 1. Check the place itself, such as blobs that do not match their names.
    with _collecting(findings):
        findings += location.integrity()
    # 2. Authenticate every bundle attached to the index (DSSE; SLSA v1.0, "Verifying artifacts").
    examination = examine(bundles(location.referrers, location.digest), verifier, location.digest)
    with _collecting(findings):
        # 3. Read the index and every leaf of the images.
        package = Package(location)
        findings += _image_count(package)
        if recompute or source:
            contents += read_images(package, store, findings)
            leaves.update(leaf for content in contents for leaf in content.leaves)
        # 4. Compare with the checkout.
        if source and contents:
            findings += source.compare(contents)
            required.update(source.step_inputs(contents))
        # 5. Derive the whole package again.
        if recompute and contents:
            leaves |= _recompute(package, contents, store, findings, offline=offline)
    # 6. Choose a provenance that covers every leaf and every input.
    required.update(part for content in contents for part in content.everything)
    required |= leaves
    choice = choose(examination, sorted(required))
    return Verdict(
        digest=location.digest,
        findings=presentable([*findings, *choice.findings]),
        evidence=choice.evidence,
        leaves=leaf_evidence(choice, leaves),
        unchecked=(
            UNCHECKED_WITH_KEY
            if recompute
            else (*UNCHECKED_WITH_KEY, UNCHECKED_WITHOUT_RECOMPUTING)
        ),
    )


def leaf_evidence(
    choice: ProvenanceChoice, leaves: Iterable[PackagePart]
) -> tuple[LeafEvidence, ...]:
    """Returns each leaf with the signer whose provenance names it."""
    resolved = choice.provenance.resolved if choice.provenance else frozenset()
    return tuple(
        LeafEvidence(
            kind=kind,
            name=name,
            digest=digest,
            vouched_by=(choice.signer,) if (kind, digest) in resolved else (),
        )
        for kind, name, digest in sorted(leaves)
    )


def _image_count(package: Package) -> Iterator[Finding]:
    """Reports a package without images, and accelerators with several."""
    accelerators = [image.accelerator for image in package.images()]
    if not accelerators:
        yield Finding(Code.CONTENT_MISSING, "the package has no image", str(package.digest))
    for accelerator, count in Counter(accelerators).items():
        if count > 1:
            message = f"the package has {count} images for {accelerator!r:.80}"
            yield Finding(Code.DERIVATION_MISMATCH, message, str(package.digest))


def read_images(package: Package, store: Store, findings: list[Finding]) -> "list[ImageContents]":
    """Reads the leaves of each image; of several for one accelerator only the first."""
    from mpbuild.package.image_contents import disagreements, read_contents

    contents = []
    images = {image.accelerator: image for image in reversed(list(package.images()))}
    for image in reversed(images.values()):
        with _collecting(findings):
            content = read_contents(image, package.blobs, store)
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
    """Derives the package again; returns the leaves in its artifacts."""
    from mpbuild.app.fetch.input_supplier import InputSupplier
    from mpbuild.app.verify.rederive import rederive
    from mpbuild.package.artifact_contents import (
        differing_documents,
        read_artifacts,
        unpaired_children,
    )

    unpaired = list(unpaired_children(package))
    findings += unpaired
    artifacts = read_artifacts(package, contents[0].model, store)
    findings += differing_documents(contents, artifacts)
    if not unpaired:
        inputs = InputSupplier(store, package.blobs, offline=offline)
        findings += rederive(package, contents, artifacts, store, inputs).findings
    return set(artifacts.leaves)


@contextlib.contextmanager
def _collecting(findings: list[Finding]) -> Iterator[None]:
    """Turns errors of the package into findings; environment failures still propagate."""
    try:
        yield
    except InputError as error:
        findings += error.findings
