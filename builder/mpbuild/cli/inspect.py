"""``mpbuild inspect``: shows the contents of a package."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from mpbuild.base.conversion import plain
from mpbuild.base.units import human_size
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.app.inspect import PackageReport

MARKS = {(False, False): " ", (True, False): "*", (False, True): "=", (True, True): "#"}


@click.command("inspect")
@click.argument("ref", metavar="TARGET|REF")
@click.option(
    "--against",
    metavar="REF",
    help="Mark the blobs that another version has, too.",
)
@click.pass_obj
def command(session: Session, ref: str, against: str | None) -> None:
    """Show the images, PEX files and model artifact of a package with their blobs and sizes.

    A blob is marked * if several of them share it, = if --against has it, too, and # if both. REF
    is an OCI layout (DIR or DIR@sha256:...), sha256:... in the store, or a TARGET, which is built
    if necessary.
    """
    from mpbuild.app.inspect import inspect
    from mpbuild.cli.refs import BuildRequest, locate
    from mpbuild.package.package import Package
    from mpbuild.verify.verdict import printable

    store = session.store()
    location = locate(session, ref, store, BuildRequest())
    other = Package(locate(session, against, store)) if against else None
    report = inspect(Package(location), other)
    session.emit(_json(report), lambda: "\n".join(map(printable, _text(report))))


def _json(report: "PackageReport") -> dict[str, Any]:
    """Without the keys that only a comparison has, if there was none."""
    document: dict[str, Any] = plain(report)
    if report.other is None:
        del document["other"]
        for child in document["children"]:
            for layer in child["layers"]:
                del layer["same"]
    return document


def _text(report: "PackageReport") -> Iterator[str]:
    yield f"{report.name} {report.version}  {report.digest}"
    yield f"  {human_size(report.size)}, of which {human_size(report.shared)} are shared (*)"
    if other := report.other:
        yield (
            f"  {human_size(other.same)} are in {other.version} (=),"
            f" {human_size(other.new)} are not: {other.digest}"
        )
    for child in report.children:
        yield (f"  {child.kind:<5} {child.accelerator:<4} {child.digest}  {human_size(child.size)}")
        for layer in child.layers:
            mark = MARKS[layer.shared, bool(layer.same)]
            yield f"  {mark} {layer.digest[7:19]}  {human_size(layer.size):>10}  {layer.title}"
    kinds = {
        child.digest: f"{child.kind} {child.accelerator}".rstrip() for child in report.children
    }
    for referrer in report.referrers:
        subject = kinds.get(referrer.subject, "package")
        yield f"  attached to {subject}: {referrer.type}  {referrer.digest}"
