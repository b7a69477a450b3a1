"""The rule for source distributions: a hook of their build backend as one action. Version 1."""

from importlib.resources import files

from mpbuild.engine.action import Action
from mpbuild.engine.graph import Task
from mpbuild.engine.rule import Hook, SourceData
from mpbuild_rules.environment import ENVIRONMENT

VERSION = 1
SCRIPT = (files("mpbuild_rules") / "source_script.py").read_text(encoding="utf-8")

_HOUR_MS = 3_600_000
_OUTPUTS: dict[Hook, tuple[str, ...]] = {
    "requires": ("requires.json",),
    "wheel": ("filename", "wheel"),
}


def rule(hook: Hook, data: SourceData, /) -> Task:
    """The task that lets the backend answer ``hook``."""
    action = Action(
        rule=f"source-{hook}",
        version=VERSION,
        executor="sandbox",
        inputs={data.filename: data.source},
        command=(
            # The source tree is no place to import from unless backend-path says so (PEP 517).
            *("python", "-P", "-u", "-c", SCRIPT),
            *(hook, data.filename, data.backend, "{out}", *data.backend_path),
        ),
        environment=ENVIRONMENT,
        parameters={"python": data.python},
        outputs=_OUTPUTS[hook],
    )
    return Task(
        name=f"source-{hook}:{data.filename}", action=action, root=data.root, timeout_ms=_HOUR_MS
    )
