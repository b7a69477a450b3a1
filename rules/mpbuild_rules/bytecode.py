"""The rule for bytecode: an environment's own interpreter compiles its modules. Version 1."""

from importlib.resources import files

from mpbuild.rule_api import (
    BYTECODE_FILE,
    INTERPRETER,
    STEP_VARIABLES,
    Action,
    Ref,
    Task,
    module_folders,
)

VERSION = 1
SCRIPT = (files("mpbuild_rules") / "bytecode_script.py").read_text(encoding="utf-8")

_HOUR_MS = 3_600_000


def rule(name: str, python: str, root: tuple[Ref, ...], /) -> Task:
    """The task that compiles the standard library and all wheels of the environment ``name``.

    ``root`` has the environment's layers; ``python`` is its interpreter, such as ``"3.11"``.
    """
    action = Action(
        rule="bytecode",
        version=VERSION,
        executor="sandbox",
        command=(
            # Without site: it would run code of wheels' .pth files.
            *("python", "-S", "-P", "-W", "ignore", "-c", SCRIPT),
            f"/{INTERPRETER}",
            f"{{out}}/{BYTECODE_FILE}",
            *(f"/{folder}" for folder in module_folders(python)),
        ),
        environment=STEP_VARIABLES,
        parameters={"python": python},
        outputs=(BYTECODE_FILE,),
    )
    return Task(name=f"bytecode:{name}", action=action, root=root, timeout_ms=_HOUR_MS)
