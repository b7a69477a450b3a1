"""Compares the locks of a target with a second resolver (``mpbuild lock --check=cross``)."""

import os
from collections.abc import Mapping, Sequence

from mpbuild.app.lock.lock_files import LockEnvironment, read_python
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import Finding
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.uv import Uv
from mpbuild.effects.threads import at_once
from mpbuild.resolve import cross_check

# They mostly wait for an index.
_AT_ONCE = 8


def check(
    environments: Sequence[LockEnvironment], views: Mapping[Accelerator, IndexView], uv: Uv
) -> list[Finding]:
    """Returns disagreements of pip and pip-tools with the Python locks of ``environments``.

    The locks exist. ``views`` has each accelerator's view of the indexes. Codes and errors are
    those of resolve/cross_check.py.
    """
    questions = [
        cross_check.CrossCheck(
            lock=lock,
            wanted=environment.python,
            view=views[environment.serves],
            file=environment.where(environment.python_file),
            uv=uv,
            environ=os.environ,
        )
        for environment in environments
        if (lock := read_python(environment)) is not None
    ]
    with at_once(_AT_ONCE) as pool:
        answers = [
            pool.submit(compare, question)
            for question in questions
            for compare in (cross_check.by_pip, cross_check.by_pip_tools)
        ]
        return [finding for answer in answers for finding in answer.result()]
