"""Executes steps without a sandbox, on the host's own Python: works anywhere, proves nothing."""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath

from mpbuild.base import image_paths
from mpbuild.base.codes import Code
from mpbuild.base.errors import AnswerError, EnvironmentFailureError
from mpbuild.effects.sandbox.step_executor import (
    StepStore,
    command_of,
    errors_within,
    prepare,
    store_outputs,
    working_folder,
)
from mpbuild.effects.sandbox.supervise import ProcessOutcome, Supervision
from mpbuild.engine import step_environment
from mpbuild.engine.action import Action, ActionResult

_WHICH = (
    "import os, sys; print(os.path.realpath(sys.executable)); print('%d.%d' % sys.version_info[:2])"
)

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_SIGKILL = int(signal.SIGKILL)


class HostExecutor:
    """Runs steps as plain processes, with the same files and command, that can see the host.

    The interpreter is the host's of version ``parameters["python"]``, by whatever path the command
    calls it. Wheels come from the action's layers. Results have ``sandboxed`` false.
    """

    def __init__(self, store: StepStore) -> None:
        self._store = store

    def run(self, action: Action, timeout_ms: int | None) -> ActionResult:
        """Runs ``action`` and stores its outputs; raises the errors of a sandboxed step.

        Raises EnvironmentFailureError (sandbox-unavailable) if the host has no such interpreter.
        """
        with errors_within(action), self._store.scratch() as folder:
            version = str(action.parameters.get("python", ""))
            tools = _tools(version, folder / "bin")
            work, out = prepare(action, self._store, folder)
            environment = step_environment.host_variables(
                action.environment,
                search_path=[str(tools), os.defpath],
                site_packages=self._site_packages(action, version),
            )
            command = _on_host(command_of(action, str(out)), tools)
            cwd = work / working_folder(action)
            completed = _complete(command, environment, cwd, timeout_ms)
            return ActionResult(store_outputs(action, completed, out, self._store), sandboxed=False)

    def _site_packages(self, action: Action, version: str) -> Iterator[str]:
        """The folders of wheels, of the uppermost layer first, because it would hide the others."""
        for diff_id in reversed(action.root):
            folder = self._store.tree(diff_id) / image_paths.site_packages(version)
            if folder.is_dir():
                yield str(folder)


def _tools(version: str, folder: Path) -> Path:
    """Fills a folder with links by which every name of the interpreter means ``version``."""
    interpreter = _interpreter(version, os.environ.get("PATH", os.defpath))
    folder.mkdir()
    for name in ("python", "python3", f"python{version}"):
        (folder / name).symlink_to(interpreter)
    return folder


@cache
def _interpreter(version: str, search_path: str) -> str:
    """The real path of ``pythonX.Y``; asks the program itself, because PATH may have a shim."""
    found = shutil.which(f"python{version}", path=search_path)
    if found is not None:
        answer = subprocess.run(
            [found, "-I", "-c", _WHICH], capture_output=True, text=True, check=False
        )
        path, _, found_version = answer.stdout.strip().partition("\n")
        if answer.returncode == 0 and found_version == version:
            return path
    raise EnvironmentFailureError(
        f"no python{version} on PATH",
        code=Code.SANDBOX_UNAVAILABLE,
        hint="install it, or build with the sandbox, which needs none",
    )


def _on_host(command: tuple[str, ...], tools: Path) -> tuple[str, ...]:
    program = tools / PurePosixPath(command[0]).name
    return (str(program), *command[1:]) if program.exists() else command


def _complete(
    command: tuple[str, ...], environment: dict[str, str], cwd: Path, timeout_ms: int | None
) -> ProcessOutcome:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=environment,
            cwd=cwd,
            umask=step_environment.UMASK,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, nothing that locks
        )
    except (OSError, ValueError) as error:
        raise AnswerError(f"cannot start {command[0]!r}: {error}") from error
    with process:
        pidfd = os.pidfd_open(process.pid)
        try:
            return Supervision(process, pidfd, lambda: _end(process.pid)).run(
                stdin=b"", keep_stdout=False, timeout_ms=timeout_ms
            )
        finally:
            os.close(pidfd)
            _end(process.pid)


def _die_with_parent() -> None:
    """Runs between fork and exec: the kernel kills the step when the build dies (prctl(2)).

    The signal comes at the end of the thread that forked, which waits for the step.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def _end(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
