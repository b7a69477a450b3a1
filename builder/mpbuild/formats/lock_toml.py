"""The TOML of Python and Debian locks: a canonical writer and a strict reader (TOML 1.0).

Strings of locks are printable ASCII without quotes and backslashes, so they need no escapes.
"""

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_HEX = re.compile(r"[0-9a-f]{64}")


def malformed(message: str, where: str = "") -> InputError:
    """The error of a malformed lock; ``where`` is the path inside the document."""
    return InputError(
        message,
        where=where,
        code=Code.LOCK_MALFORMED,
        hint="don't edit locks by hand: restore it from version control, or remove it and run"
        " `mpbuild lock`",
    )


def literal(value: str | int | bool) -> str:
    """A TOML value; raises InputError (lock-malformed) for a string that needs escapes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not _PLAIN.fullmatch(value):
        raise malformed(f"a lock can't contain the string {value!r}")
    return f'"{value}"'


def lines(**values: str | int | bool) -> list[str]:
    """``key = value`` lines in the given order; underscores in keys become hyphens."""
    return [f"{key.replace('_', '-')} = {literal(value)}" for key, value in values.items()]


def sealed(blocks: Sequence[Sequence[str]], *, at: int) -> str:
    """The text of ``blocks`` of lines, with ``content`` as the last line of block ``at``.

    ``content`` is the digest of the text without this line. It reveals manual edits and merges; it
    does not protect against someone who computes it again.
    """
    content = lines(content=Digest.of(_text(blocks).encode()))
    return _text([[*b, *content] if i == at else b for i, b in enumerate(blocks)])


def _text(blocks: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def refuse_doubles(names: Sequence[str]) -> None:
    """Refuses duplicate names of packages."""
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        if name in seen:
            raise malformed(
                f"duplicate name {name}, also in packages[{seen[name]}]", f"packages[{i}].name"
            )
        seen[name] = i


class LockTable:
    """A TOML table, whose reader takes each key once; ``done`` refuses the remaining keys."""

    __slots__ = ("_values", "where")

    def __init__(self, values: dict[str, Any], where: str = "") -> None:
        self._values = dict(values)
        self.where = where

    @classmethod
    def document(cls, text: str) -> "LockTable":
        """The root table of a TOML document."""
        # Readers of TOML take quadratic time on some long lines.
        if max(map(len, text.split("\n"))) > limits.LOCK_LINE_CHARACTERS:
            raise malformed(f"a line is longer than {limits.LOCK_LINE_CHARACTERS} characters")
        try:
            return cls(tomllib.loads(text))
        except (ValueError, RecursionError) as error:
            raise malformed(f"not TOML: {error}") from error

    def path(self, key: str) -> str:
        """The path of ``key`` inside the document."""
        return f"{self.where}.{key}" if self.where else key

    def text(self, key: str, form: re.Pattern[str] = _PLAIN) -> str:
        """A string that fully matches ``form``."""
        value = self._take(key, str, "a string")
        if not form.fullmatch(value):
            raise malformed(f"{value[:120]!r} does not match {form.pattern}", self.path(key))
        return str(value)

    def exactly(self, key: str, value: str | int | list[str]) -> None:
        """Checks that ``key`` has exactly this value."""
        found = self._take(key, type(value), f"{value!r}")
        if found != value:
            raise malformed(f"must be {value!r}, not {found!r}", self.path(key))

    def size(self, key: str = "size") -> int:
        """A size in bytes, at least 1."""
        value = self._take(key, int, "an integer")
        if not 0 < value <= limits.LOCKED_FILE_BYTES:
            raise malformed(f"{value} is not the size of a file", self.path(key))
        return int(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        return bool(self._take(key, bool, "true or false"))

    def sha256(self, key: str = "sha256") -> Digest:
        """A digest as 64 lower-case hexadecimal digits."""
        return Digest.from_hex(self.text(key, _HEX))

    def digest(self, key: str) -> Digest:
        """A digest with its algorithm."""
        value = self._take(key, str, "a digest")
        if not value.startswith("sha256:") or not _HEX.fullmatch(value[7:]):
            raise malformed(f"{value[:80]!r} is not a sha256 digest", self.path(key))
        return Digest(value)

    def table(self, key: str) -> "LockTable":
        """A nested table."""
        return LockTable(self._take(key, dict, "a table"), self.path(key))

    def tables(self, key: str) -> list["LockTable"]:
        """An array of tables; may be empty."""
        values = self._take(key, list, "an array of tables")
        if not all(isinstance(value, dict) for value in values):
            raise malformed("must be an array of tables", self.path(key))
        return [LockTable(value, f"{self.path(key)}[{i}]") for i, value in enumerate(values)]

    def has(self, key: str) -> bool:
        """Whether ``key`` is present and not taken yet."""
        return key in self._values

    def done(self) -> None:
        """Refuses the keys that were not taken."""
        for key in self._values:
            address = key in ("url", "index", "archive", "vcs", "directory", "sdist")
            why = "locks contain wheels without URLs" if address else "the format has no such key"
            raise malformed(f"unknown key `{key}`: {why}", self.where)

    def _take(self, key: str, kind: type, what: str) -> Any:
        if key not in self._values:
            raise malformed(f"`{key}` is missing", self.where)
        value = self._values.pop(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise malformed(f"must be {what}", self.path(key))
        return value
