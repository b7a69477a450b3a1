"""The session of a command: global options, workspace, store, and output of results."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpbuild.base.errors import Finding

if TYPE_CHECKING:
    from mpbuild.app.workspace.workspace import OpenWorkspace
    from mpbuild.base.label import Label
    from mpbuild.effects.installation import Installation
    from mpbuild.effects.sandbox.bubblewrap import BwrapCandidate
    from mpbuild.effects.store.lazy_store import LazyStore
    from mpbuild.effects.store.store import Store
    from mpbuild.effects.workspace.snapshot import Snapshot


class Session:
    """One run of a command: its global options, and the workspace and store they name."""

    def __init__(
        self,
        command: str,
        directory: Path,
        store_option: str | None,
        *,
        json: bool,
        color: bool,
        quiet: bool,
        verbose: bool,
        toolchain: Path | None = None,
        bwrap: "Sequence[BwrapCandidate] | None" = None,
    ) -> None:
        self.command = command
        self.directory = directory
        self.json = json
        self.color = color
        self.quiet = quiet
        self.verbose = verbose
        self._store_option = store_option
        self._toolchain = toolchain
        self.bwrap = bwrap

    @cached_property
    def root(self) -> Path:
        """The workspace's root."""
        from mpbuild.app.workspace.targets import find_root

        return find_root(self.directory)

    @cached_property
    def snapshot(self) -> "Snapshot":
        """The snapshot of the workspace that this command reads."""
        from mpbuild.effects.workspace.snapshot import Snapshot

        return Snapshot(self.root, self._lazy_store)

    @cached_property
    def installation(self) -> "Installation":
        """This installation of mpbuild, as of its first use by the command."""
        from mpbuild.effects.installation import find_installation

        return find_installation(self._toolchain)

    @cached_property
    def store_path(self) -> Path:
        """The path of the store: see ``app.workspace.targets.store_path``."""
        from mpbuild.app.workspace.targets import store_path

        return store_path(self._store_option, self.directory, lambda _: self.snapshot)

    def store(self) -> "Store":
        """The store, opened."""
        return self._lazy_store.store

    @cached_property
    def _lazy_store(self) -> "LazyStore":
        from mpbuild.effects.store.lazy_store import LazyStore

        return LazyStore(lambda: self.store_path)

    def workspace(self) -> "OpenWorkspace":
        """The workspace, for commands that also write its files; reads each anew."""
        from mpbuild.app.workspace.workspace import OpenWorkspace

        return OpenWorkspace(self.root)

    def labels(self, names: Sequence[str]) -> "list[Label]":
        """The labels of the targets that ``names`` select."""
        from mpbuild.app.workspace.targets import labels

        return labels(self.root, names, self.directory, self.snapshot)

    def say(self, text: str, end: str = "\n") -> None:
        """Prints a line on standard error; ignores errors in doing so."""
        with suppress(OSError):
            print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201 - the one place that prints it

    def progress(self, text: str) -> None:
        """Prints a line of progress, unless ``--quiet`` is given."""
        if not self.quiet:
            self.say(text)

    def emit(
        self,
        payload: Mapping[str, Any],
        text: Callable[[], str],
        *,
        ok: bool = True,
        findings: Sequence[Finding] = (),
    ) -> None:
        """Prints the result: one JSON object, or text, with findings on standard error."""
        if self.json:
            out = {"schema": f"mpbuild.{self.command}/1", "ok": ok, **payload}
            out["findings"] = [finding_json(finding) for finding in findings]
            self.write_json(out)
            return
        if rendered := text():
            encoding = sys.stdout.encoding or "utf-8"
            self.write(f"{rendered}\n".encode(encoding, "backslashreplace"))
        for finding, following in zip_longest(findings, findings[1:]):
            # Equal hints of consecutive findings are printed once, below the last.
            again = following is not None and following.hint == finding.hint
            self.say(self.finding(finding._replace(hint="") if again else finding))

    def write_json(self, data: object) -> None:
        """Prints JSON on standard output, as UTF-8 in any locale."""
        text = json.dumps(data, indent=2, ensure_ascii=False)
        self.write(f"{text}\n".encode("utf-8", "replace"))

    def write(self, data: bytes) -> None:
        """Writes bytes of a result to standard output; raises OSError."""
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

    def finding(self, finding: Finding) -> str:
        """A finding as text: place, message, hint."""
        color = {"error": "31", "warning": "33", "note": "36"}[finding.severity]
        head = f"{finding.severity}[{finding.code}]"
        return f"{self.paint(head, color)} {finding}"

    def paint(self, text: str, color: str) -> str:
        """``text`` in a color, if colors are on."""
        return f"\x1b[{color}m{text}\x1b[0m" if self.color else text


def finding_json(finding: Finding) -> dict[str, str]:
    """A finding as JSON data, as docs/cli.md documents it."""
    return {
        "code": finding.code,
        "severity": finding.severity,
        "where": finding.where,
        "message": finding.message,
        "hint": finding.hint,
    }


def wants_color(choice: str) -> bool:
    """Whether to print colors; ``auto`` depends on the terminal and NO_COLOR."""
    if choice != "auto":
        return choice == "always"
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
