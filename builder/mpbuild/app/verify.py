"""Verifying: evidence joined with the package, and the whole index derived again from leaves."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from mpbuild.app.attachments import Attachments
from mpbuild.app.inputs import Inputs
from mpbuild.app.leaves import Contents, read_contents
from mpbuild.app.rederive import rederive
from mpbuild.app.reference import Package, Place
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.store import Store
from mpbuild.verify.key_mode import Accepted, accept
from mpbuild.verify.keys import PublicKey
from mpbuild.verify.provenance import judge_completeness
from mpbuild.verify.verdict import LeafSeen, Verdict

KEY_MODE = (
    "who the holder of the key is: the verdict rests on the key alone",
    "the steps were not run again: their outputs are as the signer says",
)
NOT_DERIVED = "derived blobs were not recomputed: they are as the signer says"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified, and how."""

    place: Place
    attachments: Attachments
    digest: Digest
    keys: tuple[PublicKey, ...]
    recompute: bool
    sound: Callable[[], list[Finding]]
    compare: Callable[[Contents], list[Finding]] | None = None


def refused(error: InputError) -> Verdict:
    """The verdict on what can't even be found."""
    return Verdict(digest="", findings=error.findings)


def verify(question: Question, store: Store, inputs: Inputs) -> Verdict:
    """Every finding about the package, collected: verifying doesn't stop at the first."""
    findings: list[Finding] = []
    with _collecting(findings):
        findings += question.sound()
    accepted = accept(question.attachments.bundles(question.digest), question.keys, question.digest)
    findings += accepted.findings
    contents: list[Contents] = []
    with _collecting(findings):
        package = Package(question.place, question.digest)
        contents = list(_contents(package, store, findings))
        findings += _joined(accepted, contents)
        if question.compare and contents:
            findings += question.compare(contents[0])
        if question.recompute:
            findings += rederive(package, contents, store, inputs)
    return Verdict(
        digest=question.digest,
        findings=tuple(_unique(findings)),
        evidence=accepted.evidence,
        leaves=tuple(_leaves(accepted, contents)),
        unchecked=KEY_MODE if question.recompute else (*KEY_MODE, NOT_DERIVED),
    )


def _contents(package: Package, store: Store, findings: list[Finding]) -> Iterator[Contents]:
    for image in package.images():
        with _collecting(findings):
            yield read_contents(image, package.place, store)


def _joined(accepted: Accepted, contents: Sequence[Contents]) -> Iterator[Finding]:
    """Whether the provenance names every input of the locks, and every leaf."""
    if accepted.provenance is None:
        return
    needed = {
        (kind, name, digest) for content in contents for kind, name, digest in content.everything()
    }
    yield from judge_completeness(accepted.provenance, sorted(needed))


def _leaves(accepted: Accepted, contents: Sequence[Contents]) -> Iterator[LeafSeen]:
    vouched = set(accepted.provenance.digests) if accepted.provenance else set()
    seen = {
        (leaf.kind, leaf.name, digest)
        for content in contents
        for leaf, digest in content.leaves.items()
    }
    for kind, name, digest in sorted(seen):
        by = (accepted.signer,) if digest in vouched else ()
        yield LeafSeen(kind=kind, name=name, digest=digest, vouched_by=by)


@contextlib.contextmanager
def _collecting(findings: list[Finding]) -> Iterator[None]:
    """An error of what is being verified becomes its finding; what we lack is not its fault."""
    try:
        yield
    except InputError as error:
        findings += error.findings


def _unique(findings: Sequence[Finding]) -> list[Finding]:
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(dict.fromkeys(findings), key=lambda finding: order[finding.severity])
