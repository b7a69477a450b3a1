"""Where derive meets the store: layers as actions, blobs streamed again, trees unpacked."""

import contextlib
from collections.abc import Callable, Iterator

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Buffer, Digest, Hasher
from mpbuild.base.errors import InputError
from mpbuild.derive.layers import derive_layer
from mpbuild.derive.layers.layer import Visitor
from mpbuild.derive.layers.layer_plan import LayerPlan, Leaf
from mpbuild.effects.store.store import Store
from mpbuild.effects.store.unpacker import Unpacker
from mpbuild.engine.action import Action, Output, Result
from mpbuild.engine.graph import Ref, Task

OUTPUTS = ("layer", "needs")


Bind = Callable[[str, Leaf], Digest | Ref]
"""From a leaf and the path at which it will stand to its bytes, or to whatever makes them."""


def layer_name(plan: LayerPlan) -> str:
    """What its task is called: its title, for people, and what makes it unique."""
    return f"layer:{plan.title}:{canonical.digest(plain(plan)).hex[:8]}"


def layer_task(name: str, plan: LayerPlan, bind: Bind, size: int = 0) -> Task:
    """The task that derives ``plan``, which reads inputs of ``size`` bytes."""
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
        tools={"codec": plan.codec},
    )
    return Task(name=name, action=action, inputs=later, size=size)


class LayerDeriver:
    """The in-process executor, and what else can be had from a derived layer's action."""

    sandboxed = True

    def __init__(self, store: Store) -> None:
        self._store = store

    def run(self, action: Action, timeout_ms: int | None = None) -> Result:
        """Derive a layer: the fact about it, and its ELF needs as a blob."""
        del timeout_ms
        with self._inputs(action, check=True) as inputs:
            derived = derive_layer.derive(_plan(action), inputs)
        layer = derived.layer
        needs = self._store.put_bytes(derived.needs)
        return Result(
            outputs={
                "layer": Output(layer.digest, layer.size, layer.diff_id),
                "needs": Output(needs, len(derived.needs)),
            },
            sandboxed=True,
        )

    def blob(self, digest: Digest) -> Iterator[Buffer]:
        """The bytes of any blob, from the store or derived while streaming; checked at the end."""
        if self._store.has(digest):
            with self._store.mapped(digest) as data:
                yield from _checked(iter([data]), digest)
            return
        action = self._action(digest)
        with self._inputs(action) as inputs:
            yield from _checked(derive_layer.blob(_plan(action), inputs), digest)

    def tree(self, diff_id: Digest) -> None:
        """Make sure that the layer is unpacked in the store."""
        if self._store.tree(diff_id).is_dir():
            return
        with self._store.lock(diff_id):
            if not self._store.tree(diff_id).is_dir():
                self._unpack(diff_id)

    def _unpack(self, diff_id: Digest) -> None:
        action = self._action(diff_id)
        with self._store.scratch() as scratch, self._inputs(action) as inputs:
            root = scratch / "tree"
            with Unpacker(root) as unpacker:
                visitor: Visitor = unpacker
                for _ in _checked(derive_layer.unpack(_plan(action), inputs, visitor), diff_id):
                    pass
            root.rename(self._store.tree(diff_id))

    def _action(self, digest: Digest) -> Action:
        action = self._store.derivation(digest)
        if action is None:
            raise InputError(
                f"the store has neither the blob {digest} nor the way to derive it",
                where=str(self._store.path),
                hint="build the target again",
                code=Code.CONTENT_MISMATCH,
            )
        return action

    @contextlib.contextmanager
    def _inputs(self, action: Action, *, check: bool = False) -> Iterator[dict[str, memoryview]]:
        """The inputs mapped; ``check`` where nothing that comes of them is compared later."""
        with contextlib.ExitStack() as stack:
            inputs = {
                name: stack.enter_context(self._store.mapped(digest))
                for name, digest in action.inputs.items()
            }
            if check:
                for name, digest in action.inputs.items():
                    if Digest.of(inputs[name]) != digest:
                        raise InputError(
                            f"the store holds other bytes under {digest}",
                            where=name,
                            hint="run `mpbuild store verify`, then fetch again",
                            code=Code.CONTENT_MISMATCH,
                        )
            yield inputs


def _plan(action: Action) -> LayerPlan:
    return LayerPlan(
        rule=action.rule,
        title="",
        version=action.version,
        inputs=dict(action.inputs),
        executable=action.executable,
        parameters={k: v for k, v in action.parameters.items() if isinstance(v, str | bool)},
        codec=action.tools.get("codec", ""),
    )


def _checked(chunks: Iterator[Buffer], digest: Digest) -> Iterator[Buffer]:
    hasher = Hasher()
    for chunk in chunks:
        hasher.write(chunk)
        yield chunk
    if hasher.digest != digest:
        raise InputError(
            f"derived {hasher.digest} where {digest} was expected",
            hint="run `mpbuild store verify`",
            code=Code.CONTENT_MISMATCH,
        )
