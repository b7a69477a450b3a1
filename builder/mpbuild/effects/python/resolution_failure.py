"""Reads uv's answer to a resolution that failed, once, into typed data."""

import enum
import re

import msgspec
from packaging.utils import canonicalize_name

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.base.redaction import redacted


class FailureKind(enum.Enum):
    """Why a resolution failed."""

    CONFLICT = "conflict"
    """No versions satisfy all requirements."""
    NO_WHEEL = "no wheel"
    """Packages have only source distributions, or wheels for other platforms."""
    DIRECT_URL = "direct URL"
    """A package requires another one by URL instead of by version."""
    UNREACHABLE = "unreachable"
    """An index could not be read, or uv itself failed."""
    WARNING = "warning"
    """uv resolved, but warned that the lock differs from what was requested."""


class ResolutionFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed resolution.

    ``packages`` are those that cause it, such as packages without wheels. ``mentioned`` are the
    normalized names in uv's explanation; intersect them with the names of known packages, as the
    explanation consists of other words, too. ``explanation`` is uv's text without secrets.
    """

    kind: FailureKind
    explanation: str
    packages: tuple[str, ...] = ()
    mentioned: frozenset[str] = frozenset()

    def mentions(self, name: str) -> bool:
        """Whether the explanation mentions a package, by its normalized name."""
        return name in self.mentioned


class ResolutionError(InputError):
    """No lock satisfies the spec; ``failure`` has the reason as data."""

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        hint: str = "",
        code: Code | None = None,
        failure: ResolutionFailure | None = None,
    ) -> None:
        super().__init__(message, where=where, hint=hint, code=code)
        self.failure = failure or ResolutionFailure(
            kind=FailureKind.CONFLICT, explanation=message, mentioned=_names(message)
        )

    def within(self, where: str) -> "ResolutionError":
        """The same error, with ``where`` prepended to the place of each finding."""
        error = super().within(where)
        error.failure = self.failure
        return error


_ONLY_SOURCE = re.compile(r"Wheels are required for `([^`]+)`")
_UNREACHABLE = re.compile(r"could not be queried|network was disabled|lack of valid authentication")
_DIRECT_URL = re.compile(r"package `([^`]+)`\n +cause: Package `([^`]+)` was included as a URL")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST = 4000


def read_failure(stderr: str) -> ResolutionFailure:
    """Reads what uv printed before it ended with an error."""
    text = explanation(stderr)
    if found := _DIRECT_URL.search(text):
        return _failure(FailureKind.DIRECT_URL, text, found[1], found[2])
    if "No solution found" not in text or _UNREACHABLE.search(text):
        return _failure(FailureKind.UNREACHABLE, text)
    if sources := dict.fromkeys(_ONLY_SOURCE.findall(text)):
        lines = [line for line in text.split("\n") if not _ONLY_SOURCE.search(line)]
        # Names stay mentioned although the lines that only repeat them are left out.
        failure = _failure(FailureKind.NO_WHEEL, "\n".join(lines).strip(), *sources)
        return msgspec.structs.replace(failure, mentioned=_names(text))
    return _failure(FailureKind.CONFLICT, text)


def read_warnings(stderr: str) -> ResolutionFailure | None:
    """Reads the warnings of a resolution that succeeded; None if there are none."""
    lines = [line for line in explanation(stderr).split("\n") if line.startswith("warning: ")]
    if not lines:
        return None
    return _failure(
        FailureKind.WARNING, "; ".join(line.removeprefix("warning: ") for line in lines)
    )


def explanation(stderr: str) -> str:
    """Returns uv's text without logins, and without advice to search every index for a package."""
    paragraphs = redacted(_ANSI.sub("", stderr)).strip().split("\n\n")
    kept = "\n\n".join(text for text in paragraphs if "--index-strategy" not in text)
    lines = kept.split("\n")
    return "\n".join(line for line in lines if not line.startswith("Resolved "))[-_LONGEST:]


def _failure(kind: FailureKind, text: str, *packages: str) -> ResolutionFailure:
    return ResolutionFailure(kind=kind, explanation=text, packages=packages, mentioned=_names(text))


def _names(text: str) -> frozenset[str]:
    return frozenset(canonicalize_name(word) for word in _WORD.findall(text))
