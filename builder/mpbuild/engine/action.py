"""An action is frozen data: everything that decides its outputs, and nothing else."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from mpbuild.base import canonical
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest

Parameter = str | int | bool | tuple[str, ...] | dict[str, str]


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What runs and on what.

    ``rule`` and ``version`` name the function or rule and the version of its format;
    ``executor`` says who can run it: ``derive`` in this process, ``sandbox`` in a sandbox.
    ``inputs`` maps the name or path by which the action sees a file to its digest, and
    ``executable`` says which of these carry the executable bit. ``root`` lists the diff_ids of
    the layers that make the root of a sandbox, lowest first. No clock, host, user or absolute
    path gets in, and neither does the sandbox tool.
    """

    rule: str
    version: int
    executor: Literal["derive", "sandbox"]
    inputs: dict[str, Digest] = {}
    executable: tuple[str, ...] = ()
    root: tuple[Digest, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    parameters: dict[str, Parameter] = {}
    outputs: tuple[str, ...] = ()
    tools: dict[str, str] = {}
    platform: str = "linux/amd64"

    @property
    def key(self) -> Digest:
        """The digest of the action's canonical JSON (RFC 8785)."""
        return canonical.digest(plain(self))


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """One output: its digest, its size in bytes and, of a layer, the digest of the plain tar."""

    digest: Digest
    size: int
    diff_id: Digest | None = None


class Result(msgspec.Struct, frozen=True):
    """The outputs of an action by name, and whether a sandbox kept it from everything else.

    A derive action is a pure function and counts as sandboxed.
    """

    outputs: dict[str, Output]
    sandboxed: bool


Outputs = Mapping[str, Output]
