"""``mpbuild init``: creates a first model and its workspace."""

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
    """Create a first model that is ready to build.

    Inside a workspace the model is created in DIR itself. Otherwise DIR becomes a workspace, with
    the model in DIR/first. Overwrites no file.
    """
    from mpbuild.app.workspace.init import create_files, plan_init

    plan = plan_init(Path(session.directory, folder))
    create_files(plan)
    start = session.directory.resolve()
    created = [_seen_from(start, path) for path in plan.files]
    session.emit({"created": created}, lambda: _text(plan, created), findings=_kept_files(plan))


def _kept_files(plan: "InitPlan") -> list[Finding]:
    """A note about an existing .gitignore, with the lines that it should have."""
    from mpbuild.app.workspace.init import IGNORED
    from mpbuild.app.workspace.targets import WORKSPACE_FILE

    made = {path.name for path in plan.files}
    if WORKSPACE_FILE not in made or IGNORED in made:
        return []
    return [
        Finding(
            Code.USAGE,
            "already exists and is left unchanged",
            str(plan.root / IGNORED),
            "add dist/ and lockfiles/**/wheels/ to it",
            severity="note",
        )
    ]


def _text(plan: "InitPlan", created: list[str]) -> str:
    """The created files, and the next commands as they work in the current folder."""
    here = Path.cwd()
    inside = here.is_relative_to(plan.root)
    request = _seen_from(here if inside else plan.root, plan.model / "request.json")
    commands = [
        f"mpbuild lock {plan.label}",
        f"mpbuild build {plan.label}",
        f"mpbuild run {plan.label} --input {shlex.quote(request)}",
    ]
    if not inside:
        commands.insert(0, f"cd {shlex.quote(os.path.relpath(plan.root, here))}")
    made = [f"created  {path}" for path in created]
    return "\n".join([*made, "", "Next:", *(f"  {line}" for line in commands)])


def _seen_from(start: Path, path: Path) -> str:
    return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)
