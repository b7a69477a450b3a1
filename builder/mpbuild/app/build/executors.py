"""The executors of a build: derive functions in process, steps in a sandbox or on the host."""

from typing import TYPE_CHECKING

from mpbuild.app.build.options import BuildOptions
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, ActionResult
from mpbuild.engine.protocols import Executor
from mpbuild.package.derived_layers import LayerDeriver

if TYPE_CHECKING:
    from mpbuild.effects.sandbox.sandbox import Sandbox


class _Steps:
    """Unpacks the layers of a step's root and runs the step."""

    def __init__(self, store: Store, derivation: LayerDeriver, *, sandboxed: bool) -> None:
        self.sandboxed = sandboxed
        self._store = store
        self._derivation = derivation

    def run(self, action: Action, timeout_ms: int | None) -> ActionResult:
        # Most builds find every result in the cache and need no sandbox.
        from mpbuild.effects.sandbox.host_executor import HostExecutor
        from mpbuild.effects.sandbox.step_executor import StepExecutor

        for diff_id in action.root:
            self._derivation.tree(diff_id)
        executor = (
            StepExecutor(open_sandbox(self._store), self._store)
            if self.sandboxed
            else HostExecutor(self._store)
        )
        return executor.run(action, timeout_ms)


def executors_by_kind(store: Store, options: BuildOptions) -> dict[str, Executor]:
    """The executor of each kind of action; ``options`` choose that of steps."""
    derivation = LayerDeriver(store)
    steps = sandboxed_steps if options.sandbox == "bwrap" else host_steps
    return {"derive": derivation, "sandbox": steps(store, derivation)}


def open_sandbox(store: Store) -> "Sandbox":
    """The sandbox of this machine.

    Raises EnvironmentFailureError (sandbox-unavailable) where there is none.
    """
    from mpbuild.effects.sandbox.bubblewrap import find_bwrap
    from mpbuild.effects.sandbox.sandbox import Sandbox

    return Sandbox(find_bwrap(), store.scratch)


def sandboxed_steps(store: Store, derivation: LayerDeriver) -> Executor:
    """Runs steps in bubblewrap, where they see nothing but their declared inputs."""
    return _Steps(store, derivation, sandboxed=True)


def host_steps(store: Store, derivation: LayerDeriver) -> Executor:
    """Runs steps as plain processes of the host; their results are marked as not hermetic."""
    return _Steps(store, derivation, sandboxed=False)
