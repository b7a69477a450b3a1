"""Versions of drivers, runtimes and processors: numbers separated by dots."""

import re
from typing import Self

from mpbuild.base.errors import InputError

_FORM = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,4}", re.ASCII)


class DottedVersion(str):
    """A version such as ``"580"`` or ``"450.80.02"``; keeps its text, compares number by number."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises InputError for a malformed version."""
        if not _FORM.fullmatch(text):
            raise InputError(
                f"not a dotted version: {text[:80]!r}",
                hint="write numbers and dots, such as 580.65",
            )
        return super().__new__(cls, text)

    @property
    def major(self) -> int:
        """The first number."""
        return self._numbers[0]

    @property
    def plain(self) -> str:
        """The numbers without leading zeros, as semantic versions require."""
        return ".".join(map(str, self._numbers))

    @property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(map(int, self.split(".")))

    @property
    def _rank(self) -> tuple[int, ...]:
        """The numbers without trailing zeros, which don't count in comparisons."""
        numbers = self._numbers
        last = max((i for i, number in enumerate(numbers) if number), default=-1)
        return numbers[: last + 1]

    def __lt__(self, other: str) -> bool:
        """Whether this version is older."""
        return self._rank < DottedVersion(other)._rank

    def __le__(self, other: str) -> bool:
        """Not above ``other``."""
        return not self > other

    def __gt__(self, other: str) -> bool:
        """Whether this version is newer."""
        return DottedVersion(other) < self

    def __ge__(self, other: str) -> bool:
        """Not below ``other``."""
        return not self < other
