"""The rule for PEX files: runs pex for the files that every PEX for a Python shares. Version 1.

``.bootstrap`` is the same for every Python. ``__main__.py`` has the Python's name in its first line
and the hash of its PEX, for which this action writes zeros.
"""

from mpbuild.rule_api import (
    PEX_BOOTSTRAP_FILE,
    PEX_MAIN_FILE,
    PEX_PYTHON,
    STEP_VARIABLES,
    Action,
    Ref,
    Task,
)

VERSION = 1

_TIMEOUT_MS = 600_000
# Uses pex as a library: its command line makes no PEX for a Python that is not installed.
_PROGRAM = f"""\
import os, sys, tempfile
from pathlib import Path

out, python = Path(sys.argv[1]), sys.argv[2]
with tempfile.TemporaryDirectory() as folder:
    os.environ["PEX_ROOT"] = os.path.join(folder, "root")
    from pex.interpreter_constraints import InterpreterConstraints
    from pex.layout import Layout
    from pex.pex_builder import PEXBuilder

    builder = PEXBuilder()
    builder.info.interpreter_constraints = InterpreterConstraints.parse(f"CPython=={{python}}.*")
    builder.set_shebang(f"/usr/bin/env python{{python}}")
    made = Path(folder, "pex")
    builder.build(
        str(made),
        bytecode_compile=False,
        deterministic=True,
        layout=Layout.PACKED,
        compress=False,
    )
    main, before, after = made.joinpath("__main__.py").read_text().partition(builder.info.pex_hash)
    out.joinpath("{PEX_MAIN_FILE}").write_text(main + "0" * len(before) + after)
    out.joinpath("{PEX_BOOTSTRAP_FILE}").write_bytes(made.joinpath(".bootstrap").read_bytes())
"""


def rule(name: str, python: str, root: tuple[Ref, ...], /) -> Task:
    """The task ``name`` for PEX files of ``python`` ("3.11"); ``root`` holds pex and its Python."""
    action = Action(
        rule="pex-bootstrap",
        version=VERSION,
        executor="sandbox",
        command=("python", "-c", _PROGRAM, "{out}", python),
        environment=STEP_VARIABLES,
        parameters={"python": PEX_PYTHON},
        outputs=(PEX_BOOTSTRAP_FILE, PEX_MAIN_FILE),
    )
    return Task(name=name, action=action, root=root, timeout_ms=_TIMEOUT_MS)
