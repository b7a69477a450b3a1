"""``mpbuild lock --check=cross``: the locks of a target put to a second resolver."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mpbuild.app.locks import Environment, read_python
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import Finding
from mpbuild.effects.host import processors
from mpbuild.effects.uv import Uv
from mpbuild.effects.views import View
from mpbuild.resolve import cross


def check(
    environments: Sequence[Environment], views: Mapping[Accelerator, View], uv: Uv
) -> list[Finding]:
    """Where pip or pip-tools disagree with the Python locks of ``environments``, which exist.

    ``views`` are what each accelerator's environments see of the indexes. Codes and errors are
    those of ``resolve.cross.check``.
    """
    questions = [
        cross.Question(
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
    with ThreadPoolExecutor(processors()) as pool:
        return [finding for found in pool.map(cross.check, questions) for finding in found]
