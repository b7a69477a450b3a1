"""Files as a layer: sources, the runtime, locks (compressed) or weights (stored). Version 1."""

from collections.abc import Collection, Mapping

from mpbuild.base.digest import Buffer
from mpbuild.derive.layer import Loose, Node, Plain
from mpbuild.derive.tree import Nodes


def file_nodes(
    files: Mapping[str, Buffer], executable: Collection[str] = (), *, stored: bool = False
) -> tuple[Node, ...]:
    """The nodes of ``files`` (path in the image to bytes)."""
    nodes = Nodes()
    for path, data in files.items():
        content = Plain(data) if stored else Loose(data)
        nodes.file(path, content, executable=path in executable)
    return nodes.row()
