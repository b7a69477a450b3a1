"""Paths and patterns in specs: relative, with ``/`` between parts, inside the workspace.

A pattern is a path with wildcards: ``*`` and ``?`` match within a part, ``**`` any number of parts.
"""

import re

from mpbuild.base.errors import InputError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WILDCARD = re.compile(r"[*?]")


def is_pattern(path: str) -> bool:
    """Whether ``path`` contains a wildcard."""
    return _WILDCARD.search(path) is not None


def import_root(pattern: str) -> str:
    """Returns the folder for the import path: the whole parts before the first wildcard.

    ``src/**/*.py`` gives ``src``; ``*.py`` and ``model.py`` give ``""``, the spec's own folder.
    """
    match = _WILDCARD.search(pattern)
    before = pattern[: match.start()] if match else pattern
    return before.rpartition("/")[0]


def resolve(folder: str, path: str) -> str:
    """Returns ``path`` of ``folder``, relative to the root of the workspace and without ``..``.

    ``""`` is the root. Raises InputError if the path leaves the workspace.
    """
    found = folder.split("/") if folder else []
    for part in path.split("/"):
        if part != "..":
            found.append(part)
        elif found:
            found.pop()
        else:
            raise InputError(
                f"{path!r} leaves the workspace", hint="copy the file into the workspace"
            )
    return "/".join(found)


def fault(path: str) -> str:
    """Returns the fault of ``path`` by itself; empty if there is none."""
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if path.startswith("~"):
        return "begins with ~, which only a shell expands"
    if "\\" in path:
        return "contains a backslash; write / between parts"
    if _CONTROL.search(path):
        return "contains a control character"
    return _fault_of_parts(path.split("/"))


def _fault_of_parts(parts: list[str]) -> str:
    if "" in parts:
        return "has an empty part"
    if "." in parts:
        return "has a part '.'"
    if any(part.startswith(".wh.") for part in parts):
        return "has a part that begins with .wh., which marks a deletion in an image layer"
    if parts[-1] == "..":
        return "ends with '..'"
    if any("**" in part and part != "**" for part in parts):
        return "combines ** with other characters; it matches whole parts only"
    wild = next((index for index, part in enumerate(parts) if is_pattern(part)), len(parts))
    return "has '..' after a wildcard" if ".." in parts[wild:] else ""
