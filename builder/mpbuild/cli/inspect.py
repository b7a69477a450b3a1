"""``mpbuild inspect``: what is in a package."""

from collections.abc import Iterator
from typing import Any

import click

from mpbuild.base.units import human_size
from mpbuild.cli.session import Session

MARKS = {(False, False): " ", (True, False): "*", (False, True): "=", (True, True): "#"}


@click.command("inspect")
@click.argument("ref", metavar="TARGET|REF")
@click.option(
    "--against",
    metavar="REF",
    help="Another version: what of this package is in that one, too.",
)
@click.pass_obj
def command(session: Session, ref: str, against: str | None) -> None:
    """Show the images, PEX files and model artifact of a package with their blobs and sizes.

    Marked * is what several of them share, = what the version of --against has, and # what is
    both. REF is an OCI layout (DIR, or DIR@sha256:...), sha256:... in the store, or a TARGET,
    which is built if need be.
    """
    from mpbuild.app.inspect import inspect
    from mpbuild.cli.refs import BuildRequest, locate
    from mpbuild.verify.verdict import printable

    store = session.store()
    located = locate(session, ref, store, BuildRequest())
    other = locate(session, against, store).open() if against else None
    found = inspect(located.open(), located.attachments, other)
    session.emit(found, lambda: "\n".join(map(printable, _text(found))))


def _text(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['name']} {found['version']}  {found['digest']}"
    yield f"  {human_size(found['size'])}, of which {human_size(found['shared'])} are shared (*)"
    if "other" in found:
        other = found["other"]
        yield (
            f"  {human_size(other['same'])} are in {other['version']} (=),"
            f" {human_size(other['new'])} are not: {other['digest']}"
        )
    for child in found["children"]:
        yield (
            f"  {child['kind']:<5} {child['accelerator']:<4} {child['digest']}"
            f"  {human_size(child['size'])}"
        )
        for layer in child["layers"]:
            mark = MARKS[layer["shared"], layer.get("same", False)]
            size = human_size(layer["size"])
            yield f"  {mark} {layer['digest'][7:19]}  {size:>10}  {layer['title']}"
    kinds = {c["digest"]: f"{c['kind']} {c['accelerator']}".rstrip() for c in found["children"]}
    for referrer in found["referrers"]:
        subject = kinds.get(referrer["subject"], "package")
        yield f"  attached to {subject}: {referrer['type']}  {referrer['digest']}"
