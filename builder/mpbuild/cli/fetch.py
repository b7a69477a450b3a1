"""``mpbuild fetch``: everything the locks name, for offline building."""

import click

from mpbuild.app.targets import labels
from mpbuild.base.units import human_size
from mpbuild.cli.progress import Progress
from mpbuild.cli.session import Session


@click.command("fetch")
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
@click.option(
    "--wheels", is_flag=True, help="Also into wheels/ beside each lock, for uv, pip and pex."
)
@click.pass_obj
def command(session: Session, targets: tuple[str, ...], *, wheels: bool) -> None:
    """Bring into the store what locks name; default: the locks of all targets.

    Afterwards `mpbuild build --offline` needs no network.
    """
    from mpbuild.app.fetch import fetch_locks, place_wheels
    from mpbuild.app.locks import read_locks

    workspace, store = session.workspace(), session.store()
    files = size = placed = 0
    with Progress(session) as progress:
        for label in labels(workspace.root, targets, session.directory):
            target = workspace.target(label)
            locks = read_locks(target)
            more, more_size = fetch_locks(target, locks, store, progress)
            files, size = files + more, size + more_size
            placed += place_wheels(target, locks, store) if wheels else 0
    text = f"fetched {files} files, {human_size(size)}" if files else "everything is here"
    if wheels:
        text += f"; placed {placed} wheels"
    session.emit({"files": files, "bytes": size}, lambda: text)
