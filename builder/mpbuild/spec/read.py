"""Reads texts and documents into frozen data, or reports every error with its line."""

import datetime
import re
import tomllib
from typing import Any, TypeVar, cast

from mpbuild.base.errors import Finding, InputError
from mpbuild.spec import checks
from mpbuild.spec.model import Model
from mpbuild.spec.place import Place, Problem, Reading
from mpbuild.spec.table_reader import NestedTable
from mpbuild.spec.tables import Table
from mpbuild.spec.workspace import Workspace

T = TypeVar("T", bound=Table)

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def read_workspace(text: str, *, file: str) -> Workspace:
    """Reads the workspace in ``text``; ``file`` names it in messages.

    Raises one InputError with a finding for each fault, or for the first syntax error.
    """
    reading = Reading(folder="")
    workspace = _read(Workspace, _parse(text, file), reading)
    _refuse(reading.problems, text, file)
    return workspace


def read_model(text: str, *, file: str, folder: str, workspace: Workspace) -> Model:
    """Reads the model in ``text``; ``folder`` is its folder inside ``workspace``.

    Raises one InputError with a finding for each fault, or for the first syntax error.
    """
    reading = Reading(folder=folder)
    model = _read(Model, _parse(text, file), reading)
    checks.check(model, workspace, Place(reading))
    _refuse(reading.problems, text, file)
    return model


def document(text: str) -> dict[str, Any]:
    """Returns the core spec as JSON data: a model.toml without ``[adapters]``."""
    data = _parse(text, "model.toml")
    try:
        return {key: _json(value) for key, value in data.items() if key != "adapters"}
    except RecursionError as error:
        raise InputError("nested too deeply", where="model.toml") from error


def model_from_document(data: Any, *, where: str, workspace: Workspace | None) -> Model:
    """Reads a model from JSON data such as ``document`` returns; ``where`` names it in findings.

    Checks everything that needs no files. Without a workspace it cannot check that the base exists
    and has the interpreter, nor that paths stay inside the workspace. Unpinned weights are a fault
    here, since such a model is never packaged.
    """
    reading = Reading()
    model = _read(Model, data, reading)
    checks.check(model, workspace, Place(reading))
    checks.check_pinned(model, Place(reading))
    if reading.problems:
        raise InputError.collect([_finding(problem, where) for problem in reading.problems])
    return model


def _read(table: type[T], data: Any, reading: Reading) -> T:
    kind = NestedTable(table)
    found = kind.read(data, Place(reading))
    return cast(T, kind.blank if found is None else found)


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        message = str(error)
        place = _PLACE.search(message)
        line = (place.group(1) if place else None) or text.rstrip().count("\n") + 1
        where = f"{file}:{line}" if place else file
        raise InputError(f"not TOML: {_PLACE.sub('', message)}", where=where) from error
    except RecursionError as error:
        raise InputError("TOML that is nested too deeply", where=file) from error


def _refuse(problems: list[Problem], text: str, file: str) -> None:
    if not problems:
        return
    from mpbuild.spec import toml_positions

    lines = toml_positions.lines(text)
    placed = sorted(
        ((toml_positions.line_of(problem.path, lines), problem) for problem in problems),
        key=lambda pair: pair[0],
    )
    raise InputError.collect([_finding(problem, f"{file}:{line}") for line, problem in placed])


def _finding(problem: Problem, where: str) -> Finding:
    return Finding(problem.code, problem.message, where, problem.hint)


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value
