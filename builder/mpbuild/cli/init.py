"""``mpbuild init``: a workspace and a first model."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.app.workspace.init import InitPlan


@click.command("init")
@click.argument("folder", default=".", metavar="[DIR]")
@click.pass_obj
def command(session: Session, folder: str) -> None:
    """Make a first model that builds as it is, and a workspace around it where there is none.

    Inside a workspace the model is made in DIR itself, else in DIR/first. No file is overwritten.
    """
    from mpbuild.app.workspace.init import make, plan

    beginning = plan(Path(session.directory, folder))
    make(beginning)
    start = session.directory.resolve()
    created = [_seen_from(start, path) for path in beginning.files]
    session.emit(
        {"created": created},
        lambda: _text(beginning, created),
        findings=_kept(beginning),
    )


def _kept(beginning: "InitPlan") -> list[Finding]:
    """A .gitignore that was there stays as it is; whoever wrote it should know what is missing."""
    from mpbuild.app.workspace.init import IGNORED
    from mpbuild.app.workspace.targets import WORKSPACE_FILE

    made = {path.name for path in beginning.files}
    if WORKSPACE_FILE not in made or IGNORED in made:
        return []
    return [
        Finding(
            Code.USAGE,
            "exists already and stays as it is",
            str(beginning.root / IGNORED),
            "let it ignore dist/ and lockfiles/**/wheels/",
            severity="note",
        )
    ]


def _text(beginning: "InitPlan", created: list[str]) -> str:
    """What there is now, and the commands that come next, as they work where this one was given."""
    here = Path.cwd()
    inside = here.is_relative_to(beginning.root)
    request = _seen_from(here if inside else beginning.root, beginning.model / "request.json")
    commands = [
        f"mpbuild lock {beginning.label}",
        f"mpbuild build {beginning.label}",
        f"mpbuild run {beginning.label} --input {shlex.quote(request)}",
    ]
    if not inside:
        commands.insert(0, f"cd {shlex.quote(os.path.relpath(beginning.root, here))}")
    made = [f"created  {path}" for path in created]
    return "\n".join([*made, "", "Next:", *(f"  {line}" for line in commands)])


def _seen_from(start: Path, path: Path) -> str:
    return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)
