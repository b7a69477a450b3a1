"""``mpbuild inspect``: what is in a package."""

from typing import Any

import click

from mpbuild.base.units import human_size
from mpbuild.cli.session import Session


@click.command("inspect")
@click.argument("ref", metavar="TARGET|REF")
@click.pass_obj
def command(session: Session, ref: str) -> None:
    """Show the images of a package with their layers, lowest first.

    REF is an OCI layout (DIR, or DIR@sha256:...), sha256:... in the store, or a TARGET, which is
    built if need be.
    """
    from mpbuild.app.inspect import inspect
    from mpbuild.cli.refs import locate

    package = locate(session, ref, session.store(), build=True).open()
    found = inspect(package)
    session.emit(found, lambda: _text(found))


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['name']} {found['version']}  {found['digest']}"]
    for child in found["children"]:
        lines.append(
            f"  {child['kind']} {child['accelerator']}  {child['digest']}"
            f"  {human_size(child['size'])}"
        )
        lines += [
            f"    {layer['digest'][7:19]}  {human_size(layer['size']):>10}  {layer['title']}"
            for layer in child["layers"]
        ]
    return "\n".join(lines)
