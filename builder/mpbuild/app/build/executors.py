"""The executors of a build: derive functions in process, steps in a sandbox or on the host."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mpbuild.app.build.options import BuildOptions
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, ActionResult
from mpbuild.engine.protocols import Executor
from mpbuild.package.derived_layers import LayerDeriver

if TYPE_CHECKING:
    from mpbuild.effects.sandbox.bubblewrap import BwrapCandidate
    from mpbuild.effects.sandbox.sandbox import Sandbox


class SandboxedSteps:
    """Runs steps in bubblewrap, where they see nothing but their declared inputs."""

    sandboxed = True

    def __init__(
        self,
        store: Store,
        derivation: LayerDeriver,
        bwrap: "Sequence[BwrapCandidate] | None" = None,
    ) -> None:
        self._store = store
        self._derivation = derivation
        self._bwrap = bwrap

    def run(self, action: Action, timeout_ms: int | None) -> ActionResult:
        """Unpacks the layers of the step's root and runs the step."""
        # Most builds find every result in the cache and need no sandbox.
        from mpbuild.effects.sandbox.step_executor import StepExecutor

        self._derivation.unpack_root(action)
        executor = StepExecutor(open_sandbox(self._store, self._bwrap), self._store)
        return executor.run(action, timeout_ms)


class HostSteps:
    """Runs steps as plain processes of the host; their results are marked as not hermetic."""

    sandboxed = False

    def __init__(self, store: Store, derivation: LayerDeriver) -> None:
        self._store = store
        self._derivation = derivation

    def run(self, action: Action, timeout_ms: int | None) -> ActionResult:
        """Unpacks the layers of the step's root and runs the step."""
        from mpbuild.effects.sandbox.host_executor import HostExecutor

        self._derivation.unpack_root(action)
        return HostExecutor(self._store).run(action, timeout_ms)


def executors_by_kind(
    store: Store, options: BuildOptions, bwrap: "Sequence[BwrapCandidate] | None" = None
) -> dict[str, Executor]:
    """Returns the executor of each kind of action; ``options`` choose that of steps."""
    derivation = LayerDeriver(store)
    if options.sandbox == "bwrap":
        return {"derive": derivation, "sandbox": SandboxedSteps(store, derivation, bwrap)}
    return {"derive": derivation, "sandbox": HostSteps(store, derivation)}


def open_sandbox(store: Store, bwrap: "Sequence[BwrapCandidate] | None" = None) -> "Sandbox":
    """Opens the sandbox with the first bubblewrap of ``bwrap``, by default of this machine's.

    Raises EnvironmentFailureError (sandbox-unavailable) if there is none.
    """
    from mpbuild.effects.sandbox.bubblewrap import find_bwrap
    from mpbuild.effects.sandbox.sandbox import Sandbox

    return Sandbox(find_bwrap(bwrap), store.scratch)
