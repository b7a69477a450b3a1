"""``mpbuild schema``: prints the JSON Schema of specs and of dossier documents."""

import click

from mpbuild.cli.session import Session

_WRITTEN = ("model", "workspace")
_MADE = ("dossier-contract", "dossier-environment", "dossier-graph", "dossier-model")


@click.command("schema")
@click.argument("name", type=click.Choice([*_WRITTEN, *_MADE]), default="model", metavar="[NAME]")
@click.pass_obj
def command(session: Session, name: str) -> None:
    """Print the JSON Schema of a format.

    NAME is model for model.toml, workspace for mpbuild.toml or, for a document of a package's
    dossier, one of dossier-contract, dossier-environment, dossier-graph and dossier-model.
    """
    if name in _MADE:
        from mpbuild.formats.dossier import encoding

        session.write_json(encoding.json_schema(name.removeprefix("dossier-")))
    else:
        from mpbuild.spec.schema import json_schema

        session.write_json(json_schema(name))
