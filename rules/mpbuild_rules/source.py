"""The rule for source distributions: one action calls one hook of the build backend. Version 1."""

from importlib.resources import files

from mpbuild.rule_api import STEP_VARIABLES, Action, Hook, SourceData, Task

VERSION = 1
SCRIPT = (files("mpbuild_rules") / "source_script.py").read_text(encoding="utf-8")

_HOUR_MS = 3_600_000
_OUTPUTS: dict[Hook, tuple[str, ...]] = {
    "requires": ("requires.json",),
    "wheel": ("filename", "wheel"),
}


def rule(hook: Hook, data: SourceData, /) -> Task:
    """The task that calls ``hook`` of the build backend."""
    action = Action(
        rule=f"source-{hook}",
        version=VERSION,
        executor="sandbox",
        inputs={data.filename: data.source},
        command=(
            # PEP 517: imports from the source tree only by way of backend-path.
            *("python", "-P", "-u", "-c", SCRIPT),
            *(hook, data.filename, data.backend, "{out}", *data.backend_path),
        ),
        environment=STEP_VARIABLES,
        parameters={"python": data.python},
        outputs=_OUTPUTS[hook],
    )
    return Task(
        name=f"source-{hook}:{data.filename}", action=action, root=data.root, timeout_ms=_HOUR_MS
    )
