"""``mpbuild sign``: attaches a signed provenance."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.app.sign import SignedStatement


@click.command("sign")
@click.argument("ref", metavar="TARGET|REF")
@click.option("--key", required=True, metavar="FILE", help="The private key.")
@click.option(
    "--builder-id",
    metavar="ID",
    help="The identity of the builder; default: urn:mpbuild:builder:local.",
)
@click.pass_obj
def command(session: Session, ref: str, key: str, builder_id: str | None) -> None:
    """Sign the provenance of a package that this user built, and attach it.

    Earlier signatures stay attached.
    """
    from mpbuild.app.sign import open_signer, sign, warnings
    from mpbuild.cli.refs import locate
    from mpbuild.package.package import Package

    signer = open_signer(Path(session.directory, key))
    package = Package(locate(session, ref, session.store()))
    made = sign(package, signer, builder_id)
    session.emit(
        {"statements": [json_of(made)]},
        lambda: text(made),
        findings=list(warnings(package)),
    )


def json_of(made: "SignedStatement") -> dict[str, Any]:
    """Returns a signed statement as JSON data."""
    return {
        "predicateType": made.predicate_type,
        "bundle": str(made.bundle),
        "subject": [{"name": s.name, "digest": str(s.digest)} for s in made.subjects],
    }


def text(made: "SignedStatement") -> str:
    """Returns a signed statement as text."""
    lines = [f"signed  {made.predicate_type}", f"  bundle   {made.bundle}"]
    lines += [f"  subject  {subject.digest}  {subject.name}" for subject in made.subjects]
    return "\n".join(lines)
