"""Labels, which name targets, and patterns, which name sets of targets."""

import re
from typing import Self

from mpbuild.base.errors import InputError

_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_PATH = rf"{_SEGMENT}(?:/{_SEGMENT})*"
_LABEL = re.compile(rf"//(?:{_PATH})?")
_PATTERN = re.compile(rf"//(?:{_PATH}/)?\.\.\.")


class Label(str):
    """``//folder/of/a/target``, relative to the workspace; ``//`` is its root folder."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises InputError for a malformed label."""
        if not _LABEL.fullmatch(text):
            raise InputError(
                f"not a label: {text[:200]!r}",
                hint="a label is // and the folder of a model.toml, such as //examples/digits",
            )
        return super().__new__(cls, text)

    @property
    def path(self) -> str:
        """The target's folder relative to the workspace; ``""`` for its root folder."""
        return self[2:]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.rsplit("/", 1)[-1]


class Pattern(str):
    """``//a/...`` (all targets in and below ``a``), ``//...`` (all targets) or a label."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises InputError for a malformed pattern."""
        if not _PATTERN.fullmatch(text):
            Label(text)
        return super().__new__(cls, text)

    def matches(self, label: Label) -> bool:
        """Whether the pattern includes ``label``."""
        if not self.endswith("/..."):
            return str(self) == str(label)
        stem = self.removesuffix("/...")
        return self == "//..." or label == stem or label.startswith(stem + "/")
