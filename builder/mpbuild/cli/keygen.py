"""``mpbuild keygen``: creates a key pair for signing."""

import os
import sys
from pathlib import Path

import click

from mpbuild.cli.session import Session


@click.command("keygen")
@click.argument("path", metavar="PATH")
@click.pass_obj
def command(session: Session, path: str) -> None:
    """Create an ECDSA P-256 key pair: PATH.key (private) and PATH.pub.

    The private key is encrypted with MPBUILD_KEY_PASSPHRASE, or else with a passphrase read from
    the terminal. An empty passphrase leaves it unencrypted, readable by its owner only.
    """
    from mpbuild.app.sign import passphrase
    from mpbuild.effects.signers.key_signer import make_pair

    secret = passphrase()
    if secret is None and sys.stdin.isatty():
        typed: str = click.prompt(
            "Passphrase (empty for none)",
            default="",
            hide_input=True,
            confirmation_prompt=True,
            show_default=False,
            err=True,
        )
        secret = os.fsencode(typed)
    private, public = make_pair(Path(session.directory, path), secret or None)
    found = {"private": str(private), "public": str(public)}
    session.emit(found, lambda: f"private key  {private}\npublic key   {public}")
