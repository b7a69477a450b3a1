"""Build records: the actions, inputs and results of a build. Version ``mpbuild.record/1``.

A record stays on the builder's machine, as it contains times; statements are derived from it.
"""

from typing import Literal

import msgspec

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label

SCHEMA = "mpbuild.record/1"


class RepositoryState(msgspec.Struct, frozen=True):
    """The state of the workspace's repository; without one, ``commit`` is None."""

    commit: str | None
    dirty: bool


class ActionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An action: its key, its data, the source of its result, and its times in seconds."""

    name: str
    key: Digest
    rule: str
    version: int
    inputs: dict[str, Digest]
    root: tuple[Digest, ...]
    command: tuple[str, ...]
    outputs: dict[str, Digest]
    diff_id: Digest | None
    result: Literal["run", "cached"]
    sandboxed: bool
    started: float
    finished: float


class RecordedInput(msgspec.Struct, frozen=True, order=True):
    """A fetched file: kind (``wheel``, ``debian`` or ``weights``), name and digest."""

    kind: str
    name: str
    digest: Digest


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One build of one target.

    ``images`` and ``pex`` are the package's children by accelerator, ``model`` is its model
    artifact. ``leaves`` are the digests of all leaves that no action made, by kind and name
    (``lock:pylock.cpu.toml``). ``hermetic`` is true if every action was a pure function or ran in
    the sandbox.
    """

    mpbuild: str
    label: Label
    package: Digest
    images: dict[str, Digest]
    pex: dict[str, Digest]
    model: Digest
    partial: bool
    source: RepositoryState
    hermetic: bool
    leaves: dict[str, Digest]
    inputs: tuple[RecordedInput, ...]
    actions: tuple[ActionRecord, ...]
    started: float
    finished: float
    schema: str = SCHEMA

    @property
    def digest(self) -> Digest:
        """The identity of this build."""
        return Digest.of(encode(self))

    @property
    def accelerators(self) -> tuple[str, ...]:
        """The accelerators of this build."""
        return tuple(self.images)


def encode(record: Record) -> bytes:
    """The canonical JSON of a record."""
    return canonical.encode(plain(record))


def decode(data: bytes) -> Record:
    """Reads a record; raises InputError (content-mismatch)."""
    record = typed(canonical.decode(data), Record)
    if record.schema != SCHEMA:
        raise InputError(f"unknown record version {record.schema}", code=Code.CONTENT_MISMATCH)
    return record
