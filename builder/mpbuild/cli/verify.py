"""``mpbuild verify``: verifies who built a package, and from what."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.app.verify.checkout import Checkout
    from mpbuild.effects.store.store import Store
    from mpbuild.verify.authenticate import SignatureVerifier
    from mpbuild.verify.verdict import Verdict

PEX_INFO = "PEX-INFO"
PACKAGE_FAULTS = ("content-", "subject-", "bundle-")
"""Prefixes of the codes of errors that lead to a verdict; others are errors in the REF."""


@click.command("verify")
@click.argument("ref", metavar="TARGET|REF")
@click.option("--key", metavar="FILE", help="The signer's public key.")
@click.option("--source", metavar="DIR", help="Compare spec, sources and locks with this checkout.")
@click.option("--offline", is_flag=True, help="Fetch nothing: use the package and the store.")
@click.option(
    "--recompute/--no-recompute",
    default=True,
    help="Read every leaf and derive every layer again (default), or check only the signed "
    "provenance and trust the signer for the rest.",
)
@click.pass_obj
def command(
    session: Session,
    ref: str,
    key: str | None,
    source: str | None,
    *,
    offline: bool,
    recompute: bool,
) -> int:
    """Verify who built a package, from what, and that it contains nothing else.

    Requires a valid provenance of the package by the key that names every input and every leaf,
    and derives the package again. REF may also be a folder that `mpbuild export --pex` wrote.
    Exit status 0: PASSED; 1: FAILED.
    """
    from mpbuild.app.verify.verify import refusal, verify
    from mpbuild.cli.refs import locate

    verifier = _verifier(session, key)
    store = session.store()
    folder = Path(session.directory, ref)
    try:
        if (folder / PEX_INFO).is_file():
            verdict = _verify_pex(folder, verifier, store, plain=recompute and not source)
        else:
            verdict = verify(
                locate(session, ref, store),
                verifier,
                store,
                recompute=recompute,
                source=_checkout(session, source),
                offline=offline,
            )
    except InputError as error:
        if not error.findings[0].code.startswith(PACKAGE_FAULTS):
            raise
        verdict = refusal(error)
    session.emit(
        _json(verdict),
        lambda: _text(session, verdict),
        ok=verdict.passed,
        findings=verdict.findings,
    )
    return 0 if verdict.passed else 1


def _verify_pex(
    folder: Path, verifier: "SignatureVerifier", store: "Store", *, plain: bool
) -> "Verdict":
    """Verifies a folder that ``mpbuild export --pex`` wrote."""
    from mpbuild.app.export.pex_folder import verify_pex

    if not plain:
        raise InputError(
            "--source and --no-recompute do not apply to an exported PEX",
            where=str(folder),
            hint="omit them, or verify the package",
            code=Code.USAGE,
        )
    return verify_pex(folder, verifier, store)


def _verifier(session: Session, key: str | None) -> "SignatureVerifier":
    from mpbuild.base import limits
    from mpbuild.effects.files.whole import read_whole
    from mpbuild.verify.key_verifier import KeyVerifier, read_public_key

    if key is None:
        raise InputError(
            "no trusted signer",
            hint="pass the signer's public key with --key",
            code=Code.USAGE,
        )
    path = Path(session.directory, key)
    data = read_whole(path, limits.KEY_BYTES, str(path))
    return KeyVerifier([read_public_key(data, where=str(path))])


def _checkout(session: Session, source: str | None) -> "Checkout | None":
    if source is None:
        return None
    from mpbuild.app.verify.checkout import Checkout

    return Checkout(Path(session.directory, source))


def _json(verdict: "Verdict") -> dict[str, Any]:
    return {
        "verdict": "PASSED" if verdict.passed else "FAILED",
        "digest": verdict.digest,
        "evidence": [
            {
                "predicateType": used.predicate_type,
                "signer": used.signer,
                "digest": str(used.digest),
                "used": used.used,
                "builder": used.builder,
                "hermetic": used.hermetic,
            }
            for used in verdict.evidence
        ],
        "leaves": [
            {
                "kind": leaf.kind,
                "name": leaf.name,
                "digest": str(leaf.digest),
                "vouched_by": list(leaf.vouched_by),
            }
            for leaf in verdict.leaves
        ],
        "unchecked": list(verdict.unchecked),
    }


def _text(session: Session, verdict: "Verdict") -> str:
    """The verdict, the evidence it rests on, and what was not checked."""
    word = session.paint("PASSED", "32") if verdict.passed else session.paint("FAILED", "31")
    lines = [f"{word}  {verdict.digest}"]
    for used in verdict.evidence:
        if used.used:
            hermetic = "hermetic" if used.hermetic else "NOT hermetic"
            lines.append(f"  built by  {used.builder}, {hermetic}, according to the signer")
            lines.append(f"  signed by {used.signer}")
    counts: dict[str, int] = {}
    for leaf in verdict.leaves:
        counts[leaf.kind] = counts.get(leaf.kind, 0) + 1
    if counts:
        parts = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
        strangers = sum(1 for leaf in verdict.leaves if not leaf.vouched_by)
        by = "all named in the provenance" if not strangers else f"{strangers} NOT in a provenance"
        lines.append(f"  leaves    {parts}: {by}")
    lines += [f"  unchecked {remark}" for remark in verdict.unchecked]
    return "\n".join(lines)
