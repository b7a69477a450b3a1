"""``mpbuild export``: a part of a package, for tools that don't read the package."""

from pathlib import Path
from typing import Any

import click

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.units import human_size
from mpbuild.cli.session import Session


@click.command("export")
@click.argument("ref", metavar="TARGET|REF")
@click.option(
    "--image",
    "tar",
    required=True,
    metavar="TAR",
    help="Write one image there, for `podman load`, `docker load` and `skopeo copy`.",
)
@click.option(
    "--accelerator",
    type=click.Choice([str(accelerator) for accelerator in Accelerator]),
    help="Of which image; default: the package's first, cpu where it has one.",
)
@click.pass_obj
def command(session: Session, ref: str, tar: str, accelerator: str | None) -> None:
    """Write a part of a package to a file.

    Exporting the same part again makes the same bytes. REF is an OCI layout (DIR, or
    DIR@sha256:...), sha256:... in the store, or a TARGET, which is built if need be.
    """
    from mpbuild.app.export import export_image
    from mpbuild.cli.refs import locate

    target = Path(session.directory, tar)
    package = locate(session, ref, session.store(), build=True).open()
    chosen = Accelerator(accelerator) if accelerator else None
    exported = export_image(package, chosen, target)
    result = {
        "path": str(target),
        "digest": str(exported.digest),
        "size": exported.size,
        "name": exported.name,
        "accelerator": exported.accelerator,
    }
    session.emit(result, lambda: _text(result))


def _text(result: dict[str, Any]) -> str:
    return "\n".join(
        (
            f"{result['path']}  {human_size(result['size'])}",
            f"  image    {result['accelerator']:<5} {result['digest']}",
            f"  name     {result['name']}",
        )
    )
