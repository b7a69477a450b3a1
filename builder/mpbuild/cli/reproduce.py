"""``mpbuild reproduce``: derives a package again and compares."""

from typing import TYPE_CHECKING, Any

import click

from mpbuild.app.build.options import BuildOptions
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.app.verify.reproduce import Reproduction


@click.command("reproduce")
@click.argument("ref", metavar="TARGET|REF")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Also rerun the actions that made leaves: steps, bytecode, PEX bootstraps.",
)
@click.option("--offline", is_flag=True, help="Fetch nothing: use the package and the store.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Run at most N actions at once; default: the number of processors.",
)
@click.pass_obj
def command(session: Session, ref: str, jobs: int | None, *, rebuild: bool, offline: bool) -> int:
    """Derive a package again from its leaves and inputs, and compare every digest.

    Needs no key: this proves what a package is made of, not who made it. Inputs come from the
    package and its inputs artifact. Exit status 0: the same; 1: differences.
    """
    from mpbuild.app.verify.reproduce import reproduce
    from mpbuild.cli.progress import Progress
    from mpbuild.cli.refs import locate
    from mpbuild.formats.archive import gzip

    gzip.prove()
    store = session.store()
    location = locate(session, ref, store)
    options = BuildOptions(jobs=jobs or 0, offline=offline)
    with Progress(session) as progress:
        found = reproduce(location, store, options, progress, rebuild=rebuild, bwrap=session.bwrap)
    findings = found.findings
    session.emit(_json(found), lambda: _text(session, found), ok=not findings, findings=findings)
    return 1 if findings else 0


def _json(found: "Reproduction") -> dict[str, Any]:
    return {
        "digest": str(found.digest),
        "derived": {"checked": found.derived.checked, "matched": found.derived.matched},
        "steps": {"checked": found.steps_checked, "matched": found.steps_matched},
        "differences": [
            {
                "path": difference.finding.where,
                "expected": difference.expected,
                "actual": difference.actual,
            }
            for difference in (*found.derived.differences, *found.differences)
        ],
        "unchecked": list(found.unchecked),
    }


def _text(session: Session, found: "Reproduction") -> str:
    good = not found.findings
    word = session.paint("REPRODUCED", "32") if good else session.paint("DIFFERENT", "31")
    derived = found.derived
    lines = [
        f"{word}  {found.digest}",
        f"  derived   {derived.matched} of {derived.checked} blobs are the same",
    ]
    if found.steps_checked:
        lines.append(
            f"  rebuilt   {found.steps_matched} of {found.steps_checked} outputs are the same"
        )
    lines += [f"  unchecked {remark}" for remark in found.unchecked]
    return "\n".join(lines)
