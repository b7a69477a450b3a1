"""``mpbuild schema``: the JSON Schema of what people write."""

import json

import click


@click.command("schema")
@click.argument("name", type=click.Choice(["model", "workspace"]), default="model")
def command(name: str) -> None:
    """Print the JSON Schema of model.toml (model) or mpbuild.toml (workspace)."""
    from mpbuild.spec.schema import json_schema

    print(json.dumps(json_schema(name), indent=2))  # noqa: T201 - the result
