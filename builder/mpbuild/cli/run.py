"""``mpbuild run``: answers one request."""

import sys
from pathlib import Path

import click

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import InputError
from mpbuild.cli.accelerators import one_accelerator
from mpbuild.cli.session import Session


@click.command("run")
@click.argument("ref", metavar="TARGET|REF")
@one_accelerator("The accelerator of the image; default: the package's first, cpu if there is one.")
@click.option(
    "--input",
    "request",
    default="-",
    metavar="FILE|-",
    help="The inference request, JSON of the Open Inference Protocol v2; default: standard input.",
)
@click.pass_obj
def command(session: Session, ref: str, accelerator: str | None, request: str) -> int:
    """Answer one inference request and write the response to standard output.

    Runs the image's entry point in a sandbox over the image's layers. REF is an OCI layout (DIR or
    DIR@sha256:...), sha256:... in the store, or a TARGET, which is built if necessary.
    """
    from mpbuild.app.run import predict
    from mpbuild.cli.refs import BuildRequest, locate
    from mpbuild.package.package import Package

    data = _request(session, request)
    store = session.store()
    chosen = Accelerator(accelerator) if accelerator else None
    package = Package(locate(session, ref, store, BuildRequest(chosen)))
    status, response = predict(package, store, chosen, data)
    session.write(response)
    return status


def _request(session: Session, request: str) -> bytes:
    if request == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(session.directory, request).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=request) from error
