"""Explains a resolution that failed, with the lines of the specs that require the packages."""

import contextlib
import re
from collections.abc import Iterator, Sequence

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mpbuild.app.lock.lock_files import LockEnvironment
from mpbuild.app.workspace.targets import WORKSPACE_FILE
from mpbuild.app.workspace.workspace import Target
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.effects.python.resolution_failure import ResolutionError, ResolutionFailure
from mpbuild.spec import toml_positions
from mpbuild.spec.environment import (
    AcceleratorEnvironment,
    ExtraEnvironment,
    Stack,
)
from mpbuild.spec.environment import (
    Environment as Common,
)
from mpbuild.spec.place import Path
from mpbuild.spec.workspace import Override

Environments = Common | AcceleratorEnvironment | ExtraEnvironment

_TABLE = re.compile(r"(?:accelerators|environments)\.[a-z0-9-]+")


class StatedRequirement(msgspec.Struct, frozen=True):
    """A requirement in model.toml or mpbuild.toml: its table, its text and its place."""

    table: str
    text: str
    where: str

    @property
    def name(self) -> str:
        """The normalized name of the required package."""
        return canonicalize_name(Requirement(self.text).name)

    def __str__(self) -> str:
        return f"{self.where} ({self.table}) requires {self.text}"


@contextlib.contextmanager
def within(group: Sequence[LockEnvironment]) -> Iterator[None]:
    """Adds the environment to errors of one that is resolved by itself."""
    try:
        yield
    except ResolutionError as error:
        if len(group) != 1:
            raise
        kind = "environments" if group[0].accelerator is None else "accelerators"
        raise error.within(f"{kind}.{group[0].name}") from error


@contextlib.contextmanager
def explained(target: Target) -> Iterator[None]:
    """Adds every requirement that a failure mentions, with its line, to the error."""
    try:
        yield
    except ResolutionError as error:
        stated = list(_stated_requirements(target))
        findings = [_explained(one, error.failure, stated) for one in error.findings]
        raise ResolutionError.collect(findings) from error


def _explained(
    finding: Finding, failure: ResolutionFailure, stated: Sequence[StatedRequirement]
) -> Finding:
    """Places a finding at the first mentioned requirement and lists all of them."""
    if finding.code not in (Code.SPEC_INVALID, Code.RESOLVER_WARNING):
        return finding
    table = _TABLE.match(finding.where)
    mentioned = [one for one in stated if failure.mentions(one.name) and _applies(one, table)]
    if not mentioned:
        return finding
    lines = "".join(f"\n  {requirement}" for requirement in mentioned)
    place = f"{finding.where}: " if finding.where else ""
    return finding._replace(where=mentioned[0].where, message=f"{place}{finding.message}{lines}")


def _applies(stated: StatedRequirement, table: re.Match[str] | None) -> bool:
    """Whether a requirement applies to the environment of the error."""
    if table is None or stated.table in (table[0], "lock"):
        return True
    return stated.table == "environment" and table[0].startswith("accelerators.")


def _stated_requirements(target: Target) -> Iterator[StatedRequirement]:
    model, settings = target.model, target.workspace.settings
    tables: dict[str, Environments] = {
        "environment": model.environment,
        **{f"accelerators.{name}": table for name, table in model.accelerators.items()},
        **{f"environments.{name}": table for name, table in model.environments.items()},
    }
    lines = toml_positions.lines(target.text)
    for name, table in tables.items():
        for path, text in _requirements(tuple(name.split(".")), table):
            yield StatedRequirement(
                name, text, f"{target.file}:{toml_positions.line_of(path, lines)}"
            )
    lines = toml_positions.lines(target.workspace.text)
    for path, text in _bounds(("lock",), settings.lock.constraints, settings.lock.overrides):
        yield StatedRequirement(
            "lock", text, f"{WORKSPACE_FILE}:{toml_positions.line_of(path, lines)}"
        )


def _requirements(at: Path, table: Environments) -> Iterator[tuple[Path, str]]:
    for i, text in enumerate(table.dependencies):
        yield (*at, "dependencies", i), text
    if isinstance(table, Stack):
        yield from _bounds(at, table.constraints, table.overrides)


def _bounds(
    at: Path, constraints: Sequence[str], overrides: Sequence[Override]
) -> Iterator[tuple[Path, str]]:
    for i, text in enumerate(constraints):
        yield (*at, "constraints", i), text
    for i, override in enumerate(overrides):
        yield (*at, "overrides", i, "requirement"), override.requirement
