"""A package index in a folder, and a uv that knows no other."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from mpbuild.effects.indexes import Index
from mpbuild.effects.uv import Uv
from mpbuild.effects.web import Web


class FolderIndex:
    """A simple repository (PEP 503) of empty wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = Index(url=folder.as_uri())

    def add(self, filename: str, *metadata: str, content: str = "") -> Path:
        """Write a wheel, or write it again with other bytes."""
        name, version, tag = filename.removesuffix(".whl").split("-", 2)
        path = self.folder / name.replace("_", "-") / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
            archive.writestr(f"{folder}/METADATA", "\n".join([*head, *metadata, "", content]))
            archive.writestr(f"{folder}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
            archive.writestr(f"{folder}/RECORD", "")
        self._list(path.parent)
        return path

    def remove(self, path: Path) -> None:
        path.unlink()
        self._list(path.parent)

    def _list(self, folder: Path) -> None:
        links = [
            f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">'
            f"{path.name}</a>"
            for path in sorted(folder.glob("*.whl"))
        ]
        (folder / "index.html").write_text("<br>".join(links))


@pytest.fixture
def wheels(tmp_path: Path) -> FolderIndex:
    return FolderIndex(tmp_path / "simple")


@pytest.fixture
def uv(tmp_path: Path) -> Uv:
    return Uv.find({"HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache")})


@pytest.fixture
def web() -> Web:
    return Web({})
