"""Why locks can't be resolved, told with the lines of the files that ask for it."""

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
from mpbuild.base.errors import Finding, InputError
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

_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_TABLE = re.compile(r"(?:accelerators|environments)\.[a-z0-9-]+")


class StatedRequirement(msgspec.Struct, frozen=True):
    """A requirement of model.toml or mpbuild.toml: the table it is in, its text and its place."""

    table: str
    text: str
    where: str

    @property
    def name(self) -> str:
        """The normal name of the package that it is about."""
        return canonicalize_name(Requirement(self.text).name)

    def __str__(self) -> str:
        return f"{self.where} ({self.table}) asks for {self.text}"


@contextlib.contextmanager
def within(group: Sequence[LockEnvironment]) -> Iterator[None]:
    """Errors of an environment that is resolved by itself say which it is."""
    try:
        yield
    except InputError as error:
        if len(group) != 1:
            raise
        kind = "environments" if group[0].accelerator is None else "accelerators"
        raise error.within(f"{kind}.{group[0].name}") from error


@contextlib.contextmanager
def explained(target: Target) -> Iterator[None]:
    """Errors of resolving name every requirement that their reason speaks of, with its line."""
    try:
        yield
    except InputError as error:
        askings = list(_askings(target))
        raise InputError.collect([_placed(f, askings) for f in error.findings]) from error


def _placed(finding: Finding, askings: Sequence[StatedRequirement]) -> Finding:
    """The finding where the first guilty requirement stands; the others follow its message."""
    if finding.code not in (Code.SPEC_INVALID, Code.RESOLVER_WARNING):
        return finding
    words = {canonicalize_name(word) for word in _WORD.findall(finding.message)}
    table = _TABLE.match(finding.where)
    guilty = [one for one in askings if one.name in words and _applies(one, table)]
    if not guilty:
        return finding
    told = "".join(f"\n  {asking}" for asking in guilty)
    place = f"{finding.where}: " if finding.where else ""
    return finding._replace(where=guilty[0].where, message=f"{place}{finding.message}{told}")


def _applies(asking: StatedRequirement, table: re.Match[str] | None) -> bool:
    """Whether a requirement has a say in the environment that the error is of."""
    if table is None or asking.table in (table[0], "lock"):
        return True
    return asking.table == "environment" and table[0].startswith("accelerators.")


def _askings(target: Target) -> Iterator[StatedRequirement]:
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
