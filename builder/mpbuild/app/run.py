"""Answers one request with the entry point of an image, in the sandbox over the image's layers."""

from typing import Literal

from mpbuild.app.build.executors import open_sandbox
from mpbuild.base.accelerator import Accelerator
from mpbuild.effects.sandbox.sandbox import SandboxSpec
from mpbuild.effects.store.store import Store
from mpbuild.package.package import Package


def predict(
    package: Package,
    store: Store,
    accelerator: Accelerator | None,
    request: bytes | Literal["inherit"],
) -> tuple[int, bytes]:
    """Returns the exit status and the output of the entry point: an inference response or an error.

    ``request`` is an inference request (Open Inference Protocol v2). Logs go to standard error.
    """
    image = package.image(accelerator)
    execution = image.config.config
    completed = open_sandbox(store).run(
        SandboxSpec(
            layers=package.trees(image),
            command=execution.entrypoint,
            environment=dict(_variable(entry) for entry in execution.env),
            cwd=execution.working_dir,
            stdin=request,
            stdout="keep",
            stderr="inherit",
        )
    )
    return completed.status, completed.stdout


def _variable(entry: str) -> tuple[str, str]:
    """Name and value; an entry without ``=`` has an empty value."""
    name, _, value = entry.partition("=")
    return name, value
