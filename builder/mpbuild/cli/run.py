"""``mpbuild run``: predict once."""

import sys
from pathlib import Path

import click

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import InputError
from mpbuild.cli.session import Session


@click.command("run")
@click.argument("ref", metavar="TARGET|REF")
@click.option("--accelerator", type=click.Choice(list(Accelerator)), help="Default: cpu.")
@click.option("--input", "request", default="-", metavar="FILE|-", help="The infer request.")
@click.pass_obj
def command(session: Session, ref: str, accelerator: str | None, request: str) -> int:
    """Send one infer request through the package's own image; the response goes to stdout."""
    from mpbuild.app.run import predict
    from mpbuild.cli.refs import open_ref

    data = _request(session, request)
    package, store = open_ref(session, ref)
    chosen = Accelerator(accelerator) if accelerator else None
    status, response = predict(package, store, chosen, data)
    sys.stdout.buffer.write(response)
    sys.stdout.buffer.flush()
    return status


def _request(session: Session, request: str) -> bytes:
    if request == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(session.directory, request).read_bytes()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=request) from error
