"""``mpbuild sign``: attach a signed provenance."""

from pathlib import Path
from typing import Any

import click

from mpbuild.cli.session import Session


@click.command("sign")
@click.argument("ref", metavar="TARGET|REF")
@click.option("--key", required=True, metavar="FILE", help="The private key.")
@click.option("--builder-id", metavar="ID", help="Who builds; default: urn:mpbuild:builder:local.")
@click.pass_obj
def command(session: Session, ref: str, key: str, builder_id: str | None) -> None:
    """Sign the provenance of a package that this user built; adds, never replaces."""
    from mpbuild.app.sign import open_signer, sign, warnings
    from mpbuild.cli.refs import locate

    signer = open_signer(Path(session.directory, key))
    located = locate(session, ref, session.store())
    package = located.open()
    made = sign(package, located.attachments, signer, builder_id)
    session.emit(
        {"statements": [made]},
        lambda: text(made),
        findings=list(warnings(package)),
    )


def text(made: dict[str, Any]) -> str:
    """The statement for people."""
    lines = [f"signed  {made['predicateType']}", f"  bundle   {made['bundle']}"]
    lines += [f"  subject  {s['digest']}  {s['name']}" for s in made["subject"]]
    return "\n".join(lines)
