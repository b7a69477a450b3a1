"""Labels name targets, patterns name sets of them."""

import re
from typing import Self

from mpbuild.base.errors import InputError

_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_PATH = rf"{_SEGMENT}(?:/{_SEGMENT})*"
_LABEL = re.compile(rf"//(?:{_PATH})?")
_PATTERN = re.compile(rf"//(?:{_PATH}/)?\.\.\.")


class Label(str):
    """``//folder/of/a/target``, relative to the workspace; ``//`` is the workspace's own folder."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raise InputError where ``text`` is not a label."""
        if not _LABEL.fullmatch(text):
            raise InputError(
                f"not a label: {text[:200]!r}",
                hint="a label is // and the folder of a model.toml, such as //examples/digits",
            )
        return super().__new__(cls, text)

    @property
    def path(self) -> str:
        """The target's folder relative to the workspace, ``""`` for the workspace itself."""
        return self[2:]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.rsplit("/", 1)[-1]


class Pattern(str):
    """``//a/...`` (every target under a), ``//...`` (all), or a label."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raise InputError where ``text`` is neither a label nor a pattern."""
        if not _PATTERN.fullmatch(text):
            Label(text)
        return super().__new__(cls, text)

    def matches(self, label: Label) -> bool:
        """Whether ``label`` is in the set."""
        if not self.endswith("/..."):
            return str(self) == str(label)
        stem = self.removesuffix("/...")
        return self == "//..." or label == stem or label.startswith(stem + "/")
