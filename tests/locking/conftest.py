"""A workspace, package indexes and a Debian archive in folders, and the command run on them."""

import contextlib
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pysequoia
import pytest

from tests.making.debs import write_deb

BASE = """\
security = false
keyring = "archive.pgp"
"""


class World:
    """``indexes`` by name; ``mpbuild(...)`` gives exit status and result of a command."""

    def __init__(self, folder: Path, make_index, workspace: str, model: str, key) -> None:
        self.root = folder / "workspace"
        self.mirror = folder / "debian"
        self.make_index = make_index
        self.indexes = {"default": make_index("default")}
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "MPBUILD_DEBIAN_MIRROR": self.mirror.as_uri(),
            "UV_CACHE_DIR": str(folder / "uv-cache"),
            # A killed command leaves its temporary files to this test's folder.
            "TMPDIR": str(folder / "tmp"),
        }
        self._key = key
        self._workspace, self._model = workspace + BASE, model
        for path in (self.root / "a", folder / "home", folder / "tmp"):
            path.mkdir(parents=True)
        (self.root / "archive.pgp").write_bytes(bytes(key.extract_certificate()))
        self.debian("python3.11-minimal", "3.11.2-6")
        self.workspace()

    @property
    def default(self):
        return self.indexes["default"]

    def index(self, name: str):
        """A further index, whose URL is in the user's configuration."""
        self.indexes[name] = self.make_index(name)
        return self.indexes[name]

    def workspace(self, *tables: str) -> None:
        (self.root / "mpbuild.toml").write_text("\n".join([self._workspace, *tables]))

    def model(self, *tables: str, more: str = "") -> None:
        """The target //a; ``more`` are keys of [environment]."""
        (self.root / "a/model.toml").write_text("\n".join([self._model + more, *tables]))

    def debian(self, name: str, version: str) -> None:
        """An archive of this one package, whose interpreter is none."""
        data = write_deb(name, version, {"./usr/bin/python3.11": b"#!/bin/sh\n"})
        file = f"{name}_{version}_amd64.deb"
        path = f"pool/main/p/{name}/{file}"
        (self.mirror / path).parent.mkdir(parents=True, exist_ok=True)
        (self.mirror / path).write_bytes(data)
        fields = {
            "Package": name,
            "Version": version,
            "Architecture": "amd64",
            "Filename": path,
            "Size": len(data),
            "SHA256": hashlib.sha256(data).hexdigest(),
        }
        self._publish("".join(f"{key}: {value}\n" for key, value in fields.items()).encode())

    def _publish(self, packages: bytes) -> None:
        plain = "main/binary-amd64/Packages"
        dists = self.mirror / "dists/bookworm"
        (dists / plain).parent.mkdir(parents=True, exist_ok=True)
        (dists / plain).write_bytes(packages)
        release = (
            "Origin: Debian\nSuite: oldstable\nCodename: bookworm\n"
            "Date: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n"
            f" {hashlib.sha256(packages).hexdigest()} {len(packages)} {plain}\n"
        )
        mode = pysequoia.SignatureMode.CLEAR
        signed = pysequoia.sign(self._key.signer(), release.encode(), mode=mode)
        (dists / "InRelease").write_bytes(signed)

    def start(self, *words: object, program: str = "mpbuild", **environ: str):
        """``program`` of this Python, begun in a process group of its own."""
        further = [f"{n}={i.index.url}" for n, i in self.indexes.items() if n != "default"]
        own = {"UV_DEFAULT_INDEX": self.default.index.url, "UV_INDEX": " ".join(further)}
        return subprocess.Popen(
            [Path(sys.executable).with_name(program), *map(str, words)],
            cwd=self.root,
            env=self.environ | own | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def mpbuild(self, *words: str, **environ: str):
        with self.start("--format", "json", *words, **environ) as process:
            out, told = process.communicate()
        assert "Traceback" not in told
        return process.returncode, json.loads(out)

    def lock(self, *words: str, **environ: str):
        """``mpbuild lock``, which must succeed."""
        status, result = self.mpbuild("lock", *words, **environ)
        assert (status, result["ok"]) == (0, True), result["findings"]
        return result

    def versions(self, environment: str = "cpu") -> dict[str, str]:
        return {name: version for name, version, _ in self.packages(environment)}

    def packages(self, environment: str = "cpu") -> list[tuple[str, str, str]]:
        """Name, version and index of each package of a lock."""
        import tomllib

        data = tomllib.loads(self.file(environment).read_text())
        return [
            (p["name"], p["version"], p["tool"]["mpbuild"]["index"])
            for p in data.get("packages", [])
        ]

    def locks(self) -> dict[Path, bytes]:
        """All locks of //a."""
        return {path: path.read_bytes() for path in self.root.glob("lockfiles/a/*.toml")}

    def file(self, environment: str = "cpu", kind: str = "pylock") -> Path:
        return self.root / f"lockfiles/a/{kind}.{environment}.toml"

    def line(self, text: str, file: str = "a/model.toml") -> str:
        """The place of ``text``, in the form of findings."""
        lines = (self.root / file).read_text().splitlines()
        (number,) = [i for i, line in enumerate(lines, 1) if text in line]
        return f"{file}:{number}"


@pytest.fixture(scope="session")
def archive_key():
    return pysequoia.Tsk.generate("archive <archive@mirror.example>")


@pytest.fixture
def world(tmp_path, make_index, smallest_workspace, smallest_model, archive_key):
    texts = smallest_workspace, smallest_model
    return World(tmp_path, make_index, *texts, archive_key)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve():
    """``with serve(folder) as url``: a web server of its files on 127.0.0.1."""

    @contextlib.contextmanager
    def serve(folder: Path) -> Iterator[str]:
        handler = partial(_Quiet, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()

    return serve
