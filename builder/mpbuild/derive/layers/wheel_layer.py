"""Wheels as a layer. Format version 1.

Follows packaging.python.org: "Binary distribution format", "Recording installed projects" and
"Entry points specification".

Members keep the compressed bytes that they have in the wheel. Only scripts are rewritten, with the
image's interpreter in their first line, and RECORD, if there are scripts or a ``.data`` folder.
Signatures of RECORD are left out, because they would no longer match.
"""

import base64
import posixpath
from collections.abc import Collection, Iterator, Mapping

from mpbuild.base import image_paths
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.derive.layers.layer import (
    CompressibleContent,
    DeflateContent,
    LayerNode,
    StoredContent,
)
from mpbuild.derive.layers.layer_tree import Nodes
from mpbuild.formats.archive.zip import ZipEntry
from mpbuild.formats.python.wheel import Wheel, read_wheel

_INTERPRETER = f"#!/{image_paths.VENV}/bin/python"
_PLACEHOLDER = b"#!python"
_WRAPPER_ENDS = (".exe", "-script.py", ".pya")
_SCRIPT = """{interpreter}
import sys
from {module} import {name}
if __name__ == "__main__":
    sys.exit({attribute}())
"""


def wheel_nodes(wheels: Mapping[str, Buffer], python: str) -> tuple[LayerNode, ...]:
    """The nodes of ``wheels`` (file name to bytes) installed for the interpreter ``python``."""
    nodes = Nodes()
    for filename, data in sorted(wheels.items()):
        try:
            _install(read_wheel(data, filename), python, nodes)
        except InputError as error:
            raise error.within(filename) from error
    return nodes.row()


def _install(wheel: Wheel, python: str, nodes: Nodes) -> None:
    site = image_paths.site_packages(python)
    record = f"{wheel.dist_info}/RECORD"
    wrappers = dict(_wrappers(wheel))
    moved: dict[str, str | None] = {}
    changed: dict[str, bytes] = {}
    for entry in wheel.entries:
        if entry.is_directory or entry.name in (record, record + ".jws", record + ".p7s"):
            continue
        scheme, path = destination(wheel.name, wheel.dist_info, entry.name, python)
        if path != f"{site}/{entry.name}":
            moved[entry.name] = path
        if scheme != "scripts":
            nodes.file(path, _content(entry), executable=entry.executable)
        elif _is_wrapper(path, wrappers):
            moved[entry.name] = None
        elif script := _script(entry):
            changed[entry.name] = script
            nodes.file(path, CompressibleContent(script), executable=True)
        else:
            nodes.file(path, _content(entry), executable=True)
    for path, text in wrappers.items():
        nodes.text(path, text, executable=True)
    _spare_interpreter({*moved.values(), *wrappers}, python)
    if moved or wrappers:
        rows = [*_rows(wheel, moved, changed, site), *_wrapper_rows(wrappers, site)]
        nodes.text(f"{site}/{record}", "\n".join(rows) + "\n")
    else:
        entry = next(entry for entry in wheel.entries if entry.name == record)
        nodes.file(f"{site}/{record}", _content(entry))


def destination(package: str, dist_info: str, name: str, python: str) -> tuple[str, str]:
    """The installation scheme of a member and its path in the image.

    Members of ``.data`` have a scheme; all others go to site-packages, with an empty scheme. Raises
    InputError (layer-unsafe) for an unknown scheme.
    """
    site = image_paths.site_packages(python)
    data = dist_info.removesuffix(".dist-info") + ".data/"
    if not name.startswith(data):
        return "", f"{site}/{name}"
    scheme, _, rest = name.removeprefix(data).partition("/")
    schemes = {
        "purelib": site,
        "platlib": site,
        "scripts": f"{image_paths.VENV}/bin",
        "data": image_paths.VENV,
        "headers": f"{image_paths.VENV}/include/site/python{python}/{package}",
    }
    if scheme not in schemes or not rest:
        raise InputError(
            f"unknown installation scheme of {name}",
            code=Code.LAYER_UNSAFE,
            hint="the schemes are purelib, platlib, scripts, data and headers",
        )
    return scheme, f"{schemes[scheme]}/{rest}"


def _spare_interpreter(paths: Collection[str | None], python: str) -> None:
    """Refuses a wheel that would replace the interpreter of the base layer."""
    for name in ("bin/python", "bin/python3", f"bin/python{python}", "pyvenv.cfg"):
        if f"{image_paths.VENV}/{name}" in paths:
            raise InputError(f"it would replace /{image_paths.VENV}/{name}", code=Code.LAYER_UNSAFE)


def _is_wrapper(path: str, wrappers: Mapping[str, str]) -> bool:
    """Whether setuptools made this script for an entry point, which gets a wrapper here.

    Early wheels have both; pip and uv leave the script out.
    """
    stem = next((path[: -len(end)] for end in _WRAPPER_ENDS if path.lower().endswith(end)), path)
    return stem in wrappers


def _script(entry: ZipEntry) -> bytes:
    """A script with the image's interpreter if it begins with ``#!python``; else ``b""``."""
    start = b""
    for piece in entry.inflated():
        start += bytes(piece[: len(_PLACEHOLDER)])
        if len(start) >= len(_PLACEHOLDER):
            break
    if not start.startswith(_PLACEHOLDER):
        return b""
    rest = b"".join(entry.inflated()).partition(b"\n")[2]
    return f"{_INTERPRETER}\n".encode() + rest


def _content(entry: ZipEntry) -> StoredContent | DeflateContent:
    if entry.stored:
        return StoredContent(entry.checked())
    return DeflateContent(entry.raw, entry.size, entry.crc)


def _wrappers(wheel: Wheel) -> Iterator[tuple[str, str]]:
    for script in (*wheel.console_scripts, *wheel.gui_scripts):
        yield (
            f"{image_paths.VENV}/bin/{script.name}",
            _SCRIPT.format(
                interpreter=_INTERPRETER,
                module=script.module,
                name=script.attribute.partition(".")[0],
                attribute=script.attribute,
            ),
        )


def _rows(
    wheel: Wheel, moved: Mapping[str, str | None], changed: Mapping[str, bytes], site: str
) -> Iterator[str]:
    """The wheel's rows of RECORD, with the new paths and without omitted files."""
    for name, recorded in wheel.record.items():
        path = moved.get(name, f"{site}/{name}")
        if name in changed and path:
            yield _row(path, changed[name], site)
        elif path:
            yield f"{_cell(path, site)},{recorded.hash},{recorded.size}"


def _wrapper_rows(wrappers: Mapping[str, str], site: str) -> Iterator[str]:
    for path, text in sorted(wrappers.items()):
        yield _row(path, text.encode(), site)


def _row(path: str, data: bytes, site: str) -> str:
    raw = base64.urlsafe_b64encode(bytes.fromhex(Digest.of(data).hex)).rstrip(b"=").decode()
    return f"{_cell(path, site)},sha256={raw},{len(data)}"


def _cell(path: str, site: str) -> str:
    """A path of RECORD; paths outside site-packages are relative to it, too."""
    cell = path.removeprefix(f"{site}/")
    if cell == path:
        cell = posixpath.relpath(path, site)
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set('",\r\n') else cell
