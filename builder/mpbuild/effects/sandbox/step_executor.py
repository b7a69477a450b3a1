"""Executes steps: actions that run a command in a sandbox and write files."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from mpbuild.base.digest import Digest
from mpbuild.base.errors import AnswerError, MpbuildError
from mpbuild.effects.sandbox.sandbox import Bind, Sandbox, SandboxSpec
from mpbuild.effects.sandbox.staging import checked, collect, stage
from mpbuild.effects.sandbox.supervise import ProcessOutcome
from mpbuild.effects.store.corruption import corrupt, is_intact
from mpbuild.engine.action import Action, ActionResult, Output

WORK = "/work"
OUT = "/out"
_PLACEHOLDER = "{out}"
_TAIL_LINES = 40
_LINE_LENGTH = 400
_COMMAND_LENGTH = 80


class StepStore(Protocol):
    """The part of the content-addressed store that executors use."""

    def blob(self, digest: Digest, /) -> Path:
        """The file with that digest; if read-only and dated 1980 it is linked, else copied."""

    def tree(self, diff_id: Digest, /) -> Path:
        """The folder of an unpacked layer."""

    def keep(self, path: Path, /) -> Output:
        """Moves a file into the store, read-only and dated 1980."""

    def scratch(self) -> AbstractContextManager[Path]:
        """Opens a fresh private folder on the store's filesystem, which is removed after use.

        Turns an OSError inside into an EnvironmentFailureError.
        """


class StepExecutor:
    """Runs steps in a sandbox.

    A step has its inputs, read-only, below ``/work`` and runs in the folder ``parameters["cwd"]``
    there. It writes its outputs to ``/out``, which replaces ``{out}`` in its command. Its root and
    its environment variables are those of the action.
    """

    def __init__(self, sandbox: Sandbox, store: StepStore) -> None:
        self._sandbox = sandbox
        self._store = store

    def run(self, action: Action, timeout_ms: int | None) -> ActionResult:
        """Runs ``action`` and stores its outputs.

        Raises AnswerError (step-failed), with the end of its log, if it fails, takes longer than
        ``timeout_ms`` or lacks an output, and InputError (output-undeclared) if it leaves anything
        else.
        """
        with errors_within(action), self._store.scratch() as folder:
            work, out = prepare(action, self._store, folder)
            completed = self._sandbox.run(
                SandboxSpec(
                    layers=tuple(self._store.tree(diff_id) for diff_id in action.root),
                    command=command_of(action, OUT),
                    binds={WORK: Bind(work), OUT: Bind(out, writable=True)},
                    environment=action.environment,
                    cwd=f"{WORK}/{working_folder(action)}",
                    timeout_ms=timeout_ms,
                )
            )
            return ActionResult(store_outputs(action, completed, out, self._store), sandboxed=True)


def prepare(action: Action, store: StepStore, folder: Path) -> tuple[Path, Path]:
    """Makes the folder of the action's inputs and the empty folder of its outputs."""
    work, out = folder / "work", folder / "out"
    (work / working_folder(action)).mkdir(parents=True)
    blobs = {name: _intact(store.blob(d), d, name) for name, d in action.inputs.items()}
    stage(blobs, action.executable, work)
    out.mkdir()
    out.chmod(0o755)
    return work, out


def _intact(blob: Path, digest: Digest, name: str) -> Path:
    """Hashes ``blob``: the result of a corrupt input would be kept under the key of a good one."""
    if not is_intact(blob, digest):
        raise corrupt(digest, where=name)
    return blob


def working_folder(action: Action) -> str:
    """The folder that the action runs in, relative to its inputs: ``cwd`` or ``.``."""
    folder = str(action.parameters.get("cwd", "."))
    return folder if folder == "." else checked(folder)


def command_of(action: Action, out: str) -> tuple[str, ...]:
    """The action's command, with ``{out}`` replaced."""
    return tuple(word.replace(_PLACEHOLDER, out) for word in action.command)


def store_outputs(
    action: Action, completed: ProcessOutcome, out: Path, store: StepStore
) -> dict[str, Output]:
    """Stores the outputs of a command; raises unless it succeeded and wrote all of them."""
    tail = _tail(completed.log)
    if not completed.succeeded:
        raise AnswerError(completed.reason + tail, hint=_hint(completed))
    try:
        outputs = collect(out, action.outputs)
    except AnswerError as error:
        raise AnswerError(error.findings[0].message + tail) from error
    return {name: store.keep(path) for name, path in outputs.items()}


@contextmanager
def errors_within(action: Action) -> Iterator[None]:
    """Prepends the command to the place of every error from inside."""
    try:
        yield
    except MpbuildError as error:
        raise error.within(_printable(" ".join(action.command))[:_COMMAND_LENGTH]) from error


def _hint(completed: ProcessOutcome) -> str:
    if completed.timed_out:
        return "raise its timeout"
    return "it may have run out of memory" if completed.status == 128 + 9 else ""


def _tail(log: bytes) -> str:
    """The last lines of a log, safe for a terminal, to follow a message."""
    text = log.decode("utf-8", "backslashreplace").replace("\r", "\n")
    lines = [_printable(line)[:_LINE_LENGTH] for line in text.split("\n") if line.strip()]
    return "".join(f"\n  | {line}" for line in lines[-_TAIL_LINES:])


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in text)
