"""A package index in a folder: the simple repository API (PEP 503)."""

import hashlib
from pathlib import Path

from mpbuild.effects.python.indexes import PythonIndex
from tests.making.wheels import write_wheel


class FolderIndex:
    """An index ``name`` in ``folder`` with wheels that it writes and files that it is given."""

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.index = PythonIndex(name, folder.as_uri())
        self._attributes: dict[str, str] = {}

    def add(
        self, filename: str, *metadata: str, content: str = "", attributes: str = "", files=()
    ) -> Path:
        """Write a wheel, or replace it; ``files`` are pairs of path and text.

        ``content`` is the body of METADATA, ``attributes`` further attributes of the link.
        """
        given = {name: text.encode() for name, text in files}
        return self.put(filename, write_wheel(filename, given, *metadata, "", content), attributes)

    def put(self, filename: str, data: bytes, attributes: str = "") -> Path:
        """Write a wheel or a source distribution with these bytes."""
        path = self.folder / filename.partition("-")[0].replace("_", "-") / filename
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self._attributes[filename] = attributes
        self._list(path.parent)
        return path

    def release(self, name: str, *versions: str, requires: tuple[str, ...] = (), files=()) -> None:
        """Write a pure wheel for each version."""
        lines = [f"Requires-Dist: {one}" for one in requires]
        for version in versions:
            self.add(f"{name}-{version}-py3-none-any.whl", *lines, files=files)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()
        self._list(path.parent)

    def _list(self, folder: Path) -> None:
        links = [
            f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"'
            f"{self._attributes.get(path.name, '')}>"
            f"{path.name}</a>"
            for path in sorted(folder.iterdir())
            if path.name != "index.html"
        ]
        (folder / "index.html").write_text("<br>".join(links))
