"""Wheels as a layer. Format version 1.

Follows packaging.python.org: "Binary distribution format", "Recording installed projects" and
"Entry points specification".

Members keep the compressed bytes they have in the wheel. Made anew are only: scripts (with the
image's interpreter in their first line) and, where there are scripts or a ``.data`` folder, RECORD.
"""

import base64
import posixpath
from collections.abc import Iterator, Mapping

from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import places
from mpbuild.derive.layer import Node, Plain, Reused
from mpbuild.derive.tree import Nodes
from mpbuild.formats.wheel import Wheel, read_wheel
from mpbuild.formats.zip import ZipEntry

_INTERPRETER = f"#!/{places.VENV}/bin/python"
_SCRIPT = """{interpreter}
import sys
from {module} import {name}
if __name__ == "__main__":
    sys.exit({attribute}())
"""


def wheel_nodes(wheels: Mapping[str, Buffer], python: str) -> tuple[Node, ...]:
    """The nodes of ``wheels`` (file name to bytes) installed for the interpreter ``python``."""
    nodes = Nodes()
    for filename, data in sorted(wheels.items()):
        try:
            _install(read_wheel(data, filename), python, nodes)
        except InputError as error:
            raise error.within(filename) from error
    return nodes.row()


def _install(wheel: Wheel, python: str, nodes: Nodes) -> None:
    site = places.site_packages(python)
    record = f"{wheel.dist_info}/RECORD"
    moved: dict[str, str] = {}
    for entry in wheel.entries:
        if entry.is_directory or entry.name in (record, record + ".jws", record + ".p7s"):
            continue
        path = _destination(wheel, entry.name, site, python)
        if path != f"{site}/{entry.name}":
            moved[entry.name] = path
        _place(entry, path, nodes)
    scripts = dict(_scripts(wheel))
    for path, text in scripts.items():
        nodes.text(path, text, executable=True)
    _record(wheel, moved, scripts, site, nodes)


def _destination(wheel: Wheel, name: str, site: str, python: str) -> str:
    """Where a member goes: the root is site-packages, ``.data`` holds the other schemes."""
    data = wheel.dist_info.removesuffix(".dist-info") + ".data/"
    if not name.startswith(data):
        return f"{site}/{name}"
    scheme, _, rest = name.removeprefix(data).partition("/")
    schemes = {
        "purelib": site,
        "platlib": site,
        "scripts": f"{places.VENV}/bin",
        "data": places.VENV,
        "headers": f"{places.VENV}/include/site/python{python}/{wheel.name}",
    }
    if scheme not in schemes or not rest:
        raise InputError(
            f"{name} is of no installation scheme",
            code="layer-unsafe",
            hint="known are purelib, platlib, scripts, data and headers",
        )
    return f"{schemes[scheme]}/{rest}"


def _place(entry: ZipEntry, path: str, nodes: Nodes) -> None:
    content = _content(entry)
    if path.startswith(f"{places.VENV}/bin/"):
        start = b"".join(content.inflated())
        if start.startswith(b"#!python"):
            rest = start.partition(b"\n")[2]
            nodes.text(path, _INTERPRETER + "\n" + _decoded(rest, entry.name), executable=True)
        else:
            nodes.file(path, content, executable=True)
    else:
        nodes.file(path, content, executable=entry.executable)


def _content(entry: ZipEntry) -> Plain | Reused:
    if entry.stored:
        return Plain(entry.checked())
    return Reused(entry.raw, entry.size, entry.crc)


def _scripts(wheel: Wheel) -> Iterator[tuple[str, str]]:
    for script in (*wheel.console_scripts, *wheel.gui_scripts):
        yield (
            f"{places.VENV}/bin/{script.name}",
            _SCRIPT.format(
                interpreter=_INTERPRETER,
                module=script.module,
                name=script.attribute.partition(".")[0],
                attribute=script.attribute,
            ),
        )


def _record(
    wheel: Wheel, moved: Mapping[str, str], scripts: Mapping[str, str], site: str, nodes: Nodes
) -> None:
    """RECORD as it is in the wheel, or with what moved and what was made."""
    record = f"{wheel.dist_info}/RECORD"
    if not moved and not scripts:
        entry = next(entry for entry in wheel.entries if entry.name == record)
        nodes.file(f"{site}/{record}", _content(entry))
        return
    rows = []
    for name, recorded in wheel.record.items():
        if name in moved:
            rows.append(_row(moved[name], nodes.read(moved[name]), site))
        else:
            rows.append(f"{_quoted(name)},{recorded.hash},{recorded.size}")
    rows += [_row(path, script.encode(), site) for path, script in sorted(scripts.items())]
    nodes.text(f"{site}/{record}", "\n".join(rows) + "\n")


def _row(path: str, data: bytes, site: str) -> str:
    """A row of RECORD: paths outside of site-packages are relative to it, too."""
    raw = base64.urlsafe_b64encode(bytes.fromhex(Digest.of(data).hex)).rstrip(b"=").decode()
    return f"{_quoted(posixpath.relpath(path, site))},sha256={raw},{len(data)}"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set('",\r\n') else cell


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8", code="layer-unsafe") from error
