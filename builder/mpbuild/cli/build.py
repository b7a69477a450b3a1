"""``mpbuild build``: packages from targets."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpbuild.app.build import memo
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.workspace.targets import labels
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.base.units import human_size
from mpbuild.cli.accelerators import several_accelerators
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.cli.signing import Signing


@click.command("build")
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
@several_accelerators(
    "An image and a PEX for this one only; may be given again. With some left out, the "
    "package is a partial one."
)
@click.option("--output", metavar="DIR", help="Write the complete OCI layout of one TARGET there.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="At most N actions at once; default: as many as processors.",
)
@click.option("--offline", is_flag=True, help="Fetch nothing: what the locks name must be here.")
@click.option(
    "--sandbox",
    type=click.Choice(["bwrap", "none"]),
    default="bwrap",
    show_default=True,
    help="none: steps run as plain processes, and the record says not hermetic.",
)
@click.option("--sign", is_flag=True, help="Attach a signed provenance; needs --key.")
@click.option("--key", metavar="FILE", help="With --sign: the private key.")
@click.option(
    "--builder-id",
    metavar="ID",
    help="With --sign: who builds; default: urn:mpbuild:builder:local.",
)
@click.pass_obj
def command(
    session: Session,
    targets: tuple[str, ...],
    names: tuple[str, ...],
    output: str | None,
    jobs: int | None,
    key: str | None,
    builder_id: str | None,
    *,
    offline: bool,
    sandbox: str,
    sign: bool,
) -> None:
    """Build the package of each TARGET; default: of all in the workspace."""
    signing = _signing(session, key, builder_id, sign=sign)
    accelerators = [Accelerator(name) for name in names]
    options = BuildOptions(tuple(accelerators), jobs or 0, offline, sandbox)
    root = session.root
    found = labels(root, targets, session.directory)
    if output and len(found) != 1:
        raise InputError(
            f"--output takes one target, and {len(found)} are meant: {', '.join(found)}",
            hint="build them one by one",
            code=Code.USAGE,
        )
    results = []
    for label in found:
        started = time.monotonic()
        slot = memo.MemoKey(session.store_path, root, label, options)
        result = memo.find(slot)
        if result is None or (signing and not signing.proven(result)):
            result = _build(session, label, options)
        result["seconds"] = round(time.monotonic() - started, 3)
        result["statements"] = [signing.sign(result)] if signing else []
        if output:
            _write(session, result, output)
        results.append(result)
    session.emit({"targets": results}, lambda: "\n".join(map(_text, results)))


def _signing(
    session: Session, key: str | None, builder_id: str | None, *, sign: bool
) -> "Signing | None":
    if not sign:
        if key or builder_id:
            raise InputError("--key and --builder-id go with --sign", code=Code.USAGE)
        return None
    if key is None:
        raise InputError("--sign needs --key", hint="`mpbuild keygen` makes one", code=Code.USAGE)
    from mpbuild.cli.signing import Signing

    return Signing(session, key, builder_id)


def _build(session: Session, label: Label, options: BuildOptions) -> dict[str, Any]:
    from mpbuild.app.build.build import build
    from mpbuild.cli.progress import Progress

    with Progress(session) as progress:
        return build(session.workspace(), label, session.store(), options, progress)


def _write(session: Session, result: dict[str, Any], output: str) -> None:
    from mpbuild.package.write_layout import write_layout

    folder = Path(session.directory, output)
    write_layout(session.store(), Digest(result["package"]["digest"]), folder)
    result["output"] = str(folder)


def _text(result: dict[str, Any]) -> str:
    package, actions = result["package"], result["actions"]
    lines = [
        f"{result['label']}  {package['digest']}",
        f"  package  {human_size(package['size'])}"
        + ("  partial: not every accelerator" if package["partial"] else "")
        + ("" if result["hermetic"] else "  not hermetic: steps ran outside of a sandbox"),
    ]
    lines += [
        f"  image    {image['accelerator']:<5} {image['digest']}  {human_size(image['size'])}"
        for image in result["images"]
    ]
    lines += [
        f"  pex      {pex['accelerator']:<5} {pex['digest']}  {human_size(pex['size'])}"
        for pex in result["pex"]
    ]
    model = result["model"]
    lines.append(f"  model          {model['digest']}  {human_size(model['size'])}")
    lines.append(
        f"  actions  {actions['total']}: {actions['run']} run, {actions['cached']} cached"
        f"  ({result['seconds']:.1f} s)"
    )
    for statement in result["statements"]:
        lines.append(f"  signed   {statement['predicateType']}  {statement['bundle']}")
    if "output" in result:
        lines.append(f"  layout   {result['output']}")
    return "\n".join(lines)
