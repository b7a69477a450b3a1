"""The option ``--accelerator``, which several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mpbuild.base.accelerator import Accelerator

F = TypeVar("F", bound=Callable[..., Any])

_ONE = click.Choice([str(accelerator) for accelerator in Accelerator])


def one_accelerator(description: str) -> Callable[[F], F]:
    """``--accelerator A`` as ``accelerator``: its name, or None."""
    return click.option("--accelerator", type=_ONE, help=description)


def several_accelerators(description: str) -> Callable[[F], F]:
    """``--accelerator A``, which may be repeated, as ``names``."""
    return click.option("--accelerator", "names", multiple=True, type=_ONE, help=description)
