"""``mpbuild export``: writes a part of a package, for tools that do not read packages."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.base.units import human_size
from mpbuild.cli.accelerators import one_accelerator
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.package.package import Package


@click.command("export")
@click.argument("ref", metavar="TARGET|REF")
@click.option(
    "--image",
    metavar="TAR",
    help="Write one image to this file, for `podman load`, `docker load` and `skopeo copy`.",
)
@click.option("--pex", metavar="DIR", help="Write one PEX to this folder, which Python runs.")
@click.option("--lock", metavar="FILE|-", help="Write the Python lock (PEP 751) to this file.")
@one_accelerator("The accelerator; default: the package's first, cpu if there is one.")
@click.pass_obj
def command(
    session: Session,
    ref: str,
    image: str | None,
    pex: str | None,
    lock: str | None,
    accelerator: str | None,
) -> None:
    """Write a part of a package to a file or folder.

    Exporting the same part again gives the same bytes. REF is an OCI layout (DIR or
    DIR@sha256:...), sha256:... in the store, or a TARGET, which is built if necessary.
    """
    from mpbuild.cli.refs import BuildRequest, locate
    from mpbuild.package.package import Package

    if [image, pex, lock].count(None) != 2:
        raise InputError("exactly one of --image, --pex and --lock is required", code=Code.USAGE)
    chosen = Accelerator(accelerator) if accelerator else None
    package = Package(locate(session, ref, session.store(), BuildRequest(chosen)))
    if lock == "-":
        from mpbuild.app.export.export_lock import python_lock

        _, text = python_lock(package, chosen)
        session.emit({"lock": text}, lambda: text.rstrip("\n"))
        return
    if image:
        result = _image(package, chosen, Path(session.directory, image))
    elif pex:
        result = _pex(package, chosen, Path(session.directory, pex))
    else:
        result = _lock(package, chosen, Path(session.directory, str(lock)))
    from mpbuild.verify.verdict import printable

    session.emit(result, lambda: "\n".join(map(printable, _text(result))))


def _image(package: "Package", chosen: Accelerator | None, target: Path) -> dict[str, Any]:
    from mpbuild.app.export.export_image import export_image

    exported = export_image(package, chosen, target)
    return {
        "kind": "image",
        "accelerator": exported.accelerator,
        "digest": str(exported.digest),
        "path": str(target),
        "size": exported.size,
        "name": exported.name,
    }


def _pex(package: "Package", chosen: Accelerator | None, target: Path) -> dict[str, Any]:
    from mpbuild.app.export.pex_folder import export_pex

    exported = export_pex(package, chosen, target)
    return {
        "kind": "pex",
        "accelerator": exported.accelerator,
        "digest": str(exported.digest),
        "path": str(target),
        "size": exported.size,
    }


def _lock(package: "Package", chosen: Accelerator | None, target: Path) -> dict[str, Any]:
    from mpbuild.app.export.export_lock import export_lock

    exported = export_lock(package, chosen, target)
    return {
        "kind": "lock",
        "accelerator": exported.accelerator,
        "digest": str(exported.digest),
        "path": str(target),
        "size": exported.size,
    }


def _text(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{result['path']}  {human_size(result['size'])}",
        f"  {result['kind']:<8} {result['accelerator']:<5} {result['digest']}",
    ]
    if "name" in result:
        lines.append(f"  name     {result['name']}")
    return lines
