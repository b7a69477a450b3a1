"""Files as a layer: sources, the runtime, locks (compressed) or weights (stored). Version 1."""

from collections.abc import Collection, Mapping

from mpbuild.base.digest import Buffer
from mpbuild.derive.layers.layer import CompressibleContent, LayerNode, StoredContent
from mpbuild.derive.layers.layer_tree import Nodes


def file_nodes(
    files: Mapping[str, Buffer], executable: Collection[str] = (), *, stored: bool = False
) -> tuple[LayerNode, ...]:
    """The nodes of ``files`` (path in the image to bytes)."""
    nodes = Nodes()
    for path, data in files.items():
        content = StoredContent(data) if stored else CompressibleContent(data)
        nodes.file(path, content, executable=path in executable)
    return nodes.row()
