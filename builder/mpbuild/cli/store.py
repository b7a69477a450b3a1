"""``mpbuild store``: counts, verifies and removes the contents of the store."""

import click

from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.units import human_size, size_in_bytes
from mpbuild.cli.session import Session


@click.group("store", no_args_is_help=False)
def command() -> None:
    """Inspect and maintain the store of blobs and results."""


@command.command("stats")
@click.pass_obj
def stats(session: Session) -> None:
    """Count blobs, derivations and unpacked layers."""
    from mpbuild.effects.store.maintenance import stats as count

    found = count(session.store())
    payload = {
        "path": str(session.store_path),
        "blobs": found.blobs,
        "bytes": found.bytes,
        "derived": found.derived,
        "trees": found.trees,
        "tree_bytes": found.tree_bytes,
    }
    session.emit(
        payload,
        lambda: (
            f"{session.store_path}\n"
            f"  blobs    {found.blobs:>6}  {human_size(found.bytes)}\n"
            f"  derived  {found.derived:>6}  rederived on demand\n"
            f"  trees    {found.trees:>6}  {human_size(found.tree_bytes)}"
        ),
    )


@command.command("verify")
@click.pass_obj
def verify(session: Session) -> int:
    """Hash every blob and remove damaged ones.

    Exit status 1: a blob was damaged.
    """
    from mpbuild.effects.store.maintenance import verify as check

    damaged = check(session.store())
    findings = [
        Finding(
            Code.CONTENT_MISMATCH,
            f"the blob {digest} was damaged and has been removed",
            str(session.store_path),
            "run `mpbuild fetch` or `mpbuild build` again",
        )
        for digest in damaged
    ]
    payload = {"missing": [str(digest) for digest in damaged], "removed": {"blobs": len(damaged)}}
    text = "all blobs match their digests" if not damaged else ""
    session.emit(payload, lambda: text, ok=not damaged, findings=findings)
    return 1 if damaged else 0


@command.command("gc")
@click.option(
    "--maximum",
    metavar="SIZE",
    help="The maximum size, such as 20GiB; default: store.maximum of mpbuild.toml.",
)
@click.pass_obj
def gc(session: Session, maximum: str | None) -> None:
    """Remove leftovers, then the least recently used entries.

    Stops when the store is no larger than SIZE. All that it removes can be fetched or built again.
    """
    from mpbuild.effects.store.maintenance import collect

    limit = size_in_bytes(maximum) if maximum else _workspace_maximum(session)
    removed = collect(session.store(), limit)
    counts = ", ".join(f"{n} {kind}" for kind, n in removed.counts.items()) or "nothing"
    session.emit(
        {"removed": {**removed.counts, "bytes": removed.bytes}},
        lambda: f"removed {counts} ({human_size(removed.bytes)})",
    )


def _workspace_maximum(session: Session) -> int | None:
    """The workspace's own limit; none outside of a workspace."""
    try:
        _ = session.root
    except InputError:
        return None
    return session.workspace().settings.store.maximum
