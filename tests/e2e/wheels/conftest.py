"""What a wheel becomes: in a layer by mpbuild, in a folder by uv, and whether these are the same.

The documented differences, each of which ``same`` asserts:

* uv leaves an empty ``.lock``.
* A wrapper for an entry point calls the same object; its text is each installer's own.
* A script of the wheel that begins with ``#!python`` gets another first line.
* RECORD has the same rows but for those of these scripts; uv sorts them, and keeps rows of scripts
  that it leaves out.
* RECORD's signatures are not installed: RECORD is another one now.
* A mode without a file type says nothing of the executable bit, as pip sees it; uv takes it.
* A wrapper keeps the name it has in the wheel; uv gives pip's the version of the Python it is for.
"""

import ast
import base64
import csv
import gzip
import hashlib
import io
import os
import posixpath
import re
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
import uv

from mpbuild.derive.layers import layer
from mpbuild.derive.layers.wheel_layer import wheel_nodes
from mpbuild.formats.python.wheel import read_wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"lib/python{PYTHON}/site-packages"
HEADERS = f"include/site/python{PYTHON}"
FIRST_LINE = b"#!/opt/venv/bin/python\n"


class File(NamedTuple):
    """What an installed file is, apart from its path."""

    executable: bool
    data: bytes


def installed_by_mpbuild(path):
    """The files of the wheel's layer by their paths in the virtual environment."""
    nodes = wheel_nodes({path.name: path.read_bytes()}, PYTHON)
    blob = io.BytesIO(b"".join(layer.blob(nodes)))
    with tarfile.open(fileobj=io.BytesIO(gzip.GzipFile(fileobj=blob).read())) as archive:
        return {
            member.name.removeprefix("opt/venv/"): File(
                bool(member.mode & 0o111), archive.extractfile(member).read()
            )
            for member in archive
            if member.isfile()
        }


def installed_by_uv(path, how, root, cache):
    """The files that ``uv pip install`` puts below ``root``, its ``prefix`` or ``target``."""
    command = [uv.find_uv_bin(), "pip", "install", "--no-deps", "--no-index", "--offline"]
    command += ["--no-config", "--python", sys.executable, "--python-version", "3.11"]
    environment = {
        "HOME": str(cache),
        "PATH": os.environ["PATH"],
        "UV_CACHE_DIR": str(cache),
        "UV_NO_INSTALLER_METADATA": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    done = subprocess.run(
        [*command, f"--{how}", root, path], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return {
        found.relative_to(root).as_posix(): File(
            bool(found.stat().st_mode & 0o111), found.read_bytes()
        )
        for found in root.rglob("*")
        if found.is_file()
    }


def in_target(path):
    """Where ``--target`` puts what belongs at ``path`` of an environment."""
    for folder, other in ((f"{SITE}/", ""), (f"{HEADERS}/", "include/")):
        if path.startswith(folder):
            return other + path.removeprefix(folder)
    return path


def same(path, how, ours, theirs):
    """Assert that the two trees differ in nothing but what this module says."""
    wheel = read_wheel(path.read_bytes(), path.name)
    record = f"{SITE}/{wheel.dist_info}/RECORD"
    place = in_target if how == "target" else str
    assert theirs.pop(".lock").data == b""
    for suffix in (".jws", ".p7s"):
        theirs.pop(place(record + suffix), None)
    made = set(_same_wrappers(wheel, ours, theirs))
    made |= set(_same_scripts(wheel, ours, theirs, made))
    untyped = {place(p) for p in _untyped(path, wheel)}
    our_rows = _rows(record, ours[record].data)
    their_rows = _rows(place(record), theirs.pop(place(record)).data)
    _true_rows(our_rows, ours)
    assert {place(p): row for p, row in our_rows.items() if p not in made} == {
        p: row for p, row in their_rows.items() if p not in made and ".data/" not in p
    }
    left = {place(p): file for p, file in ours.items() if p not in made and p != record}
    for name, file in theirs.items():
        if name in untyped:
            left[name] = left[name]._replace(executable=file.executable)
    assert left == {name: file for name, file in theirs.items() if name not in made}


def _same_wrappers(wheel, ours, theirs):
    """Wrappers call the same objects; their paths."""
    for script in (*wheel.console_scripts, *wheel.gui_scripts):
        path = f"bin/{script.name}"
        versioned = re.sub(r"^bin/pip3\.[0-9]+$", f"bin/pip{PYTHON}", path)
        theirs[path] = theirs.pop(versioned)
        assert ours[path].executable
        assert theirs[path].executable
        assert ours[path].data.startswith(FIRST_LINE)
        imported = script.attribute.partition(".")[0]
        for text in (ours[path].data, theirs[path].data):
            assert f"from {script.module} import {imported}" in _statements(text)
            assert f"sys.exit({script.attribute}())" in _statements(text)
        yield from (path, versioned)


def _statements(text):
    """Every statement of a program, without its outer form."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)]


def _same_scripts(wheel, ours, theirs, wrappers):
    """Scripts for Python have the same lines after the first; their paths."""
    folder = wheel.dist_info.removesuffix(".dist-info") + ".data/scripts/"
    for entry in wheel.entries:
        path = f"bin/{entry.name.removeprefix(folder)}"
        if not entry.name.startswith(folder) or path not in ours or path in wrappers:
            continue
        data = b"".join(entry.inflated())
        if data.startswith(b"#!python"):
            rest = data.partition(b"\n")[2]
            assert ours[path] == File(True, FIRST_LINE + rest)
            assert theirs[path].executable
            assert theirs[path].data.startswith(b"#!/")
            assert theirs[path].data.endswith(rest)
            yield path


def _untyped(path, wheel):
    """Files with an executable bit that no file type goes with."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if mode & 0o111 and not stat.S_IFMT(mode):
                yield f"{SITE}/{info.filename}"


def _rows(record, data):
    """The rows of a RECORD by the places they speak of; none is there twice."""
    folder = posixpath.dirname(posixpath.dirname(record))
    rows = list(filter(None, csv.reader(io.StringIO(data.decode(), newline=""))))
    found = {posixpath.normpath(posixpath.join(folder, p)): (*row,) for p, *row in rows}
    assert len(found) == len(rows)
    return found


def _true_rows(rows, files):
    """RECORD tells of every file, with its sha256 and size where the wheel gives these."""
    for path, file in files.items():
        digest, size = rows[path]
        assert size in ("", str(len(file.data)))
        if digest.startswith("sha256="):
            raw = hashlib.sha256(file.data).digest()
            assert digest == "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory):
    """A cache of uv for this run."""
    return tmp_path_factory.mktemp("uv")


@pytest.fixture
def same_as_uv(tmp_path, uv_cache):
    """``same_as_uv(path, how)``: assert it of a wheel, installed with ``prefix`` or ``target``."""

    def check(path: Path, how: str) -> None:
        theirs = installed_by_uv(path, how, tmp_path / "root", uv_cache)
        same(path, how, installed_by_mpbuild(path), theirs)

    return check
