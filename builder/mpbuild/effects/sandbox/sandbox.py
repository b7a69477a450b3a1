"""Runs a command that sees its declared inputs and nothing else.

Its root is a read-only overlay of folders. It has its own namespaces of every kind, no network
except its own loopback, no capabilities, and a fixed user and host name. It can write to ``/tmp``,
``/dev/shm`` and writable binds.
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
from mpbuild.effects.sandbox.supervise import STDOUT_LIMIT, ProcessOutcome, Supervision
from mpbuild.engine import step_environment

Scratch = Callable[[], AbstractContextManager[Path]]
"""Opens a fresh private folder, which is removed after use."""

_NO_COMMAND = "/nowhere"
_TMP = "/tmp"  # noqa: S108 - the sandbox's own
_SHM = "/dev/shm"  # noqa: S108 - the sandbox's own


class Bind(msgspec.Struct, frozen=True):
    """A file or folder of the host, and whether the command can write to it."""

    path: Path
    writable: bool = False


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A command and everything that it sees.

    ``layers`` are the folders that make up ``/``, lowest first. ``binds`` maps a path in the
    sandbox to a file or folder of the host. ``environment`` is complete: bubblewrap only adds
    ``PWD``. ``stdin`` has its bytes, or is inherited. ``stdout`` goes to the log, is kept
    separately up to ``stdout_limit`` bytes, or is inherited; ``stderr`` goes to the log or is
    inherited. ``tmp_bytes`` is the size of ``/tmp`` and of ``/dev/shm``.
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
    stdout_limit: int = STDOUT_LIMIT
    tmp_bytes: int = 1 << 30


class Sandbox:
    """Runs commands by bubblewrap; ``scratch`` is on the filesystem of the layers."""

    def __init__(self, bwrap: Bwrap, scratch: Scratch) -> None:
        self._bwrap = bwrap
        self._scratch = scratch

    def run(self, spec: SandboxSpec) -> ProcessOutcome:
        """Runs the command, and all that it starts, to the end.

        Raises AnswerError if the root has no such command or working folder, and
        EnvironmentFailureError (sandbox-unavailable) if the machine forbids the sandbox.
        """
        _check_reach([*spec.layers, *(bind.path for bind in spec.binds.values())])
        with self._scratch() as folder:
            mountpoints = {path: bind.path.is_dir() for path, bind in spec.binds.items()}
            mountpoints |= dict.fromkeys(("/proc", "/dev", _TMP), True)
            skeleton = make_skeleton(mountpoints, folder / "skeleton")
            empty = make_skeleton({}, folder / "empty")
            layers = within_one_mount([empty, *spec.layers], skeleton, folder / "merged")
            return self._enter(spec, layers)

    def probe(self) -> None:
        """Checks that this machine permits the sandbox.

        Raises EnvironmentFailureError, whose hint names the setting to change. The command does
        not exist, which bubblewrap notices only after it has set up the sandbox.
        """
        with suppress(AnswerError):
            self.run(SandboxSpec(layers=(), command=(_NO_COMMAND,)))

    def _enter(self, spec: SandboxSpec, layers: Sequence[Path]) -> ProcessOutcome:
        with ExitStack() as stack:
            status, status_end = _pipe(stack)
            gate_end, gate = _pipe(stack)
            rules = stack.enter_context(os.fdopen(os.memfd_create("seccomp"), "w+b", 0))
            rules.write(seccomp.program())
            rules.seek(0)
            process = stack.enter_context(self._spawn(spec, layers, status_end, gate_end, rules))
            stack.callback(process.kill)
            for passed_on in (status_end, gate_end, rules):
                passed_on.close()
            pidfd = _hold(process, status.readline())
            stack.callback(os.close, pidfd)
            with suppress(BrokenPipeError):
                gate.write(b"\n")
            supervision = Supervision(
                process, pidfd, lambda: _kill(process, pidfd), spec.stdout_limit
            )
            completed = supervision.run(
                stdin=spec.stdin if isinstance(spec.stdin, bytes) else b"",
                keep_stdout=spec.stdout == "keep",
                timeout_ms=spec.timeout_ms,
            )
            started = b"exit-code" in status.read()
        killed = completed.timed_out or process.returncode < 0
        if not started and not killed:
            raise _refusal(spec, completed.log.decode("utf-8", "backslashreplace"))
        return completed

    def _spawn(
        self,
        spec: SandboxSpec,
        layers: Sequence[Path],
        status: IO[bytes],
        gate: IO[bytes],
        rules: IO[Any],
    ) -> "subprocess.Popen[bytes]":
        merged = STDOUT if spec.stdout == "log" else PIPE
        try:
            return subprocess.Popen(
                [
                    os.fspath(self._bwrap.path),
                    *_isolation(spec),
                    *_filesystem(spec, layers),
                    *("--json-status-fd", str(status.fileno())),
                    *("--block-fd", str(gate.fileno())),
                    *("--seccomp", str(rules.fileno())),
                    *("--", *spec.command),
                ],
                stdin=None if spec.stdin == "inherit" else PIPE if spec.stdin else DEVNULL,
                stdout=None if spec.stdout == "inherit" else PIPE,
                stderr=None if spec.stderr == "inherit" else merged,
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
    """Checks that an unprivileged user can reach ``paths``; raises EnvironmentFailureError.

    Root could mount other paths but not read them in the sandbox.
    """
    for path in paths if os.geteuid() == 0 else ():
        with suppress(FileNotFoundError):
            status = path.stat()
            needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
            if status.st_uid != 0 and status.st_mode & needed != needed:
                raise unavailable(f"source path {path}: Permission denied", sandbox_host())


def _isolation(spec: SandboxSpec) -> Iterator[str]:
    yield from ("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session")
    yield from ("--cap-drop", "ALL", "--uid", str(step_environment.USER_ID))
    yield from ("--gid", str(step_environment.GROUP_ID))
    yield from ("--hostname", step_environment.HOST_NAME, "--clearenv")
    for name, value in spec.environment.items():
        yield from ("--setenv", name, value)


def _filesystem(spec: SandboxSpec, layers: Sequence[Path]) -> Iterator[str]:
    size = str(spec.tmp_bytes)
    for layer in layers:
        yield from ("--overlay-src", os.fspath(layer))
    yield from ("--ro-overlay", "/")
    # The host's root owns /proc/sys in the sandbox, in spite of the dropped capabilities.
    yield from ("--proc", "/proc", "--remount-ro", "/proc")
    yield from ("--dev", "/dev", "--perms", "1777", "--size", size, "--tmpfs", _SHM)
    yield from ("--remount-ro", "/dev", "--perms", "1777", "--size", size, "--tmpfs", _TMP)
    for path, bind in sorted(spec.binds.items()):
        yield from ("--bind" if bind.writable else "--ro-bind", os.fspath(bind.path), path)
    yield from ("--chdir", spec.cwd)


def _hold(process: "subprocess.Popen[bytes]", status: bytes) -> int:
    """A pidfd of the sandbox's first process, with which all others in it die.

    That process waits at the gate until its limits are set, so its number cannot be reused. If
    bubblewrap failed before, the pidfd is that of bubblewrap itself.
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


def _refusal(spec: SandboxSpec, complaint: str) -> AnswerError | EnvironmentFailureError:
    if "execvp" in complaint:
        return AnswerError(f"no command {spec.command[0]!r} in the sandbox: {complaint}")
    if "chdir to" in complaint:
        return AnswerError(f"no folder {spec.cwd!r} in the sandbox")
    return unavailable(complaint, sandbox_host())


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return (
        stack.enter_context(os.fdopen(reading, "rb")),
        stack.enter_context(os.fdopen(writing, "wb", 0)),
    )
