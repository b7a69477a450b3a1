"""Places in a document, and the findings of readers."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.base.redaction import redacted

Path = tuple[str | int, ...]

_LONGEST = 80


class Problem(NamedTuple):
    """A fault: its path inside the document, and the fields of a Finding."""

    path: Path
    message: str
    hint: str = ""
    code: Code = Code.SPEC_INVALID


class Reading:
    """A pass over a document: its faults so far, and context for readers.

    ``folder`` is the document's folder inside the workspace; None without a workspace.
    """

    __slots__ = ("_reported", "folder", "problems")

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self._reported: set[Path] = set()

    def add(self, problem: Problem) -> None:
        """Adds ``problem`` unless there is one at its place or inside it.

        Checks run on data with blanks in place of wrong values, so that all faults are reported at
        once. Faults of blanks are consequences and left out.
        """
        if problem.path in self._reported:
            return
        self.problems.append(problem)
        self._reported.update(problem.path[:end] for end in range(len(problem.path) + 1))


class Place:
    """The place of a reader in a document; ``place / key`` and ``place / index`` are inside it."""

    __slots__ = ("_reading", "path")

    def __init__(self, reading: Reading, path: Path = ()) -> None:
        self._reading = reading
        self.path = path

    def __truediv__(self, part: str | int) -> "Place":
        return Place(self._reading, (*self.path, part))

    def __str__(self) -> str:
        """Returns ``io.inputs[0].datatype``; quotes keys that are not bare, as TOML does."""
        return dotted(self.path) or "the document"

    @property
    def folder(self) -> str | None:
        """The document's folder inside the workspace; None without a workspace."""
        return self._reading.folder

    def wrong(self, message: str, *, hint: str = "", code: Code = Code.SPEC_INVALID) -> None:
        """Reports a fault of the value here."""
        self.report(f"{self}: {message}", hint=hint, code=code)

    def report(self, message: str, *, hint: str = "", code: Code = Code.SPEC_INVALID) -> None:
        """Reports a sentence that names the place itself."""
        self._reading.add(Problem(self.path, message, hint, code))

    def refuse(self, error: InputError) -> None:
        """Reports the faults that a parser found in the value here."""
        for finding in error.findings:
            self.wrong(finding.message, hint=finding.hint)

    def not_yet(self) -> None:
        """Reports a key of the format that is not supported yet."""
        self.report(
            f"{self} is not supported yet",
            hint="remove it: this version of mpbuild would ignore it",
            code=Code.NOT_SUPPORTED_YET,
        )


def dotted(path: Path) -> str:
    """Returns a path as text."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = part.isascii() and part.replace("-", "").replace("_", "").isalnum()
            text += "." * bool(text) + (part if bare and len(part) <= _LONGEST else shown(part))
    return text


def shown(value: Any) -> str:
    """Returns a value for messages: short, and without logins."""
    if isinstance(value, str):
        value = redacted(value)
        return repr(value if len(value) <= _LONGEST else value[:_LONGEST] + "…")
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "a table"
    return "a date or time"


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ``did you mean …?`` with the known word closest to ``word``; empty without one."""
    import difflib

    names = {name.lower(): name for name in sorted(known)}
    found = difflib.get_close_matches(word.lower(), names, n=1)
    return f"did you mean {names[found[0]]}?" if found else ""
