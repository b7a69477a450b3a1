"""Findings, and the errors that carry them: what is wrong, where, and what to do."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, Self

from mpbuild.base.codes import Code

Severity = Literal["error", "warning", "note"]

DECODING_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading a malformed cache entry raises."""


class Finding(NamedTuple):
    """A single finding: reason code, message, place and what to do about it."""

    code: Code
    message: str
    where: str = ""
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        """``where: message`` and, on its own line, the hint."""
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{advice}"


class MpbuildError(Exception):
    """The root of all errors that users see; carries at least one finding.

    ``exit_code`` is the exit code of the process, as docs/cli.md lists it.
    """

    exit_code: ClassVar[int] = 70
    default_code: ClassVar[Code] = Code.INTERNAL

    def __init__(
        self, message: str, *, where: str = "", hint: str = "", code: Code | None = None
    ) -> None:
        self.findings: tuple[Finding, ...] = (
            Finding(code or self.default_code, message, where, hint),
        )
        super().__init__(str(self.findings[0]))

    @classmethod
    def collect(cls, findings: Sequence[Finding]) -> Self:
        """An error that carries all of ``findings``, at least one."""
        first = findings[0]
        error = cls(first.message, where=first.where, hint=first.hint, code=first.code)
        error.findings = tuple(findings)
        error.args = ("\n".join(str(finding) for finding in findings),)
        return error

    def within(self, where: str) -> Self:
        """The same error, with ``where`` prepended to the place of each finding."""
        return self.collect(
            [
                finding._replace(where=f"{where}: {finding.where}" if finding.where else where)
                for finding in self.findings
            ]
        )


class AnswerError(MpbuildError):
    """A negative answer: a check, a step or a test failed (exit 1)."""

    exit_code = 1
    default_code = Code.STEP_FAILED


class InputError(MpbuildError):
    """Invalid input: usage, spec, lock, an unsafe archive (exit 2)."""

    exit_code = 2
    default_code = Code.SPEC_INVALID


class EnvironmentFailureError(MpbuildError):
    """Environment failure: network, disk, a missing sandbox or tool (exit 3)."""

    exit_code = 3
    default_code = Code.FETCH_FAILED
