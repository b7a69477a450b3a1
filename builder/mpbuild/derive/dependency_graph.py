"""The graph of a package: its contents, its inputs and its provided dependencies. Version 1.

Children of the package are identified by kind and name, because their digests come later.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mpbuild.base.accelerator import Accelerator
from mpbuild.derive.accelerators import supplied_by_host
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.formats.dossier.dependency_graph import (
    GraphDocument,
    GraphEdge,
    GraphNode,
    NodeKind,
    Relationship,
)
from mpbuild.formats.dossier.documents import HostEntry
from mpbuild.formats.oci.modelpack import ModelArtifactFile
from mpbuild.spec.model import Model, Step, StepOutput

DRIVERS = {Accelerator.CUDA: "nvidia", Accelerator.ROCM: "amdgpu"}


def graph_document(
    model: Model,
    locks: Mapping[str, EnvironmentLocks],
    files: Mapping[str, ModelArtifactFile],
    hosts: Iterable[HostEntry],
) -> GraphDocument:
    """Makes the graph; ``files`` are the model's by path, ``hosts`` the needs of accelerators."""
    graph = _Graph()
    package = graph.node(NodeKind.PACKAGE, model.package.name, version=model.package.version)
    carried = _carried(graph, model, files)
    artifact = graph.node(NodeKind.MODEL, model.package.name, version=model.core.version)
    graph.contains(artifact, carried)
    children = [artifact]
    for host in hosts:
        children += _runnable(graph, model, host, locks[host.accelerator], carried)
    graph.contains(package, children)
    for step in model.steps:
        _step(graph, model, step, locks[step.environment])
    return graph.document()


class _Graph:
    """Nodes by id and edges, each once."""

    def __init__(self) -> None:
        self._nodes: dict[str, GraphNode] = {}
        self._edges: set[GraphEdge] = set()

    def node(self, kind: NodeKind, name: str, *, key: str = "", **more: Any) -> str:
        """Adds a node unless it exists, and returns its id: the kind and ``key`` or the name."""
        identity = f"{kind}:{key or name}"
        self._nodes.setdefault(identity, GraphNode(id=identity, kind=kind, name=name, **more))
        return identity

    def edge(self, source: str, relationship: Relationship, target: str) -> None:
        """Adds a relationship between two nodes."""
        self._edges.add(GraphEdge(source, relationship, target))

    def contains(self, source: str, targets: Iterable[str]) -> None:
        """Adds the nodes that a node contains."""
        for target in targets:
            self.edge(source, Relationship.CONTAINS, target)

    def provided(self, source: str, targets: Iterable[str]) -> None:
        """Adds the nodes that a node needs and does not contain."""
        for target in targets:
            self.edge(source, Relationship.HAS_PROVIDED_DEPENDENCY, target)

    def document(self) -> GraphDocument:
        """All nodes and edges, sorted."""
        return GraphDocument(
            nodes=tuple(self._nodes[identity] for identity in sorted(self._nodes)),
            edges=tuple(sorted(self._edges)),
        )


def _carried(graph: _Graph, model: Model, files: Mapping[str, ModelArtifactFile]) -> list[str]:
    """The model's own parts, which every child of the package contains."""
    core = model.core
    found = [graph.node(NodeKind.CODE, core.entry_point, version=core.version)]
    for kind, folder, members in (
        (NodeKind.WEIGHTS, "weights", core.weights),
        (NodeKind.FILE, "files", core.files),
    ):
        for one in members:
            file = files[f"{folder}/{one.name}"]
            facts: dict[str, Any] = {
                "version": one.version,
                "digest": file.digest,
                "size": file.size,
            }
            found.append(graph.node(kind, one.name, **facts))
    return found


def _runnable(
    graph: _Graph, model: Model, host: HostEntry, locks: EnvironmentLocks, carried: list[str]
) -> list[str]:
    """The image and the PEX for an accelerator."""
    version = model.package.version
    image = graph.node(NodeKind.IMAGE, host.accelerator, version=version)
    pex = graph.node(NodeKind.PEX, host.accelerator, version=version)
    graph.contains(image, [*carried, _environment(graph, locks, model.environment.base)])
    graph.contains(pex, [*carried, *_wheels(graph, locks)])
    needs = list(_host(graph, model, host))
    graph.provided(image, needs)
    graph.provided(pex, [*needs, _interpreter(graph, locks), *_glibc(graph, locks)])
    return [image, pex]


def _glibc(graph: _Graph, locks: EnvironmentLocks) -> Iterable[str]:
    floor = locks.python.glibc
    if floor:
        yield graph.node(NodeKind.HOST_LIBRARY, "glibc", key=f"glibc-{floor}", version=floor)


def _host(graph: _Graph, model: Model, host: HostEntry) -> Iterable[str]:
    """The driver, and the shared objects of the driver and of the machine."""
    accelerator = Accelerator(host.accelerator)
    if accelerator in DRIVERS:
        yield graph.node(NodeKind.DRIVER, DRIVERS[accelerator], version=host.requires.driver)
    for library in sorted(supplied_by_host(model, accelerator)):
        yield graph.node(NodeKind.HOST_LIBRARY, library)


def _environment(graph: _Graph, locks: EnvironmentLocks, base_name: str) -> str:
    name = locks.python.environment
    environment = graph.node(NodeKind.ENVIRONMENT, name)
    base = graph.node(NodeKind.BASE, base_name, version=locks.debian.suite)
    interpreter = _interpreter(graph, locks)
    graph.contains(environment, _wheels(graph, locks))
    for package in locks.debian.packages:
        file = graph.node(
            NodeKind.DEBIAN,
            package.name,
            key=package.sha256,
            version=package.version,
            digest=package.sha256,
            size=package.size,
        )
        graph.contains(environment, [file])
        if package.base:
            graph.contains(base, [file])
    graph.contains(base, [interpreter])
    graph.edge(environment, Relationship.DEPENDS_ON, base)
    graph.edge(environment, Relationship.DEPENDS_ON, interpreter)
    for lock in (f"pylock.{name}.toml", f"debian.{name}.toml"):
        manifest = graph.node(NodeKind.LOCK, lock)
        graph.edge(environment, Relationship.HAS_DEPENDENCY_MANIFEST, manifest)
    return environment


def _interpreter(graph: _Graph, locks: EnvironmentLocks) -> str:
    python = locks.python.python
    return graph.node(NodeKind.INTERPRETER, "CPython", key=f"cpython-{python}", version=python)


def _wheels(graph: _Graph, locks: EnvironmentLocks) -> list[str]:
    return [
        graph.node(
            NodeKind.WHEEL,
            package.name,
            key=package.wheel.sha256,
            version=package.version,
            digest=package.wheel.sha256,
            size=package.wheel.size,
        )
        for package in locks.python.packages
    ]


def _step(graph: _Graph, model: Model, step: Step, locks: EnvironmentLocks) -> None:
    made = graph.node(NodeKind.STEP, step.name)
    base = model.environments[step.environment].base or model.environment.base
    graph.edge(made, Relationship.USES_TOOL, _environment(graph, locks, base))
    for path in step.files:
        graph.edge(made, Relationship.HAS_INPUT, graph.node(NodeKind.SOURCE, path))
    for need in step.needs:
        for node in _outputs(graph, model, need):
            graph.edge(made, Relationship.HAS_INPUT, node)
    for output in step.outputs:
        for node in _outputs(graph, model, StepOutput(step.name, output)):
            graph.edge(made, Relationship.HAS_OUTPUT, node)


def _outputs(graph: _Graph, model: Model, output: StepOutput) -> list[str]:
    """The nodes of an output: weights of the model, or else a file that only other steps read."""
    weights = [w for w in model.core.weights if (w.step, w.output) == output]
    return [graph.node(NodeKind.WEIGHTS, w.name) for w in weights] or [
        graph.node(NodeKind.OUTPUT, f"{output.step}/{output.output}")
    ]
