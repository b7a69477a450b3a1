"""``mpbuild build``: builds the packages of targets."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mpbuild.app.build import memo
from mpbuild.app.build.build_result import BuildResult
from mpbuild.app.build.options import BuildOptions
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.base.units import human_size
from mpbuild.cli.accelerators import several_accelerators
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.app.sign import SignedStatement
    from mpbuild.cli.signing import Signing


@click.command("build")
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
@several_accelerators(
    "Build the image and the PEX of this accelerator only; may be repeated. A package that lacks "
    "accelerators of the spec is partial."
)
@click.option("--output", metavar="DIR", help="Write the complete OCI layout of one TARGET to DIR.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Run at most N actions at once; default: one for each processor.",
)
@click.option(
    "--offline", is_flag=True, help="Fetch nothing; fail if an input is not in the store."
)
@click.option(
    "--sandbox",
    type=click.Choice(["bwrap", "none"]),
    default="bwrap",
    show_default=True,
    help="none: run steps as plain processes; the build is recorded as not hermetic.",
)
@click.option("--sign", is_flag=True, help="Attach a signed provenance; requires --key.")
@click.option("--key", metavar="FILE", help="With --sign: the file of the private key.")
@click.option(
    "--builder-id",
    metavar="ID",
    help="With --sign: the identity of the builder; default: urn:mpbuild:builder:local.",
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
    """Build the package of each TARGET.

    Without a TARGET, build every target of the workspace.
    """
    signing = _signing(session, key, builder_id, sign=sign)
    accelerators = [Accelerator(name) for name in names]
    options = BuildOptions(tuple(accelerators), jobs or 0, offline, sandbox)
    found = session.labels(targets)
    if output and len(found) != 1:
        raise InputError(
            f"--output takes one target, not {len(found)}: {', '.join(found)}",
            hint="build one target at a time",
            code=Code.USAGE,
        )
    reports = []
    for label in found:
        started = time.monotonic()
        result = _result(session, label, options, signing)
        statements = [signing.sign(result.package.digest)] if signing else []
        folder = _write(session, result, output) if output else None
        seconds = round(time.monotonic() - started, 3)
        reports.append(_Report(result._replace(seconds=seconds), statements, folder))
    session.emit(
        {"targets": [report.json for report in reports]} if session.json else {},
        lambda: "\n".join(report.text for report in reports),
    )


class _Report(NamedTuple):
    """A target's entry in the command's result; ``folder`` holds its layout, if one was written."""

    result: BuildResult
    statements: "list[SignedStatement]"
    folder: Path | None

    @property
    def json(self) -> dict[str, Any]:
        from mpbuild.base.conversion import plain
        from mpbuild.cli.sign import json_of

        output = {} if self.folder is None else {"output": str(self.folder)}
        return {
            **plain(self.result),
            "statements": [json_of(one) for one in self.statements],
            **output,
        }

    @property
    def text(self) -> str:
        return "\n".join(_lines(self))


def _signing(
    session: Session, key: str | None, builder_id: str | None, *, sign: bool
) -> "Signing | None":
    if not sign:
        if key or builder_id:
            raise InputError("--key and --builder-id require --sign", code=Code.USAGE)
        return None
    if key is None:
        raise InputError(
            "--sign requires --key", hint="`mpbuild keygen` creates a key", code=Code.USAGE
        )
    from mpbuild.cli.signing import Signing

    return Signing(session, key, builder_id)


def _result(
    session: Session, label: Label, options: BuildOptions, signing: "Signing | None"
) -> BuildResult:
    """The memo's result or else that of a build; signing needs this user's own build."""
    mpbuild = session.installation.identity
    key = memo.MemoKey(session.store_path, session.root, label, options, mpbuild)
    result = memo.find(key, session.snapshot)
    if result and (signing is None or signing.proven(result.package.digest)):
        return result
    return build_target(session, label, options)


def build_target(session: Session, label: Label, options: BuildOptions) -> BuildResult:
    """Builds a target and prints the progress."""
    from mpbuild.app.build.build import build
    from mpbuild.cli.progress import Progress

    with Progress(session) as progress:
        return build(
            session.snapshot, label, session.store(), options, progress, session.installation
        )


def _write(session: Session, result: BuildResult, output: str) -> Path:
    from mpbuild.package.write_layout import write_layout

    folder = Path(session.directory, output)
    write_layout(session.store(), result.package.digest, folder)
    return folder


def _lines(report: _Report) -> Iterator[str]:
    result = report.result
    package, model, actions = result.package, result.model, result.actions
    yield f"{result.label}  {package.digest}"
    yield (
        f"  package  {human_size(package.size)}"
        + ("  partial: not every accelerator" if package.partial else "")
        + ("" if result.hermetic else "  not hermetic: steps ran outside of a sandbox")
    )
    for kind, children in (("image", result.images), ("pex", result.pex)):
        for child in children:
            size = human_size(child.size)
            yield f"  {kind:<8} {child.accelerator:<5} {child.digest}  {size}"
    yield f"  model          {model.digest}  {human_size(model.size)}"
    yield (
        f"  actions  {actions.total}: {actions.run} run, {actions.cached} cached"
        f"  ({result.seconds:.1f} s)"
    )
    for statement in report.statements:
        yield f"  signed   {statement.predicate_type}  {statement.bundle}"
    if report.folder is not None:
        yield f"  layout   {report.folder}"
