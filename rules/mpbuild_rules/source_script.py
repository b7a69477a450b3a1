"""One hook of a source distribution's own build backend (PEP 517).

    python -P -u -c SCRIPT HOOK SOURCE BACKEND OUT [FOLDER...]

Runs in a sandbox, over the environment that the source distribution asks for. HOOK is
``requires``, which leaves what else the backend wants as JSON, or ``wheel``, which leaves a wheel
and its file name. FOLDERs of the source tree are looked in first for the BACKEND.
"""

import importlib
import json
import os
import shutil
import sys
import tempfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(hook: str, source: str, backend: str, out: str, *folders: str) -> None:
    """Unpack ``source`` and let ``backend`` answer ``hook`` into ``out``."""
    scratch = tempfile.mkdtemp()
    tree = unpacked(os.path.abspath(source), f"{scratch}/source")  # noqa: PTH100
    os.chdir(tree)
    sys.path[:0] = [os.path.normpath(f"{tree}/{folder}") for folder in folders]
    made = found(backend)
    if hook == "requires":
        ask = getattr(made, "get_requires_for_build_wheel", None)
        leave(out, "requires.json", json.dumps(ask(None) if ask else []).encode())
        return
    wheels = f"{scratch}/wheels"
    os.mkdir(wheels)  # noqa: PTH102
    name = made.build_wheel(wheels, None, None)
    with open(f"{wheels}/{name}", "rb") as file:  # noqa: PTH123
        leave(out, "wheel", file.read())
    leave(out, "filename", name.encode())


def unpacked(source: str, folder: str) -> str:
    """The one folder that ``source``, which was looked at before, unpacks to."""
    shutil.unpack_archive(source, folder)
    (top,) = os.listdir(folder)  # noqa: PTH208
    return f"{folder}/{top}"


def found(backend: str) -> "Any":
    """The object that ``module:object`` names."""
    module, _, attribute = backend.partition(":")
    thing: Any = importlib.import_module(module)
    for name in filter(None, attribute.split(".")):
        thing = getattr(thing, name)
    return thing


def leave(out: str, name: str, data: bytes) -> None:
    """Write an output."""
    with open(f"{out}/{name}", "wb") as file:  # noqa: PTH123
        file.write(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
