"""Finds positions in a TOML text: the lines of keys, headers and items, and the values.

``tomllib`` returns data without lines; this scanner reads the same text for positions only. It
follows TOML 1.0.0 and assumes that ``tomllib`` accepted the text.
"""

import re
import tomllib
from bisect import bisect_left
from typing import Self

from mpbuild.spec.place import Path

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"[ \t]*(\"(?:\\.|[^\"\\])*\"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*")
# A multi-line string may end in up to two quotation marks of its own before the closing three.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]+")  # numbers, booleans, dates; a date may hold a space


def lines(text: str) -> dict[Path, int]:
    """Returns every path inside the document with its line, counted from 1.

    A table has the line of its header, or of the first key or header that implies it; an array of
    tables that of its first header.
    """
    return _Scanner(text).scan().lines


def values(text: str) -> dict[Path, slice]:
    """Returns every value in the text with its position; tables with headers are not values."""
    return _Scanner(text).scan().values


def line_of(path: Path, lines: dict[Path, int]) -> int:
    """Returns the line of the innermost part of ``path`` in the text."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.values: dict[Path, slice] = {}
        self._text = text
        self._at = 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._last: dict[Path, int] = {}  # array of tables -> index of its last table

    def scan(self) -> Self:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._array_header()
            elif self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self

    def _header(self) -> Path:
        line = self._line()
        self._at += 1
        path = self._implied((), self._keys(), line)
        self.lines[path] = line
        self._at += 1
        return path

    def _array_header(self) -> Path:
        line = self._line()
        self._at += 2
        *outer, name = self._keys()
        array = (*self._implied((), outer, line), name)
        self._last[array] = self._last.get(array, -1) + 1
        path = (*array, self._last[array])
        self.lines.setdefault(array, line)
        self.lines[path] = line
        self._at += 2
        return path

    def _implied(self, path: Path, keys: list[str], line: int) -> Path:
        for key in keys:
            path = (*path, key)
            self.lines.setdefault(path, line)
            if path in self._last:
                path = (*path, self._last[path])
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._at += 1
        self._skip(_SPACE)
        self._value(path)

    def _keys(self) -> list[str]:
        found = []
        while True:
            match = _KEY.match(self._text, self._at)
            assert match, "tomllib found a key here"
            self._at = match.end()
            found.append(_plain_key(match.group(1)))
            if not self._text.startswith(".", self._at):
                return found
            self._at += 1

    def _value(self, path: Path) -> None:
        start = self._at
        match self._text[self._at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_SCALAR)
        end = start + len(self._text[start : self._at].rstrip(" \t"))
        self.values[path] = slice(start, end)

    def _array(self, path: Path) -> None:
        index = 0
        while not self._closes("]"):
            item = (*path, index)
            self.lines[item] = self._line()
            self._value(item)
            index += 1

    def _inline_table(self, path: Path) -> None:
        while not self._closes("}"):
            self._pair(path)

    def _closes(self, bracket: str) -> bool:
        """Skips the opening bracket or the comma, and ``bracket`` if it comes next."""
        self._skip(_BLANK)
        if self._text[self._at] != bracket:
            self._at += 1
            self._skip(_BLANK)
        closed = self._text[self._at] == bracket
        self._at += closed
        return closed

    def _skip(self, form: re.Pattern[str]) -> None:
        match = form.match(self._text, self._at)
        assert match, "tomllib found a value here"
        self._at = match.end()

    def _line(self) -> int:
        return bisect_left(self._ends, self._at) + 1


def _plain_key(key: str) -> str:
    if key.startswith('"'):
        return next(iter(tomllib.loads(f"{key} = 0")))
    return key[1:-1] if key.startswith("'") else key
