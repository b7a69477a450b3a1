"""Derives layers with inputs from the store: as actions, as streams, as unpacked trees."""

import contextlib
from collections.abc import Callable, Iterator

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.derive.layers import derive_layer
from mpbuild.derive.layers.layer import Visitor
from mpbuild.derive.layers.layer_plan import LayerPlan, Leaf
from mpbuild.effects.store.corruption import corrupt, intact
from mpbuild.effects.store.store import Store
from mpbuild.effects.store.unpacker import Unpacker
from mpbuild.engine.action import Action, ActionResult, Output
from mpbuild.engine.graph import Ref, Task

OUTPUTS = ("layer", "needs")


Bind = Callable[[str, Leaf], Digest | Ref]
"""Binds a leaf at a path of the image to its digest, or to the task that makes it."""


def layer_name(plan: LayerPlan) -> str:
    """Returns the name of a layer's task: its title, and a hash that makes it unique."""
    return f"layer:{plan.title}:{canonical.digest(plain(plan)).hex[:8]}"


def layer_task(name: str, plan: LayerPlan, bind: Bind, size: int = 0) -> Task:
    """Returns the task that derives ``plan`` from inputs of ``size`` bytes."""
    bound: dict[str, Digest] = {}
    later: dict[str, Ref] = {}
    for path, source in plan.inputs.items():
        found = bind(path, source) if isinstance(source, Leaf) else source
        if isinstance(found, Ref):
            later[path] = found
        else:
            bound[path] = found
    action = Action(
        rule=plan.rule,
        version=plan.version,
        executor="derive",
        inputs=bound,
        executable=plan.executable,
        parameters=dict(plan.parameters),
        outputs=OUTPUTS,
        tools=plan.tools,
    )
    return Task(name=name, action=action, inputs=later, size=size)


class LayerDeriver:
    """Derives layers in this process: executes their actions, streams and unpacks them."""

    sandboxed = True

    def __init__(self, store: Store) -> None:
        self._store = store

    def run(self, action: Action, timeout_ms: int | None = None) -> ActionResult:
        """Derives the descriptor of a layer; stores its ELF needs as a blob."""
        del timeout_ms
        with self._inputs(action, check=True) as inputs:
            derived = derive_layer.derive(action, inputs)
        layer = derived.layer
        needs = self._store.put_bytes(derived.needs)
        return ActionResult(
            outputs={
                "layer": Output(layer.digest, layer.size, layer.diff_id),
                "needs": Output(needs, len(derived.needs)),
            },
            sandboxed=True,
        )

    def blob(self, digest: Digest) -> Iterator[Buffer]:
        """Streams any blob, from the store or derived; checks its digest at the end."""
        if self._store.has(digest):
            with self._store.mapped(digest) as data:
                yield from intact(iter([data]), digest)
            return
        action = self._action(digest)
        with self._inputs(action) as inputs:
            yield from intact(derive_layer.blob(action, inputs), digest)

    def tree(self, diff_id: Digest) -> None:
        """Unpacks a layer in the store unless it is there."""
        if self._store.tree(diff_id).is_dir():
            return
        with self._store.lock(diff_id):
            if not self._store.tree(diff_id).is_dir():
                self._unpack(diff_id)

    def unpack_root(self, action: Action) -> None:
        """Unpacks every layer of the root of ``action``."""
        for diff_id in action.root:
            self.tree(diff_id)

    def _unpack(self, diff_id: Digest) -> None:
        action = self._action(diff_id)
        with self._store.scratch() as scratch, self._inputs(action) as inputs:
            root = scratch / "tree"
            with Unpacker(root) as unpacker:
                visitor: Visitor = unpacker
                for _ in intact(derive_layer.unpack(action, inputs, visitor), diff_id):
                    pass
            root.rename(self._store.tree(diff_id))

    def _action(self, digest: Digest) -> Action:
        action = self._store.derivation(digest)
        if action is None:
            raise InputError(
                f"the store has neither the blob {digest} nor an action that derives it",
                where=str(self._store.path),
                hint="build the target again",
                code=Code.CONTENT_MISMATCH,
            )
        return action

    @contextlib.contextmanager
    def _inputs(self, action: Action, *, check: bool = False) -> Iterator[dict[str, memoryview]]:
        """Maps the inputs; ``check`` hashes them, for outputs that are not compared later."""
        with contextlib.ExitStack() as stack:
            inputs = {
                name: stack.enter_context(self._store.mapped(digest))
                for name, digest in action.inputs.items()
            }
            if check:
                for name, digest in action.inputs.items():
                    if Digest.of(inputs[name]) != digest:
                        raise corrupt(digest, where=name)
            yield inputs
