"""The rule for PEX files: pex makes what every PEX for a Python begins with. Version 1.

``.bootstrap`` is the same whatever the PEX is for. ``__main__.py`` differs by its first line, which
names the Python, and by the hash of its PEX, which is left as zeros here.
"""

from mpbuild.derive.pex import BOOTSTRAP_FILE, MAIN_FILE, PYTHON
from mpbuild.engine.action import Action
from mpbuild.engine.graph import Ref, Task
from mpbuild_rules.environment import ENVIRONMENT

VERSION = 1

_TIMEOUT_MS = 600_000
# Of pex's own parts, as its command line gives no PEX for a Python that isn't there.
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
    out.joinpath("{MAIN_FILE}").write_text(main + "0" * len(before) + after)
    out.joinpath("{BOOTSTRAP_FILE}").write_bytes(made.joinpath(".bootstrap").read_bytes())
"""


def rule(name: str, python: str, root: tuple[Ref, ...], /) -> Task:
    """The task ``name`` for PEX files of ``python`` ("3.11"); ``root`` holds pex and its Python."""
    action = Action(
        rule="pex-bootstrap",
        version=VERSION,
        executor="sandbox",
        command=("python", "-c", _PROGRAM, "{out}", python),
        environment=ENVIRONMENT,
        parameters={"python": PYTHON},
        outputs=(BOOTSTRAP_FILE, MAIN_FILE),
    )
    return Task(name=name, action=action, root=root, timeout_ms=_TIMEOUT_MS)
