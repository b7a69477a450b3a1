"""Places in a document, and what readers report about them."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.base.redaction import redacted

Path = tuple[str | int, ...]

_LONGEST = 80


class Problem(NamedTuple):
    """One thing wrong: the path inside the document and the words of a Finding."""

    path: Path
    message: str
    hint: str = ""
    code: Code = Code.SPEC_INVALID


class Reading:
    """One pass over a document: all its problems so far, and what readers must know about it.

    ``folder`` is the document's folder inside the workspace, None where no workspace is known.
    """

    __slots__ = ("_reported", "folder", "problems")

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self._reported: set[Path] = set()

    def add(self, problem: Problem) -> None:
        """Keep ``problem``, unless its place or one inside it has one already.

        Checks run on data with blanks in the place of what is wrong, so that everything is
        reported at once; what they say about such a blank is no news.
        """
        if problem.path in self._reported:
            return
        self.problems.append(problem)
        self._reported.update(problem.path[:end] for end in range(len(problem.path) + 1))


class Place:
    """Where a reader is in a document; ``place / key`` and ``place / index`` are further in."""

    __slots__ = ("_reading", "path")

    def __init__(self, reading: Reading, path: Path = ()) -> None:
        self._reading = reading
        self.path = path

    def __truediv__(self, part: str | int) -> "Place":
        return Place(self._reading, (*self.path, part))

    def __str__(self) -> str:
        """``io.inputs[0].datatype``; keys that aren't bare are quoted, as in TOML."""
        return dotted(self.path) or "the document"

    @property
    def folder(self) -> str | None:
        """The document's folder inside the workspace, None where no workspace is known."""
        return self._reading.folder

    def wrong(self, message: str, *, hint: str = "", code: Code = Code.SPEC_INVALID) -> None:
        """Report what is wrong with the value here."""
        self.report(f"{self}: {message}", hint=hint, code=code)

    def report(self, message: str, *, hint: str = "", code: Code = Code.SPEC_INVALID) -> None:
        """Report a whole sentence that names the place itself."""
        self._reading.add(Problem(self.path, message, hint, code))

    def refuse(self, error: InputError) -> None:
        """Report what a parser of base or of ours found wrong with the value here."""
        for finding in error.findings:
            self.wrong(finding.message, hint=finding.hint)

    def not_yet(self) -> None:
        """Report that the format has this key and that nothing acts on it yet."""
        self.report(
            f"{self} is not supported yet",
            hint="take it out: this version of mpbuild would not act on it",
            code=Code.NOT_SUPPORTED_YET,
        )


def dotted(path: Path) -> str:
    """A path as text."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = part.isascii() and part.replace("-", "").replace("_", "").isalnum()
            text += "." * bool(text) + (part if bare and len(part) <= _LONGEST else shown(part))
    return text


def shown(value: Any) -> str:
    """A value from a document in a message: short texts and numbers as they are, no logins."""
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
    """``did you mean …?`` with the known word most like ``word``, ``""`` where none is like it."""
    import difflib

    names = {name.lower(): name for name in sorted(known)}
    found = difflib.get_close_matches(word.lower(), names, n=1)
    return f"did you mean {names[found[0]]}?" if found else ""
