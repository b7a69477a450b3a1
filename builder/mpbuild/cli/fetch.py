"""``mpbuild fetch``: fetches locked files, for building offline."""

import click

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.units import human_size
from mpbuild.cli.accelerators import several_accelerators
from mpbuild.cli.progress import Progress
from mpbuild.cli.session import Session


@click.command("fetch")
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
@several_accelerators("Fetch only what a build for this accelerator needs; may be repeated.")
@click.option(
    "--wheels",
    is_flag=True,
    help="Also copy wheels into wheels/ beside each lock, for uv, pip and pex.",
)
@click.pass_obj
def command(
    session: Session, targets: tuple[str, ...], names: tuple[str, ...], *, wheels: bool
) -> None:
    """Fetch locked files into the store.

    Without a TARGET, fetch for every target of the workspace. Afterwards `mpbuild build --offline`
    needs no network.
    """
    from mpbuild.app.build.toolchain import read_toolchain
    from mpbuild.app.fetch.fetch import fetch, place_wheels, wanted_environments
    from mpbuild.app.lock.lock_files import environments, read_locks
    from mpbuild.app.workspace.workspace import OpenWorkspace

    accelerators = [Accelerator(name) for name in names]
    workspace, store = OpenWorkspace(session.root, session.snapshot), session.store()
    toolchain = read_toolchain(session.installation.toolchain)
    files = size = placed = 0
    with Progress(session) as progress:
        for label in session.labels(targets):
            target = workspace.target(label)
            locks = read_locks(target)
            wanted = wanted_environments(target, accelerators) if names else environments(target)
            fetched = fetch(target, locks, wanted, toolchain, store, progress)
            files, size = files + fetched.files, size + fetched.bytes
            placed += place_wheels(target, locks, wanted, store) if wheels else 0
    text = f"fetched {files} files, {human_size(size)}" if files else "nothing to fetch"
    if wheels:
        text += f"; placed {placed} wheels"
    session.emit({"files": files, "bytes": size}, lambda: text)
