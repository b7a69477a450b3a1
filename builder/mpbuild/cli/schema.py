"""``mpbuild schema``: the JSON Schema of what people write."""

from typing import Literal

import click

from mpbuild.cli.session import Session


@click.command("schema")
@click.argument("name", type=click.Choice(["model", "workspace"]), default="model")
@click.pass_obj
def command(session: Session, name: Literal["model", "workspace"]) -> None:
    """Print the JSON Schema of model.toml (model) or mpbuild.toml (workspace)."""
    from mpbuild.spec.schema import json_schema

    session.write_json(json_schema(name))
