"""Running one command where it sees nothing but what it was given.

Its root is made of folders laid over each other, read-only. It has namespaces of its own of
every kind, no network but its own loopback, no capabilities, a fixed user and host name, a
complete environment, and two places to write to: ``/tmp`` and what is bound writable.
"""

import json
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import IO, Any, Literal

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.errors import AnswerError, EnvironmentFailureError
from mpbuild.effects.sandbox import seccomp
from mpbuild.effects.sandbox.bubblewrap import Bwrap, sandbox_host, unavailable
from mpbuild.effects.sandbox.root_layers import make_skeleton, within_one_mount
from mpbuild.effects.sandbox.supervise import ProcessOutcome, Supervision
from mpbuild.engine import step_environment

Scratch = Callable[[], AbstractContextManager[Path]]
"""Gives a fresh private folder, removed after use."""

_NOWHERE = "/nowhere"
_TMP = "/tmp"  # noqa: S108 - the sandbox's own
_SHM = "/dev/shm"  # noqa: S108 - the sandbox's own


class Bind(msgspec.Struct, frozen=True):
    """A file or folder of the host, and whether the command may write to it."""

    path: Path
    writable: bool = False


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, and everything it sees.

    ``layers`` are folders, lowest first, that make ``/``. ``binds`` maps a path inside to what
    stands there. ``environment`` is complete; bubblewrap adds ``PWD`` and nothing else does.
    ``stdin`` is fed, or inherited. ``stdout`` goes into the log, is kept apart, or is inherited;
    ``stderr`` goes into the log or is inherited. ``tmp_bytes`` is the size of ``/tmp`` and of
    ``/dev/shm``.
    """

    layers: tuple[Path, ...]
    command: tuple[str, ...]
    binds: Mapping[str, Bind] = {}
    environment: Mapping[str, str] = {}
    cwd: str = "/"
    stdin: bytes | Literal["inherit"] = b""
    stdout: Literal["log", "keep", "inherit"] = "log"
    stderr: Literal["log", "inherit"] = "log"
    timeout_ms: int | None = None
    tmp_bytes: int = 1 << 30


class Sandbox:
    """Runs cells by bubblewrap; ``scratch`` is on the filesystem that holds the layers."""

    def __init__(self, bwrap: Bwrap, scratch: Scratch) -> None:
        self._bwrap = bwrap
        self._scratch = scratch

    def run(self, cell: SandboxSpec) -> ProcessOutcome:
        """Run the command to its end, and to the end of all that it started.

        Raises AnswerError where the root holds no such command or working folder,
        EnvironmentFailureError (``sandbox-unavailable``) where the machine forbids the sandbox.
        """
        _check_reach([*cell.layers, *(bind.path for bind in cell.binds.values())])
        with self._scratch() as folder:
            mountpoints = {path: bind.path.is_dir() for path, bind in cell.binds.items()}
            mountpoints |= dict.fromkeys(("/proc", "/dev", _TMP), True)
            skeleton = make_skeleton(mountpoints, folder / "skeleton")
            empty = make_skeleton({}, folder / "empty")
            layers = within_one_mount([empty, *cell.layers], skeleton, folder / "merged")
            return self._enter(cell, layers)

    def probe(self) -> None:
        """Check that this machine permits the sandbox.

        Raises EnvironmentFailureError, whose hint names the setting to change.

        That there is no command to run shows only after everything else was set up.
        """
        with suppress(AnswerError):
            self.run(SandboxSpec(layers=(), command=(_NOWHERE,)))

    def _enter(self, cell: SandboxSpec, layers: Sequence[Path]) -> ProcessOutcome:
        with ExitStack() as stack:
            status, status_end = _pipe(stack)
            gate_end, gate = _pipe(stack)
            rules = stack.enter_context(os.fdopen(os.memfd_create("seccomp"), "w+b", 0))
            rules.write(seccomp.program())
            rules.seek(0)
            process = stack.enter_context(self._spawn(cell, layers, status_end, gate_end, rules))
            stack.callback(process.kill)
            for ours_no_more in (status_end, gate_end, rules):
                ours_no_more.close()
            pidfd = _hold(process, status.readline())
            stack.callback(os.close, pidfd)
            with suppress(BrokenPipeError):
                gate.write(b"\n")
            completed = Supervision(process, pidfd, lambda: _kill(process, pidfd)).run(
                stdin=cell.stdin if isinstance(cell.stdin, bytes) else b"",
                keep_stdout=cell.stdout == "keep",
                timeout_ms=cell.timeout_ms,
            )
            started = b"exit-code" in status.read()
        killed = completed.timed_out or process.returncode < 0
        if not started and not killed:
            raise _refusal(cell, completed.log.decode("utf-8", "backslashreplace"))
        return completed

    def _spawn(
        self,
        cell: SandboxSpec,
        layers: Sequence[Path],
        status: IO[bytes],
        gate: IO[bytes],
        rules: IO[Any],
    ) -> "subprocess.Popen[bytes]":
        merged = STDOUT if cell.stdout == "log" else PIPE
        try:
            return subprocess.Popen(
                [
                    os.fspath(self._bwrap.path),
                    *_isolation(cell),
                    *_filesystem(cell, layers),
                    *("--json-status-fd", str(status.fileno())),
                    *("--block-fd", str(gate.fileno())),
                    *("--seccomp", str(rules.fileno())),
                    *("--", *cell.command),
                ],
                stdin=None if cell.stdin == "inherit" else PIPE if cell.stdin else DEVNULL,
                stdout=None if cell.stdout == "inherit" else PIPE,
                stderr=None if cell.stderr == "inherit" else merged,
                bufsize=0,
                env=self._bwrap.environment,
                cwd="/",
                umask=step_environment.UMASK,
                pass_fds=(status.fileno(), gate.fileno(), rules.fileno()),
            )
        except (OSError, ValueError) as error:
            raise EnvironmentFailureError(
                f"cannot start {self._bwrap.path}: {error}", code=Code.SANDBOX_UNAVAILABLE
            ) from error


def _check_reach(paths: Sequence[Path]) -> None:
    """Check that an unprivileged user can reach ``paths``.

    Root could mount them but not read them inside. Raises EnvironmentFailureError.
    """
    for path in paths if os.geteuid() == 0 else ():
        with suppress(FileNotFoundError):
            status = path.stat()
            needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
            if status.st_uid != 0 and status.st_mode & needed != needed:
                raise unavailable(f"source path {path}: Permission denied", sandbox_host())


def _isolation(cell: SandboxSpec) -> Iterator[str]:
    yield from ("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session")
    yield from ("--cap-drop", "ALL", "--uid", str(step_environment.USER_ID))
    yield from ("--gid", str(step_environment.GROUP_ID))
    yield from ("--hostname", step_environment.HOST_NAME, "--clearenv")
    for name, value in cell.environment.items():
        yield from ("--setenv", name, value)


def _filesystem(cell: SandboxSpec, layers: Sequence[Path]) -> Iterator[str]:
    size = str(cell.tmp_bytes)
    for layer in layers:
        yield from ("--overlay-src", os.fspath(layer))
    yield from ("--ro-overlay", "/")
    # The host's root is the owner of /proc/sys inside, whatever capabilities were dropped.
    yield from ("--proc", "/proc", "--remount-ro", "/proc")
    yield from ("--dev", "/dev", "--perms", "1777", "--size", size, "--tmpfs", _SHM)
    yield from ("--remount-ro", "/dev", "--perms", "1777", "--size", size, "--tmpfs", _TMP)
    for path, bind in sorted(cell.binds.items()):
        yield from ("--bind" if bind.writable else "--ro-bind", os.fspath(bind.path), path)
    yield from ("--chdir", cell.cwd)


def _hold(process: "subprocess.Popen[bytes]", status: bytes) -> int:
    """A file descriptor of the sandbox's first process, whose death is the death of all in it.

    It waits at the gate until its limits are set, so that its number can't be another's by now.
    Where bubblewrap failed before, its own process stands in.
    """
    with suppress(ProcessLookupError, json.JSONDecodeError):
        first = int(json.loads(status)["child-pid"])
        pidfd = os.pidfd_open(first)
        _limit(first, resource.RLIMIT_CORE, 0)
        _limit(first, resource.RLIMIT_NOFILE, step_environment.OPEN_FILES)
        return pidfd
    return os.pidfd_open(process.pid)


def _limit(pid: int, kind: int, wanted: int) -> None:
    with suppress(ProcessLookupError):
        _, highest = resource.prlimit(pid, kind)
        value = wanted if highest == resource.RLIM_INFINITY else min(wanted, highest)
        resource.prlimit(pid, kind, (value, value))


def _kill(process: "subprocess.Popen[bytes]", pidfd: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    process.kill()


def _refusal(cell: SandboxSpec, complaint: str) -> AnswerError | EnvironmentFailureError:
    if "execvp" in complaint:
        return AnswerError(f"the sandbox holds no command {cell.command[0]!r}: {complaint}")
    if "chdir to" in complaint:
        return AnswerError(f"the sandbox holds no folder {cell.cwd!r}")
    return unavailable(complaint, sandbox_host())


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return (
        stack.enter_context(os.fdopen(reading, "rb")),
        stack.enter_context(os.fdopen(writing, "wb", 0)),
    )
