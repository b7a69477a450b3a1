"""What a command sees in a sandbox, and how its outcome is reported."""

import contextlib
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from mpbuild.base.errors import AnswerError, EnvironmentFailureError
from mpbuild.effects.sandbox.bubblewrap import Bwrap, find_bwrap
from mpbuild.effects.sandbox.sandbox import Bind, Sandbox, SandboxSpec
from mpbuild.effects.sandbox.supervise import LOG_LIMIT

pytestmark = pytest.mark.sandbox


def said(completed):
    assert completed.succeeded, (completed.reason, completed.log.decode())
    return json.loads(completed.log)


def running(marker: str) -> list[int]:
    """The processes of this machine whose command line contains ``marker``."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = place.read_bytes()
        except OSError:
            continue
        if marker.encode() in command and int(place.parent.name) != os.getpid():
            found.append(int(place.parent.name))
    return found


def wait_until(condition, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


# ---- what it sees


def test_the_environment_is_what_was_given_and_the_working_folder(inside, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = inside(
        "import os, json; print(json.dumps(dict(os.environ)))",
        environment={"A": "b =c", "PATH": "/usr/bin"},
    )
    environment = said(found)
    environment.pop("LC_CTYPE", None)
    assert environment == {"A": "b =c", "PATH": "/usr/bin", "PWD": "/work"}


def test_nothing_but_the_standard_streams_is_open(inside, tmp_path):
    with (tmp_path / "secret").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        code = (
            "import os, json; fds = {n: os.readlink(f'/proc/self/fd/{n}') for n in range(3)}\n"
            "print(json.dumps([fds, sorted(os.listdir('/proc/self/fd'))]))"
        )
        streams, listed = said(inside(code))
    assert listed == ["0", "1", "2", "3"], "the fourth is the listing's own"
    assert streams["0"] == "/dev/null"
    assert streams["1"] == streams["2"]
    assert streams["1"].startswith("pipe:")


def test_user_host_umask_and_limits_are_fixed(inside):
    before = os.umask(0o077)
    try:
        found = said(
            inside(
                "import os, json, resource, socket; mask = os.umask(0); print(json.dumps(["
                "os.getresuid(), os.getresgid(), socket.gethostname(), mask, "
                "*map(resource.getrlimit, [resource.RLIMIT_CORE, resource.RLIMIT_NOFILE])]))"
            )
        )
    finally:
        os.umask(before)
    assert found == [[1000] * 3, [1000] * 3, "mpbuild", 0o022, [0, 0], [1024, 1024]]


def test_there_are_no_capabilities_and_no_way_to_new_privileges(inside):
    status = inside("print(open('/proc/self/status').read())").log.decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields["Cap" + kind] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_the_network_is_its_own_loopback_alone(inside):
    assert said(inside("import socket, json; print(json.dumps(socket.if_nameindex()))")) == [
        [1, "lo"]
    ]


def test_the_root_shows_the_layers_and_the_mount_points_alone(inside):
    found = said(inside("import os, json; print(json.dumps(sorted(os.listdir('/'))))"))
    assert set(found) <= {"dev", "lib", "lib64", "out", "proc", "tmp", "usr", "work"}


def test_an_upper_layer_hides_a_lower_one(inside, layers, tmp_path):
    for name in ("lower", "upper"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "said").write_text(name)
    found = inside(
        "print(open('/said').read(), end='')",
        layers=(*layers, tmp_path / "lower", tmp_path / "upper"),
    )
    assert found.log == b"upper"


def test_a_layer_cannot_turn_a_mount_point_into_a_link(inside, layers, tmp_path):
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "tmp").symlink_to("/usr")
    (tmp_path / "layer" / "work").symlink_to("/usr")
    found = inside("import os; print(os.listdir('/work'))", layers=(*layers, tmp_path / "layer"))
    assert found.log == b"['input']\n"


def test_more_layers_than_one_mount_takes_are_merged(inside, layers, store):
    many = []
    for number in range(150):
        layer = store.path / "trees" / f"{number:064}"
        (layer / "numbers").mkdir(parents=True)
        (layer / "numbers" / str(number)).write_text("")
        (layer / "last").write_text(str(number))
        many.append(layer)
    found = inside(
        "import os; print(len(os.listdir('/numbers')), open('/last').read())",
        layers=(*layers, *many),
    )
    assert found.log == b"150 149\n"


def test_awkward_paths_of_layers_are_no_trouble(inside, layers, tmp_path):
    layer = tmp_path / "a b,c:d\\e"
    layer.mkdir()
    (layer / "said").write_text("here")
    assert inside("print(open('/said').read())", layers=(*layers, layer)).log == b"here\n"


def test_tmp_and_shared_memory_are_limited_and_vanish(inside):
    code = (
        "for place in ('/tmp/f', '/dev/shm/f'):\n"
        "  try:\n"
        "    with open(place, 'xb') as f: f.write(bytes(1 << 20))\n"
        "  except OSError as error: print(error.strerror)\n"
    )
    assert inside(code, tmp_bytes=1 << 18).log == b"No space left on device\n" * 2
    assert inside(code).log == b""
    assert inside(code).log == b""


def test_a_single_file_can_be_bound(inside, tmp_path):
    (tmp_path / "file").write_text("bound")
    found = inside(
        "print(open('/opt/a/file').read())", binds={"/opt/a/file": Bind(tmp_path / "file")}, cwd="/"
    )
    assert found.log == b"bound\n"


def test_what_is_bound_writable_keeps_what_is_written(inside, tmp_path):
    assert inside("open('/out/made', 'w').write('x')").succeeded
    made = (tmp_path / "out" / "made").stat()
    assert made.st_mode & 0o777 == 0o644
    assert made.st_uid == os.getuid()


def test_a_terminal_on_stdin_cannot_be_typed_into(inside):
    master, slave = pty.openpty()
    code = (
        "import fcntl, termios\n"
        "try: fcntl.ioctl(0, termios.TIOCSTI, b'x')\n"
        "except OSError as e: print(e.errno)"
    )
    before = os.dup(0)
    try:
        os.dup2(slave, 0)
        assert fcntl.ioctl(0, termios.FIONREAD, b"\0" * 4) == b"\0" * 4
        found = inside(code, stdin="inherit")
    finally:
        os.dup2(before, 0)
        for fd in (before, master, slave):
            os.close(fd)
    assert found.log in (b"1\n", b"5\n"), "EPERM, or EIO where the kernel has no TIOCSTI"


# ---- streams


def test_stdin_goes_to_stdout_and_the_log_stays_apart(inside):
    data = os.urandom(3 << 20)
    code = (
        "import sys, shutil; print('log', file=sys.stderr)\n"
        "shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    )
    completed = inside(code, stdin=data, stdout="keep")
    assert (completed.stdout == data, completed.log) == (True, b"log\n")


def test_a_command_that_ignores_its_input_is_no_trouble(inside):
    assert inside("", stdin=bytes(1 << 20)).succeeded


def test_streams_can_be_inherited(inside, capfd):
    completed = inside(
        "import sys; print('to out'); print('to err', file=sys.stderr)",
        stdout="inherit",
        stderr="inherit",
    )
    assert (completed.log, completed.stdout) == (b"", b"")
    assert capfd.readouterr() == ("to out\n", "to err\n")


def test_an_endless_log_is_kept_to_its_end(inside):
    completed = inside("for n in range(400_000): print(n, '.' * 20)")
    assert completed.log.endswith(b"399999 " + b"." * 20 + b"\n")
    assert len(completed.log) < LOG_LIMIT + 100
    assert b"bytes dropped]" in completed.log.split(b"\n")[0]


def test_an_endless_standard_output_is_refused(inside):
    with pytest.raises(AnswerError, match="wrote more than 1048576 bytes"):
        inside("while True: print('.' * 1000)", stdout="keep", stdout_limit=1 << 20)


# ---- how it ends


def test_an_exit_status_is_reported(inside):
    completed = inside("raise SystemExit(7)")
    assert (completed.status, completed.reason) == (7, "failed with exit status 7")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGTERM", "SIGABRT"])
def test_an_end_by_a_signal_is_reported(name, inside):
    completed = inside(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    number = 128 + signal.Signals[name]
    assert completed.reason == f"was killed by {name} (exit status {number})"


def test_the_deadline_ends_the_whole_tree(inside):
    marker = f"endless-{os.getpid()}"
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "command = [sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]]\n"
        "subprocess.Popen(command, start_new_session=True)\n"
        "print('started', flush=True)\n"
        "while True: print('.', flush=True)\n"
    )
    start = time.monotonic()
    completed = inside(code, marker, timeout_ms=700)
    assert time.monotonic() - start < 5
    assert (completed.timed_out, completed.reason) == (True, "timed out")
    assert completed.log.endswith(b".\n")
    assert running(marker) == []


WRITER = """
f = open("/out/grows", "ab", 0)
print(flush=True)
while True: f.write(bytes(1000))
"""


def test_nothing_that_a_command_left_running_outlives_it(inside, tmp_path):
    marker = f"left-{os.getpid()}"
    code = (
        "import subprocess, sys\n"
        f"command = [sys.executable, '-c', {WRITER!r}, sys.argv[1]]\n"
        "child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
    )
    for _ in range(5):
        assert inside(code, marker).succeeded
        size = (tmp_path / "out" / "grows").stat().st_size
        assert running(marker) == []
        time.sleep(0.02)
        assert (tmp_path / "out" / "grows").stat().st_size == size


KILLED = """
import sys
from pathlib import Path
from contextlib import contextmanager
from mpbuild.effects.sandbox.bubblewrap import find_bwrap
from mpbuild.effects.sandbox.sandbox import SandboxSpec as Cell, Sandbox

@contextmanager
def scratch():
    yield Path(sys.argv[1])

code = "import time; time.sleep(60)"
layers = tuple(map(Path, sys.argv[3:]))
Sandbox(find_bwrap(), scratch).run(Cell(
    layers=layers,
    command=("python", "-I", "-c", code, sys.argv[2]),
    environment={"PATH": "/usr/bin"}))
"""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_nothing_outlives_a_builder_that_is_ended(name, sandbox, layers, tmp_path):
    marker = f"orphan-{os.getpid()}"
    builder = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path, marker, *layers], stderr=subprocess.DEVNULL
    )

    def inside() -> list[int]:
        return [pid for pid in running(marker) if pid != builder.pid]

    assert wait_until(lambda: len(inside()) >= 3), "bubblewrap, its first process, and ours"
    builder.send_signal(signal.Signals[name])
    builder.wait()
    assert wait_until(lambda: not inside())


def test_cells_run_side_by_side(inside):
    results = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(inside(f"print({n})").log))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [b"%d\n" % n for n in range(8)]


def open_descriptors():
    """The open files of this process: their numbers and what they lead to."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own is closed by now
            found.add((path.name, str(path.readlink())))
    return found


def test_no_file_descriptor_is_left_open(inside):
    inside("")
    before = open_descriptors()
    inside("print(1)", stdin=b"x", stdout="keep")
    inside("import time; time.sleep(9)", timeout_ms=50)
    with pytest.raises(AnswerError):
        inside("", command=("absent",))
    assert open_descriptors() <= before


# ---- commands that cannot start


def test_an_absent_command_is_the_steps_fault(inside):
    with pytest.raises(
        AnswerError, match=r"no command 'absent' in the sandbox.*No such file"
    ) as caught:
        inside("", command=("absent",))
    assert caught.value.findings[0].code == "step-failed"


def test_an_absent_working_folder_is_the_steps_fault(inside):
    with pytest.raises(AnswerError, match="no folder '/absent' in the sandbox"):
        inside("", cwd="/absent")


def test_an_empty_root_holds_no_command(sandbox):
    with pytest.raises(AnswerError, match="no command 'true' in the sandbox"):
        sandbox.run(SandboxSpec(layers=(), command=("true",)))


def test_an_absent_layer_is_named(inside, tmp_path):
    with pytest.raises(EnvironmentFailureError, match=r"source path .*/absent") as caught:
        inside("", layers=(tmp_path / "absent",))
    assert caught.value.findings[0].code == "sandbox-unavailable"


@pytest.mark.root("only root meets folders that it does not own")
@pytest.mark.parametrize("closed", ["the folder itself", "a folder above it"])
def test_root_gets_a_hint_that_it_cannot_enter_folders_of_others(closed, inside, layers, tmp_path):
    layer = tmp_path / "others" / "layer"
    layer.mkdir(parents=True)
    shut = layer if closed == "the folder itself" else layer.parent
    shut.chmod(0o700)
    os.chown(shut, 65534, 65534)
    with pytest.raises(
        EnvironmentFailureError, match=r"source path .*/others.*Permission denied"
    ) as caught:
        inside("", layers=(*layers, layer))
    assert "can only enter folders that it owns" in caught.value.findings[0].hint


@pytest.mark.root("only root can give files to others")
def test_root_is_shown_files_of_others_that_everybody_may_read(inside, tmp_path):
    (tmp_path / "file").write_text("open to all")
    os.chown(tmp_path / "file", 65534, 65534)
    found = inside("print(open('/file').read())", binds={"/file": Bind(tmp_path / "file")}, cwd="/")
    assert found.log == b"open to all\n"


@pytest.mark.parametrize("argument", ["nul\0", "x" * (1 << 20)])
def test_what_no_process_can_be_given_is_refused(argument, inside):
    with pytest.raises(EnvironmentFailureError, match="cannot start"):
        inside("", argument)


def test_a_bubblewrap_that_went_away_is_a_fault_of_the_world(store):
    gone = Bwrap(store.path / "bwrap", find_bwrap().version)
    with pytest.raises(EnvironmentFailureError, match=r"cannot start .*No such file"):
        Sandbox(gone, store.scratch).probe()
