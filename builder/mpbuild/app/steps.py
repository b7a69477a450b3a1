"""Executors of steps with the trees of their roots made first."""

from typing import TYPE_CHECKING

from mpbuild.app.derivation import Derivation
from mpbuild.effects.store import Store
from mpbuild.engine.action import Action, Result
from mpbuild.engine.protocols import Executor

if TYPE_CHECKING:
    from mpbuild.effects.sandbox import Sandbox


class _Steps:
    """Unpacks the layers of a step's root, then lets ``executor`` run it."""

    def __init__(self, store: Store, derivation: Derivation, *, sandboxed: bool) -> None:
        self.sandboxed = sandboxed
        self._store = store
        self._derivation = derivation

    def run(self, action: Action, timeout_ms: int | None) -> Result:
        # Most builds find all results in the cache, and start without a sandbox.
        from mpbuild.effects.host_steps import HostExecutor
        from mpbuild.effects.steps import StepExecutor

        for diff_id in action.root:
            self._derivation.tree(diff_id)
        executor = (
            StepExecutor(open_sandbox(self._store), self._store)
            if self.sandboxed
            else HostExecutor(self._store)
        )
        return executor.run(action, timeout_ms)


def open_sandbox(store: Store) -> "Sandbox":
    """The sandbox of this machine; WorldError (sandbox-unavailable) where there is none."""
    from mpbuild.effects.bubblewrap import find_bwrap
    from mpbuild.effects.sandbox import Sandbox

    return Sandbox(find_bwrap(), store.scratch)


def sandboxed_steps(store: Store, derivation: Derivation) -> Executor:
    """Steps by bubblewrap: they see what they declare and nothing else."""
    return _Steps(store, derivation, sandboxed=True)


def host_steps(store: Store, derivation: Derivation) -> Executor:
    """Steps on the host: what they give is marked as not hermetic."""
    return _Steps(store, derivation, sandboxed=False)
