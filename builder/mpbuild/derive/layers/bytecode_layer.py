"""The bytecode of an environment as a layer, so that a read-only container starts fast. Version 1.

The one input is the layer's plain tar itself, as an environment's own interpreter made it: its
digest is the layer's diff_id, and it can be read out of the layer again. Taken is nothing but
unchecked bytecode of that interpreter (PEP 552) beside where its modules lie, in the form that
this package gives to every tar.
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
    """The nodes of the plain tar ``inputs["bytecode.tar"]``; contents are slices of it."""
    if inputs.keys() != {BYTECODE_FILE}:
        raise UnsafeError(f"bytecode comes as {BYTECODE_FILE} and nothing else")
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
        raise _unlike("its members are not each file once and their folders, sorted")
    return row


def _members(data: memoryview) -> Iterator[tuple[tar.TarEntry, memoryview]]:
    """The members, with nothing around contents but what a layer has there."""
    at = 0
    for entry, _ in untar.read([data]):
        header, padding = tar.header(entry), tar.padding(entry.size)
        start = at + len(header)
        end = start + entry.size
        after = end + len(padding)
        if data[at:start] != header or data[end:after] != padding:
            raise _unlike(f"it has another header or padding for {entry.path}")
        yield entry, data[start:end]
        at = after
    if data[at:] != tar.END:
        raise _unlike("it ends with something else than two blocks of zeros")


def _check(
    entry: tar.TarEntry, content: memoryview, bytecode: Bytecode, within: tuple[str, ...]
) -> None:
    folder, _, name = entry.path.rpartition("/")
    package, _, cache = folder.rpartition("/")
    stem = name.removesuffix(bytecode.suffix)
    inside = f"{package}/".startswith(tuple(f"{place}/" for place in within))
    if entry.kind != "file" or cache != CACHE or stem in ("", name) or not inside:
        raise UnsafeError(f"{entry.path} is no place of bytecode")
    if not bytecode.is_unchecked(content):
        raise UnsafeError(f"{entry.path} is no unchecked bytecode of this interpreter")


def _unlike(problem: str) -> UnsafeError:
    return UnsafeError(f"{BYTECODE_FILE} is not the tar that a layer is: {problem}")
