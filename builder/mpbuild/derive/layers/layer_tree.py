"""Collects the nodes of a layer by path: each parent once, sorted, without collisions."""

from mpbuild.base import image_paths
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.derive.layers.layer import (
    CompressibleContent,
    DeflateContent,
    LayerNode,
    StoredContent,
)
from mpbuild.formats.archive import tar
from mpbuild.formats.archive.tree import check_tree, safe_path


class Nodes:
    """The nodes of a layer by path; refuses trees that not every tool unpacks alike."""

    def __init__(self) -> None:
        self._nodes: dict[str, LayerNode] = {}

    def file(
        self,
        path: str,
        content: CompressibleContent | StoredContent | DeflateContent,
        *,
        executable: bool = False,
    ) -> None:
        """Adds a regular file with mode 0755 or 0644."""
        mode = 0o755 if executable else 0o644
        self._add(
            LayerNode(tar.TarEntry(path=path, kind="file", mode=mode, size=content.size), content)
        )

    def text(self, path: str, text: str, *, executable: bool = False) -> None:
        """Adds a file that mpbuild itself writes."""
        self.file(path, CompressibleContent(text.encode()), executable=executable)

    def link(self, path: str, target: str) -> None:
        """Adds a symbolic link."""
        self._add(LayerNode(tar.TarEntry(path=path, kind="symlink", mode=0o777, target=target)))

    def hard_link(self, path: str, target: str, *, executable: bool = False) -> None:
        """Adds another name of a file of this layer that sorts before it."""
        mode = 0o755 if executable else 0o644
        self._add(LayerNode(tar.TarEntry(path=path, kind="hardlink", mode=mode, target=target)))

    def folder(self, path: str) -> None:
        """Adds a directory, with the mode that its path has in every layer."""
        mode = image_paths.FOLDER_MODES.get(path, 0o755)
        self._add(LayerNode(tar.TarEntry(path=path, kind="directory", mode=mode)))

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def paths(self) -> list[str]:
        """All paths so far."""
        return list(self._nodes)

    def read(self, path: str) -> bytes:
        """The content of the file at ``path``."""
        content = self._nodes[path].content
        return b"".join(content.inflated()) if content else b""

    def row(self) -> tuple[LayerNode, ...]:
        """Returns all nodes and their missing parents, sorted by the bytes of their paths."""
        for path in list(self._nodes):
            self._parents(path)
        ordered = sorted(self._nodes.items(), key=lambda item: item[0].encode())
        check_tree([node.entry for _, node in ordered], absolute_links=True)
        return tuple(node for _, node in ordered)

    def _parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        while parent and parent not in self._nodes:
            self.folder(parent)
            parent = parent.rpartition("/")[0]

    def _add(self, node: LayerNode) -> None:
        path = safe_path(node.entry.path)
        known = self._nodes.get(path)
        if known and _same(known, node):
            return
        if known:
            raise InputError(f"two different files at {path}", code=Code.LAYER_UNSAFE)
        self._nodes[path] = node


def _same(one: LayerNode, other: LayerNode) -> bool:
    """Whether entries and bytes are equal: two wheels may have the same ``__init__.py``."""
    if one.entry != other.entry:
        return False
    if one.content is None or other.content is None:
        return one.content is other.content
    return b"".join(one.content.inflated()) == b"".join(other.content.inflated())
