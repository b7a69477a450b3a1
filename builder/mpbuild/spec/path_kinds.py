"""Kinds of paths; see paths.py for their form."""

from typing import Any

from mpbuild.base.errors import InputError
from mpbuild.spec import paths
from mpbuild.spec.kinds import Text
from mpbuild.spec.place import Place

_CHARACTER = r"[^/\\*?\x00-\x1f\x7f]"
_PART = rf"(?!\.(?:/|$))(?!\.wh\.){_CHARACTER}+"
_INNER_PART = rf"(?!\.\.?(?:/|$))(?!\.wh\.){_CHARACTER}+"
_WILD_PART = rf"(?!\.(?:/|$))(?!\.wh\.)(?:\*\*(?=/|$)|(?:{_CHARACTER}|\?|\*(?!\*))+)"
_START = r"(?!~)(?!(?:[^/]*/)*\.\.$)"
_NO_WAY_BACK = r"(?![^*?]*[*?].*/\.\.(?:/|$))"

FILE = rf"{_START}{_PART}(?:/{_PART})*"
INNER = rf"(?!~){_INNER_PART}(?:/{_INNER_PART})*"
PATTERN = rf"{_START}{_NO_WAY_BACK}{_WILD_PART}(?:/{_WILD_PART})*"


class Location(Text, frozen=True, kw_only=True):
    """A path that must stay inside the workspace, relative to the document's folder."""

    hint: str = "write a path relative to this file, with / between its parts"

    def read(self, value: Any, at: Place) -> Any:
        """Returns the path as written."""
        path = super().read(value, at)
        if path is None or at.folder is None or path.startswith("step:"):
            return path
        try:
            paths.resolve(at.folder, path)
        except InputError as error:
            at.refuse(error)
            return None
        return path


def fault_of_file(path: str) -> str:
    """Returns the fault of ``path`` as the path of a file; empty if there is none."""
    return paths.fault(path) or ("contains a wildcard" if paths.is_pattern(path) else "")


def fault_of_inner(path: str) -> str:
    """Returns the fault of ``path`` as a path below its folder; empty if there is none."""
    return fault_of_file(path) or ("has a part '..'" if ".." in path.split("/") else "")


def fault_of_step_input(text: str) -> str:
    """Returns the fault of ``text`` as a path, a pattern or a step's output."""
    return "is not of the form step:NAME/OUTPUT" if text.startswith("step:") else paths.fault(text)
