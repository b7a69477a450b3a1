"""``mpbuild run``: predict once."""

import sys
from pathlib import Path

import click

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import InputError
from mpbuild.cli.accelerators import one_accelerator
from mpbuild.cli.session import Session


@click.command("run")
@click.argument("ref", metavar="TARGET|REF")
@one_accelerator("Of which image; default: the package's first, cpu where it has one.")
@click.option(
    "--input",
    "request",
    default="-",
    metavar="FILE|-",
    help="The infer request, JSON of the Open Inference Protocol v2; default: standard input.",
)
@click.pass_obj
def command(session: Session, ref: str, accelerator: str | None, request: str) -> int:
    """Predict once: an infer request in, the infer response to standard output.

    It runs in a sandbox over the layers of the package's own image. REF is an OCI layout (DIR, or
    DIR@sha256:...), sha256:... in the store, or a TARGET, which is built if need be.
    """
    from mpbuild.app.run import predict
    from mpbuild.cli.refs import BuildRequest, locate

    data = _request(session, request)
    store = session.store()
    chosen = Accelerator(accelerator) if accelerator else None
    package = locate(session, ref, store, BuildRequest(chosen)).open()
    status, response = predict(package, store, chosen, data)
    session.write(response)
    return status


def _request(session: Session, request: str) -> bytes:
    if request == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(session.directory, request).read_bytes()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=request) from error
