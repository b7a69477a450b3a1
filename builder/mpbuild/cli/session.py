"""What every command shares: global options, the workspace, the store, and how results go out."""

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
    from mpbuild.effects.store.lazy_store import LazyStore
    from mpbuild.effects.store.store import Store
    from mpbuild.effects.workspace.snapshot import Snapshot


class Session:
    """The command and the global options of one run, and what they lead to."""

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
    ) -> None:
        self.command = command
        self.directory = directory
        self.json = json
        self.color = color
        self.quiet = quiet
        self.verbose = verbose
        self._store_option = store_option
        self._toolchain = toolchain

    @cached_property
    def root(self) -> Path:
        """The workspace's root."""
        from mpbuild.app.workspace.targets import find_root

        return find_root(self.directory)

    @cached_property
    def snapshot(self) -> "Snapshot":
        """The workspace as this command sees it: each file is read once."""
        from mpbuild.effects.workspace.snapshot import Snapshot

        return Snapshot(self.root, self._lazy_store)

    @cached_property
    def installation(self) -> "Installation":
        """This mpbuild, as the command found it first."""
        from mpbuild.effects.installation import find_installation

        return find_installation(self._toolchain)

    @cached_property
    def store_path(self) -> Path:
        """Where the store is: the option, MPBUILD_STORE, the workspace file, the user's cache."""
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
        """The workspace, for commands that write what they read."""
        from mpbuild.app.workspace.workspace import OpenWorkspace

        return OpenWorkspace(self.root)

    def labels(self, names: Sequence[str]) -> "list[Label]":
        """The targets that ``names`` mean."""
        from mpbuild.app.workspace.targets import labels

        return labels(self.root, names, self.directory, self.snapshot)

    def say(self, text: str, end: str = "\n") -> None:
        """A line on standard error; where that can't be written, nothing depends on it."""
        with suppress(OSError):
            print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201 - the one place that prints it

    def progress(self, text: str) -> None:
        """A line for people who wait."""
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
        """The result, on standard output: one JSON object, or text and findings for people."""
        if self.json:
            out = {"schema": f"mpbuild.{self.command}/1", "ok": ok, **payload}
            out["findings"] = [finding_json(finding) for finding in findings]
            self.write_json(out)
            return
        if rendered := text():
            encoding = sys.stdout.encoding or "utf-8"
            self.write(f"{rendered}\n".encode(encoding, "backslashreplace"))
        for finding, following in zip_longest(findings, findings[1:]):
            # What is to be done about many things alike is told once, below them.
            again = following is not None and following.hint == finding.hint
            self.say(self.finding(finding._replace(hint="") if again else finding))

    def write_json(self, data: object) -> None:
        """A result that is JSON: UTF-8, whatever the locale is."""
        text = json.dumps(data, indent=2, ensure_ascii=False)
        self.write(f"{text}\n".encode("utf-8", "replace"))

    def write(self, data: bytes) -> None:
        """Bytes of a result, on standard output. Raises OSError."""
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

    def finding(self, finding: Finding) -> str:
        """A finding for people: place, message, hint."""
        color = {"error": "31", "warning": "33", "note": "36"}[finding.severity]
        head = f"{finding.severity}[{finding.code}]"
        return f"{self.paint(head, color)} {finding}"

    def paint(self, text: str, color: str) -> str:
        """``text`` in a colour, where colours are wanted."""
        return f"\x1b[{color}m{text}\x1b[0m" if self.color else text


def finding_json(finding: Finding) -> dict[str, str]:
    """A finding as docs/cli.md has it."""
    return {
        "code": finding.code,
        "severity": finding.severity,
        "where": finding.where,
        "message": finding.message,
        "hint": finding.hint,
    }


def wants_color(choice: str) -> bool:
    """Whether standard error takes colours: ``auto`` asks the terminal and NO_COLOR."""
    if choice != "auto":
        return choice == "always"
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
