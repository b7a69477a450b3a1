"""The rule for bytecode: what an environment's interpreter compiles, as one action. Version 1."""

from importlib.resources import files

from mpbuild.derive import image_paths
from mpbuild.derive.image_layers import BYTECODE_FILE
from mpbuild.derive.layers import bytecode_layer
from mpbuild.engine.action import Action
from mpbuild.engine.graph import Ref, Task
from mpbuild_rules.environment import ENVIRONMENT

VERSION = 1
SCRIPT = (files("mpbuild_rules") / "bytecode_script.py").read_text(encoding="utf-8")

_HOUR_MS = 3_600_000


def rule(name: str, python: str, root: tuple[Ref, ...], /) -> Task:
    """The task that compiles the standard library and all wheels of the environment ``name``.

    ``root`` are the environment's layers, ``python`` is its interpreter, such as ``"3.11"``.
    """
    action = Action(
        rule="bytecode",
        version=VERSION,
        executor="sandbox",
        command=(
            # No site: it would run what .pth files of wheels say.
            *("python", "-S", "-P", "-W", "ignore", "-c", SCRIPT),
            f"/{image_paths.VENV}/bin/python",
            f"{{out}}/{BYTECODE_FILE}",
            *(f"/{folder}" for folder in bytecode_layer.folders(python)),
        ),
        environment=ENVIRONMENT,
        parameters={"python": python},
        outputs=(BYTECODE_FILE,),
    )
    return Task(name=f"bytecode:{name}", action=action, root=root, timeout_ms=_HOUR_MS)
