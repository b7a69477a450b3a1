"""An action: everything that decides its outputs, as frozen data, and nothing else."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from mpbuild.base import canonical
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest

Parameter = str | int | bool | tuple[str, ...] | dict[str, str]


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A command or derive function, and its inputs.

    ``rule`` and ``version`` name the function or rule and the version of its format. ``executor``
    is the kind of executor: ``derive`` in this process, ``sandbox`` in a sandbox. ``inputs`` maps
    the name or path of a file, as the action sees it, to its digest; ``executable`` lists those
    with the executable bit. ``root`` lists the diff_ids of the layers of a sandbox's root, lowest
    first. Clock, host, user, absolute paths and the sandbox tool must not influence an action.
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
    """An output: its digest, its size in bytes and, for a layer, the digest of its plain tar."""

    digest: Digest
    size: int
    diff_id: Digest | None = None


class ActionResult(msgspec.Struct, frozen=True):
    """The outputs of an action by name, and whether it ran in a sandbox.

    A derive action is a pure function and counts as sandboxed.
    """

    outputs: dict[str, Output]
    sandboxed: bool
