"""The files of a PEX folder, as pex 2.105.2 writes them (packed layout, raw wheels).

pex has no specification but its sources. ``PEX-INFO`` is JSON on one line; ``__main__.py`` is a
program that contains the hash of the PEX; ``.bootstrap`` is a zip of the part of pex that starts a
PEX. pex identifies all of these by sha1, for its caches only.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import typed
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError
from mpbuild.formats.archive import zip as archive

INFO, MAIN, BOOTSTRAP = "PEX-INFO", "__main__.py", ".bootstrap"
IMPORT_HOOK = "__pex__/__init__.py"
WHEELS = ".deps"

# The fields that are equal in every PEX-INFO, since mpbuild always passes the same options to pex.
_FIXED: Mapping[str, Any] = {
    "bind_resource_paths": {},
    "deps_are_wheel_files": True,
    "emit_warnings": True,
    "excluded": [],
    "ignore_errors": False,
    "includes_tools": False,
    "inherit_path": "false",
    "inject_args": [],
    "inject_python_args": [],
    "interpreter_selection_strategy": "oldest",
    "max_install_jobs": 1,
    "overridden": [],
    "pex_path": "",
    "pex_paths": [],
    "strip_pex_env": True,
    "venv": False,
    "venv_bin_path": "false",
    "venv_copies": False,
    "venv_hermetic_scripts": True,
    "venv_site_packages_copies": False,
    "venv_system_site_packages": False,
}

_NO_HASH = "0" * 40
_HASH_LINE = re.compile(rb"^    pex_hash='[0-9a-f]{40}',$", re.MULTILINE)
_HEAD = re.compile(rb"#![^\n]+\n\n")
_VERSION = re.compile(rb'__version__ = "([0-9a-z.+]+)"')
_COMPILED = re.compile(r"\.py[co]$|\.pyc\.[0-9]+$")


class BuildProperties(msgspec.Struct, frozen=True):
    """The version of pex in a PEX-INFO."""

    pex_version: str


class PexInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of PEX-INFO that differ between PEX files.

    ``distributions`` maps the file name of each wheel to the sha256 of its bytes; ``requirements``
    are sorted; hashes are bare hexadecimal digits.
    """

    bootstrap_hash: str
    build_properties: BuildProperties
    code_hash: str
    distributions: dict[str, str]
    entry_point: str
    inject_env: dict[str, str]
    interpreter_constraints: tuple[str, ...]
    requirements: tuple[str, ...]

    @property
    def pex_hash(self) -> str:
        """The hash that identifies the PEX: that of the document without it."""
        return _sha1([_json(_document(self))])


class Bootstrap(NamedTuple):
    """A ``.bootstrap``: its hash, and the version of the pex in it."""

    hash: str
    version: str


def write_info(info: PexInfo) -> bytes:
    """The bytes of ``PEX-INFO``."""
    return _json({**_document(info), "pex_hash": info.pex_hash})


def read_info(data: bytes) -> PexInfo:
    """Reads ``PEX-INFO``; raises InputError (content-mismatch) unless pex would write it.

    All options must be those of mpbuild, and the hash that of the document.
    """
    try:
        document = canonical.decode(data)
        info = typed(document, PexInfo)
    except InputError as error:
        raise error.within(INFO) from error
    if write_info(info) != data:
        raise InputError(
            f"not a document that pex writes: {_difference(document, info)}",
            where=INFO,
            code=Code.CONTENT_MISMATCH,
        )
    return info


def code_hash(files: Mapping[str, Buffer]) -> str:
    """The hash of a PEX's own files, path to bytes; ``is_hashed`` must hold for each.

    Folders and file modes don't count.
    """
    paths = sorted(files)
    return _sha1(["".join(paths).encode(), *(files[path] for path in paths)])


def is_hashed(path: str) -> bool:
    """Whether pex hashes the file; it copies others, too, but ignores changes to them."""
    *folders, name = path.split("/")
    return not (name.startswith(".") or _COMPILED.search(name) or "__pycache__" in folders)


def read_bootstrap(data: Buffer) -> Bootstrap:
    """Reads a ``.bootstrap``; raises InputError (layer-unsafe).

    The hash covers the files of pex in the order of a walk, a folder's files before its subfolders.
    It leaves out vendored files and ``pex/__init__.py``.
    """
    contents: dict[str, memoryview] = {}
    for entry in archive.read_archive(data):
        if not entry.stored:
            raise InputError(f"{entry.name} is compressed", where=BOOTSTRAP, code=Code.LAYER_UNSAFE)
        if not entry.is_directory:
            contents[entry.name] = entry.checked()
    version = _VERSION.search(contents.get("pex/version.py", memoryview(b"")))
    if not version:
        raise InputError("it lacks the version of pex", where=BOOTSTRAP, code=Code.LAYER_UNSAFE)
    counted = [n for n in contents if n != "pex/__init__.py" and not n.startswith("pex/vendor/")]
    found = _sha1(contents[name] for name in sorted(counted, key=_walked))
    return Bootstrap(found, version.group(1).decode())


def with_hash(main: bytes, pex_hash: str) -> bytes:
    """``main``, a ``__main__.py``, for the PEX with that hash; raises InputError."""
    lines = _HASH_LINE.findall(main)
    if len(lines) != 1:
        raise _not_main()
    return main.replace(lines[0], f"    pex_hash='{pex_hash}',".encode())


def without_hash(main: bytes) -> bytes:
    """``main``, a ``__main__.py``, without the hash: equal for every PEX of a Python version."""
    return with_hash(main, _NO_HASH)


def import_hook(main: bytes) -> bytes:
    """``__pex__/__init__.py``: ``main`` without its first line and the empty line after it."""
    head = _HEAD.match(main)
    if not head:
        raise _not_main()
    return main[head.end() :]


def _not_main() -> InputError:
    return InputError("not a program that pex writes", where=MAIN, code=Code.CONTENT_MISMATCH)


def _walked(path: str) -> tuple[tuple[bool, str], ...]:
    *folders, name = path.split("/")
    return (*((True, folder) for folder in folders), (False, name))


def _document(info: PexInfo) -> dict[str, Any]:
    return {**_FIXED, **msgspec.to_builtins(info)}


def _difference(document: Mapping[str, Any], info: PexInfo) -> str:
    expected = {**_document(info), "pex_hash": info.pex_hash}
    found, wanted = ({k: _json(v) for k, v in d.items()} for d in (document, expected))
    keys = sorted(key for key in found.keys() | wanted if found.get(key) != wanted.get(key))
    return f"different {', '.join(keys)[:200]}" if keys else "different layout"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha1(chunks: Iterable[Buffer]) -> str:
    """The key of pex's caches; nothing of mpbuild depends on it."""
    hasher = hashlib.sha1(usedforsecurity=False)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()
