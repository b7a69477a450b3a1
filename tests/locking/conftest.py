"""A workspace, package indexes and a Debian archive in folders, and the command run on them."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pysequoia
import pytest

WORKSPACE = """\
schema_version = 1

[workspace]
name = "tests"

[bases.bookworm]
suite = "bookworm"
packages = ["python3.11-minimal"]
security = false
keyring = "archive.pgp"
"""
MODEL = """\
schema_version = 1

[package]
name = "tiny"
version = "1.0.0"
summary = "As small as a model can be."
owners = ["nobody"]
license = "Apache-2.0"

[core]
version = "1.0.0"
task = "nothing"
format = "raw"
entry_point = "tiny:Model"
sources = ["tiny.py"]

[io]
version = "1.0.0"
inputs = [{ name = "x", datatype = "FP32", shape = [1] }]
outputs = [{ name = "y", datatype = "FP32", shape = [1] }]

[environment]
version = "1.0.0"
python = "3.11"
base = "bookworm"
"""


def deb(name: str, version: str) -> bytes:
    """A Debian package (deb(5)) with an interpreter in it that is none."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tarball({"./control": control.encode()}),
        "data.tar.gz": tarball({"./usr/bin/python3.11": b"#!/bin/sh\n"}),
    }
    out = b"!<arch>\n"
    for member, data in members.items():
        head = f"{member:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
        out += head.encode() + data + b"\n" * (len(data) % 2)
    return out


def tarball(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class World:
    """``indexes`` by name; ``mpbuild(...)`` gives exit status and result of a command."""

    def __init__(self, folder: Path, make_index, key) -> None:
        self.root = folder / "workspace"
        self.mirror = folder / "debian"
        self.make_index = make_index
        self.indexes = {"default": make_index("default")}
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "MPBUILD_DEBIAN_MIRROR": self.mirror.as_uri(),
            "UV_CACHE_DIR": str(folder / "uv-cache"),
        }
        self._key = key
        for path in (self.root / "a", folder / "home"):
            path.mkdir(parents=True)
        (self.root / "archive.pgp").write_bytes(bytes(key.extract_certificate()))
        self.debian("python3.11-minimal", "3.11.2-6")
        self.workspace()

    @property
    def default(self):
        return self.indexes["default"]

    def index(self, name: str):
        """A further index, which the user's configuration says the place of."""
        self.indexes[name] = self.make_index(name)
        return self.indexes[name]

    def workspace(self, *tables: str) -> None:
        (self.root / "mpbuild.toml").write_text("\n".join([WORKSPACE, *tables]))

    def model(self, *tables: str, more: str = "") -> None:
        """The target //a; ``more`` are keys of [environment]."""
        (self.root / "a/model.toml").write_text("\n".join([MODEL + more, *tables]))

    def debian(self, name: str, version: str) -> None:
        """An archive of this one package."""
        data = deb(name, version)
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

    def mpbuild(self, *words: str, **environ: str):
        command = [Path(sys.executable).with_name("mpbuild"), "--format", "json", *words]
        further = [f"{n}={i.index.url}" for n, i in self.indexes.items() if n != "default"]
        own = {"UV_DEFAULT_INDEX": self.default.index.url, "UV_INDEX": " ".join(further)}
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environ | own | environ,
            capture_output=True,
            check=False,
            text=True,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

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

    def file(self, environment: str = "cpu", kind: str = "pylock") -> Path:
        return self.root / f"lockfiles/a/{kind}.{environment}.toml"

    def line(self, text: str, file: str = "a/model.toml") -> str:
        """Where ``text`` stands, as findings say it."""
        lines = (self.root / file).read_text().splitlines()
        (number,) = [i for i, line in enumerate(lines, 1) if text in line]
        return f"{file}:{number}"


@pytest.fixture(scope="session")
def archive_key():
    return pysequoia.Tsk.generate("archive <archive@mirror.example>")


@pytest.fixture
def world(tmp_path, make_index, archive_key):
    return World(tmp_path, make_index, archive_key)
