"""Dotted numbers, as drivers, runtimes and processors have for versions."""

import re
from typing import Self

from mpbuild.base.errors import InputError

_FORM = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,4}", re.ASCII)


class DottedVersion(str):
    """``"580"`` or ``"450.80.02"``: keeps its text, and is ordered number by number."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raise InputError where ``text`` is anything but numbers between dots."""
        if not _FORM.fullmatch(text):
            raise InputError(f"not numbers between dots: {text[:80]!r}", hint="write it as in 580")
        return super().__new__(cls, text)

    @property
    def major(self) -> int:
        """The first number."""
        return self._numbers[0]

    @property
    def plain(self) -> str:
        """The same numbers without zeros in front, as semantic versions want them."""
        return ".".join(map(str, self._numbers))

    @property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(map(int, self.split(".")))

    @property
    def _rank(self) -> tuple[int, ...]:
        """Zeros at the end don't count."""
        numbers = self._numbers
        last = max((i for i, number in enumerate(numbers) if number), default=-1)
        return numbers[: last + 1]

    def __lt__(self, other: str) -> bool:
        """Whether it is the older one."""
        return self._rank < DottedVersion(other)._rank

    def __le__(self, other: str) -> bool:
        """Not above ``other``."""
        return not self > other

    def __gt__(self, other: str) -> bool:
        """Whether it is the newer one."""
        return DottedVersion(other) < self

    def __ge__(self, other: str) -> bool:
        """Not below ``other``."""
        return not self < other
