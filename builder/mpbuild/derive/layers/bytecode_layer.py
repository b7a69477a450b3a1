"""The bytecode of an environment as a layer, so that a read-only container starts fast. Version 1.

The only input is the layer's plain tar, which the environment's own interpreter made: its digest is
the layer's diff_id, and it can be read from the layer again. It may only contain unchecked bytecode
of that interpreter (PEP 552) next to its modules, in the form of mpbuild's other tars.
"""

from collections.abc import Iterator, Mapping

from mpbuild.base import image_paths
from mpbuild.base.digest import Buffer
from mpbuild.derive.layers.layer import CompressibleContent, LayerNode
from mpbuild.derive.layers.layer_plan import BYTECODE_FILE
from mpbuild.derive.layers.layer_tree import Nodes
from mpbuild.formats.archive import tar, untar
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.python.pyc import CACHE, Bytecode


def bytecode_nodes(inputs: Mapping[str, Buffer], python: str) -> tuple[LayerNode, ...]:
    """The nodes of the tar ``inputs["bytecode.tar"]``; their contents are slices of it."""
    if inputs.keys() != {BYTECODE_FILE}:
        raise UnsafeError(f"the only input of a bytecode layer is {BYTECODE_FILE}")
    bytecode = Bytecode(python)
    nodes = Nodes()
    entries: list[tar.TarEntry] = []
    for entry, content in _members(memoryview(inputs[BYTECODE_FILE])):
        entries.append(entry)
        if entry.kind != "directory":
            _check(entry, content, bytecode, image_paths.module_folders(python))
            nodes.file(entry.path, CompressibleContent(content))
    row = nodes.row()
    if [node.entry for node in row] != entries:
        raise _unlike("its members are not sorted files, each once, and their folders")
    return row


def _members(data: memoryview) -> Iterator[tuple[tar.TarEntry, memoryview]]:
    """Yields the members; raises UnsafeError for headers or padding that a layer would not have."""
    at = 0
    for entry, _ in untar.read([data]):
        header, padding = tar.header(entry), tar.padding(entry.size)
        start = at + len(header)
        end = start + entry.size
        after = end + len(padding)
        if data[at:start] != header or data[end:after] != padding:
            raise _unlike(f"unexpected header or padding of {entry.path}")
        yield entry, data[start:end]
        at = after
    if data[at:] != tar.END:
        raise _unlike("it does not end with two blocks of zeros")


def _check(
    entry: tar.TarEntry, content: memoryview, bytecode: Bytecode, within: tuple[str, ...]
) -> None:
    folder, _, name = entry.path.rpartition("/")
    package, _, cache = folder.rpartition("/")
    stem = name.removesuffix(bytecode.suffix)
    inside = f"{package}/".startswith(tuple(f"{place}/" for place in within))
    if entry.kind != "file" or cache != CACHE or stem in ("", name) or not inside:
        raise UnsafeError(f"{entry.path} is not a path of bytecode")
    if not bytecode.is_unchecked(content):
        raise UnsafeError(f"{entry.path} is not unchecked bytecode of this interpreter")


def _unlike(problem: str) -> UnsafeError:
    return UnsafeError(f"{BYTECODE_FILE} is not the tar of a layer: {problem}")
