"""Kinds of scalar values: each reads a value of a document and describes itself in JSON Schema.

``read`` returns the typed value, or reports the fault and returns None. ``blank`` replaces a wrong
or missing value in further checks. ``read`` refuses everything that ``schema`` (JSON Schema
2020-12) refuses; ``parse`` functions may refuse more than a schema can express.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from mpbuild.base import limits
from mpbuild.base.errors import InputError
from mpbuild.spec.place import Place, nearest, shown

Schema = dict[str, Any]

# JSON can express lone surrogates, UTF-8 cannot.
_HALF = re.compile("[\ud800-\udfff]")


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A string of a certain form.

    ``what`` completes "expected …". ``pattern`` matches the whole text, in Python and in ECMA 262.
    ``longest`` counts characters. ``explain`` names the fault of a string that breaks the pattern.
    ``parse`` returns the typed value or raises InputError.
    """

    blank: ClassVar[str] = ""

    what: str
    pattern: str
    hint: str = ""
    longest: int = 1000
    explain: Callable[[str], str] = lambda _: ""
    parse: Callable[[str], Any] = str

    def read(self, value: Any, at: Place) -> Any:
        """Returns the parsed text."""
        if not isinstance(value, str):
            at.wrong(f"expected {self.what}, found {shown(value)}", hint=self.hint)
        elif len(value) > self.longest:
            at.wrong(f"longer than {self.longest} characters")
        elif _HALF.search(value):
            at.wrong("contains a lone surrogate, which is not valid Unicode")
        elif not self.accepts(value):
            reason = self.explain(value)
            message = f"{shown(value)} {reason}" if reason else f"not {self.what}: {shown(value)}"
            at.wrong(message, hint=self.hint)
        else:
            return self._parsed(value, at)
        return None

    def accepts(self, text: str) -> bool:
        """Whether the whole ``text`` matches the pattern."""
        return re.fullmatch(self.pattern, text, re.ASCII) is not None

    def _parsed(self, text: str, at: Place) -> Any:
        try:
            return self.parse(text)
        except InputError as error:
            at.refuse(error)
            return None

    def schema(self) -> Schema:
        """Returns the schema of a string."""
        return {"type": "string", "pattern": f"^(?:{self.pattern})$", "maxLength": self.longest}


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of some ``words``."""

    blank: ClassVar[str] = ""

    words: tuple[str, ...]
    hint: str = ""
    parse: Callable[[str], Any] = str

    def read(self, value: Any, at: Place) -> Any:
        """Returns the parsed word."""
        if value in self.words:
            return self.parse(value)
        words = ", ".join(self.words)
        if not isinstance(value, str):
            at.wrong(f"expected one of {words} in quotes, found {shown(value)}", hint=self.hint)
        else:
            hint = self.hint or nearest(value, self.words)
            at.wrong(f"{shown(value)} is not one of {words}", hint=hint)
        return None

    def schema(self) -> Schema:
        """Returns the schema of an enumeration."""
        return {"enum": [str(word) for word in self.words]}


class Integer(msgspec.Struct, frozen=True, kw_only=True):
    """An integer from ``least`` to ``most``, except those in ``without``; never a boolean."""

    blank: ClassVar[int] = 0

    what: str = "an integer"
    least: int = -limits.JSON_INTEGER
    most: int = limits.JSON_INTEGER
    without: tuple[int, ...] = ()

    def read(self, value: Any, at: Place) -> int | None:
        """Returns the integer."""
        if not isinstance(value, int) or isinstance(value, bool):
            at.wrong(f"expected {self.what}, found {shown(value)}")
        elif not self.least <= value <= self.most or value in self.without:
            at.wrong(f"not {self.what}: {shown(value)}")
        else:
            return value
        return None

    def schema(self) -> Schema:
        """Returns the schema of an integer with bounds."""
        found: Schema = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return found | ({"not": {"enum": list(self.without)}} if self.without else {})


class Number(msgspec.Struct, frozen=True):
    """An integer or a float, finite and at most 2^53 - 1; never a boolean."""

    blank: ClassVar[float] = 0

    def read(self, value: Any, at: Place) -> float | None:
        """Returns the number, as an integer if it is written as one."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            at.wrong(f"expected a number, found {shown(value)}")
        elif not abs(value) <= limits.JSON_INTEGER:
            at.wrong(f"{shown(value)} is not between -(2^53 - 1) and 2^53 - 1")
        else:
            return value
        return None

    def schema(self) -> Schema:
        """Returns the schema of a number with bounds."""
        return {"type": "number", "minimum": -limits.JSON_INTEGER, "maximum": limits.JSON_INTEGER}


class Boolean(msgspec.Struct, frozen=True):
    """True or false."""

    blank: ClassVar[bool] = False

    def read(self, value: Any, at: Place) -> bool | None:
        """Returns the boolean."""
        if isinstance(value, bool):
            return value
        at.wrong(f"expected true or false, found {shown(value)}")
        return None

    def schema(self) -> Schema:
        """Returns the schema of a boolean."""
        return {"type": "boolean"}


class Scalar(msgspec.Struct, frozen=True, kw_only=True):
    """A boolean, a number or a string; another key decides which."""

    blank: ClassVar[bool] = False

    text: Text

    def read(self, value: Any, at: Place) -> Any:
        """Returns the value unchanged."""
        return self._kind(value).read(value, at)

    def _kind(self, value: Any) -> Boolean | Number | Text:
        if isinstance(value, bool):
            return Boolean()
        return Number() if isinstance(value, int | float) else self.text

    def schema(self) -> Schema:
        """Returns the schema of any of the three."""
        return {"anyOf": [Boolean().schema(), Number().schema(), self.text.schema()]}
