"""What pex writes into a PEX folder, as pex 2.105.2 writes it (packed layout, raw wheels).

There is no specification: the form is that of pex's own sources. ``PEX-INFO`` is JSON on one line,
``__main__.py`` a program with the PEX's hash in it, ``.bootstrap`` a zip of the part of pex that
starts a PEX. pex names all of these by sha1, for its caches only.
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

# What every PEX-INFO of ours says, since pex was asked for nothing else.
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
    """Which pex is said to have made a PEX."""

    pex_version: str


class PexInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between our PEX-INFO documents.

    ``distributions`` maps a wheel's file name to the sha256 of its bytes, ``requirements`` are
    sorted, hashes are bare hexadecimal digits.
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
        """The hash that names the PEX: that of the document without it."""
        return _sha1([_json(_document(self))])


class Bootstrap(NamedTuple):
    """What PEX-INFO says of a ``.bootstrap``: its hash, and the version of the pex in it."""

    hash: str
    version: str


def write_info(info: PexInfo) -> bytes:
    """The bytes of ``PEX-INFO``."""
    return _json({**_document(info), "pex_hash": info.pex_hash})


def read_info(data: bytes) -> PexInfo:
    """What ``PEX-INFO`` says; raise InputError (content-mismatch) where it isn't what pex writes.

    What is read asks for nothing that mpbuild doesn't ask for, and its hash is its own.
    """
    try:
        document = canonical.decode(data)
        info = typed(document, PexInfo)
    except InputError as error:
        raise error.within(INFO) from error
    if write_info(info) != data:
        raise InputError(
            f"pex writes no such document: {_difference(document, info)}",
            where=INFO,
            code=Code.CONTENT_MISMATCH,
        )
    return info


def code_hash(files: Mapping[str, Buffer]) -> str:
    """The hash of a PEX's own files (path to bytes), each of which must be one that ``is_hashed``.

    Folders don't count, nor does what a file may be executed by.
    """
    paths = sorted(files)
    return _sha1(["".join(paths).encode(), *(files[path] for path in paths)])


def is_hashed(path: str) -> bool:
    """Whether pex counts the file; it copies others too, and doesn't notice when they change."""
    *folders, name = path.split("/")
    return not (name.startswith(".") or _COMPILED.search(name) or "__pycache__" in folders)


def read_bootstrap(data: Buffer) -> Bootstrap:
    """What a ``.bootstrap`` is; raise InputError where it is none.

    Counted are the files of pex in the order of a walk, a folder's files before its folders;
    what pex vendors is not, nor is the first file, which comes with that.
    """
    contents: dict[str, memoryview] = {}
    for entry in archive.read_archive(data):
        if not entry.stored:
            raise InputError(f"{entry.name} is compressed", where=BOOTSTRAP, code=Code.LAYER_UNSAFE)
        if not entry.is_directory:
            contents[entry.name] = entry.checked()
    told = _VERSION.search(contents.get("pex/version.py", memoryview(b"")))
    if not told:
        raise InputError(
            "it doesn't say which pex it is of", where=BOOTSTRAP, code=Code.LAYER_UNSAFE
        )
    counted = [n for n in contents if n != "pex/__init__.py" and not n.startswith("pex/vendor/")]
    found = _sha1(contents[name] for name in sorted(counted, key=_walked))
    return Bootstrap(found, told.group(1).decode())


def with_hash(main: bytes, pex_hash: str) -> bytes:
    """A ``__main__.py`` for the PEX of that hash; raise InputError where ``main`` is none."""
    lines = _HASH_LINE.findall(main)
    if len(lines) != 1:
        raise _no_program()
    return main.replace(lines[0], f"    pex_hash='{pex_hash}',".encode())


def without_hash(main: bytes) -> bytes:
    """A ``__main__.py`` as it is before its PEX is known: the same for every PEX of a Python."""
    return with_hash(main, _NO_HASH)


def import_hook(main: bytes) -> bytes:
    """``__pex__/__init__.py``: ``__main__.py`` without its first line and the empty one below."""
    head = _HEAD.match(main)
    if not head:
        raise _no_program()
    return main[head.end() :]


def _no_program() -> InputError:
    return InputError("it is no program that pex writes", where=MAIN, code=Code.CONTENT_MISMATCH)


def _walked(path: str) -> tuple[tuple[bool, str], ...]:
    *folders, name = path.split("/")
    return (*((True, folder) for folder in folders), (False, name))


def _document(info: PexInfo) -> dict[str, Any]:
    return {**_FIXED, **msgspec.to_builtins(info)}


def _difference(document: Mapping[str, Any], info: PexInfo) -> str:
    expected = {**_document(info), "pex_hash": info.pex_hash}
    told, wanted = ({k: _json(v) for k, v in d.items()} for d in (document, expected))
    keys = sorted(key for key in told.keys() | wanted if told.get(key) != wanted.get(key))
    return f"it differs in {', '.join(keys)[:200]}" if keys else "it is laid out otherwise"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha1(chunks: Iterable[Buffer]) -> str:
    """No identity of ours: pex's caches are named so, and nothing rests on it."""
    hasher = hashlib.sha1(usedforsecurity=False)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()
