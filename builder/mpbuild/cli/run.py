"""``mpbuild run``: answers one request."""

import sys
from pathlib import Path

import click

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
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
    from mpbuild.base import limits
    from mpbuild.effects.files.whole import read_whole

    file = sys.stdin.buffer if request == "-" else Path(session.directory, request)
    where = "standard input" if request == "-" else request
    return read_whole(file, limits.INFERENCE_REQUEST_BYTES, where, Code.SPEC_INVALID)
