"""Steps: their inputs, their outputs, and the messages of their failures."""

import errno
import sys
import time
from pathlib import Path

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import AnswerError, EnvironmentFailureError, InputError
from mpbuild.effects.files.disk import disk_errors
from mpbuild.effects.sandbox.host_executor import HostExecutor
from mpbuild.effects.sandbox.step_executor import StepExecutor
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, Output

SECOND = 1000


@pytest.fixture
def action(store, layers):
    """Makes the action of a step that runs some Python code."""

    def make(code: str, *outputs: str, inputs: dict[str, bytes] | None = None, **changes: object):
        settings = {
            "rule": "step",
            "version": 1,
            "executor": "sandbox",
            "inputs": {name: store.put_bytes(data) for name, data in (inputs or {}).items()},
            "root": tuple(tree(store, layer) for layer in layers),
            "command": ("python", "-c", code, "{out}"),
            "environment": {"PATH": "/usr/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            "parameters": {"python": host_version()},
            "outputs": outputs,
        }
        return Action(**(settings | changes))

    return make


def tree(store: Store, layer: Path) -> Digest:
    """Makes ``layer`` an unpacked layer of the store."""
    diff_id = Digest.of(str(layer).encode())
    if not store.tree(diff_id).is_symlink():
        store.tree(diff_id).symlink_to(layer)
    return diff_id


def host_version() -> str:
    return "{}.{}".format(*sys.version_info)


class FullStore(Store):
    """A store on a full disk."""

    def keep(self, path: Path) -> Output:
        with disk_errors(self.path):
            raise OSError(errno.ENOSPC, f"no space to keep {path}")


@pytest.fixture(params=["sandboxed", "on the host"])
def executor(request, store):
    if request.param == "on the host":
        return HostExecutor(store)
    return StepExecutor(request.getfixturevalue("sandbox"), store)


@pytest.fixture
def step(sandbox, store):
    return StepExecutor(sandbox, store)


def refused(error: InputError) -> list[str]:
    assert {finding.code for finding in error.findings} == {"output-undeclared"}
    return [finding.message for finding in error.findings]


# ---- both executors


def test_a_step_turns_inputs_into_outputs(executor, action, store):
    code = (
        "import sys, pathlib\n"
        "out = pathlib.Path(sys.argv[1])\n"
        "(out / 'deep').mkdir()\n"
        "(out / 'deep/sum').write_text(str(sum(map(int, open('data/numbers')))))\n"
        "(out / 'copy').write_bytes(open('data/numbers', 'rb').read())\n"
    )
    result = executor.run(
        action(code, "deep/sum", "copy", inputs={"data/numbers": b"1\n2\n"}), 30 * SECOND
    )
    assert result.sandboxed == isinstance(executor, StepExecutor)
    assert {name: output.digest for name, output in result.outputs.items()} == {
        "deep/sum": Digest.of(b"3"),
        "copy": Digest.of(b"1\n2\n"),
    }
    assert result.outputs["copy"].size == 4
    kept = store.blob(Digest.of(b"3"))
    assert kept.read_bytes() == b"3"
    assert kept.stat().st_mode & 0o777 == 0o444
    assert kept.stat().st_mtime == 315532800


def test_inputs_have_fixed_modes_and_times(executor, action):
    code = (
        "import os, sys\n"
        "for place, folders, files in os.walk('.'):\n"
        "  for name in [*folders, *files]:\n"
        "    s = os.stat(os.path.join(place, name))\n"
        "    print(name, oct(s.st_mode & 0o7777), int(s.st_mtime))\n"
        "open(sys.argv[1] + '/o', 'w')\nraise SystemExit(1)"
    )
    made = action(code, "o", inputs={"a/tool": b"#!", "a/data": b"x"}, executable=("a/tool",))
    with pytest.raises(AnswerError) as caught:
        executor.run(made, 30 * SECOND)
    lines = {line.strip(" |") for line in str(caught.value).splitlines()[1:]}
    assert lines == {"a 0o755 315532800", "tool 0o555 315532800", "data 0o444 315532800"}


def test_a_damaged_input_is_not_used(executor, action, store):
    """Its result would be kept under the key of the good input."""
    wanted = action("open('o', 'w')", "o", inputs={"data": b"good"})
    blob = store.blob(Digest.of(b"good"))
    blob.chmod(0o644)
    blob.write_bytes(b"evil")
    with pytest.raises(InputError, match="the store is corrupt") as caught:
        executor.run(wanted, 10 * SECOND)
    assert caught.value.findings[0].code == "content-mismatch"


def test_a_step_runs_in_the_folder_its_parameters_name(executor, action):
    made = action(
        "import sys; open(sys.argv[1] + '/o', 'w').write(open('x').read())",
        "o",
        inputs={"pkg/sub/x": b"found"},
        parameters={"python": host_version(), "cwd": "pkg/sub"},
    )
    assert executor.run(made, 30 * SECOND).outputs["o"].digest == Digest.of(b"found")


def test_a_failure_has_the_command_the_status_and_the_end_of_the_log(executor, action):
    with pytest.raises(AnswerError) as caught:
        executor.run(
            action("for n in range(100): print('line', n)\nraise SystemExit(3)"), 30 * SECOND
        )
    (finding,) = caught.value.findings
    assert (finding.code, caught.value.exit_code) == ("step-failed", 1)
    assert finding.where.startswith("python -c for n in range(100): print('line', n)?raise")
    assert len(finding.where) <= 80
    lines = finding.message.splitlines()
    assert lines[0] == "failed with exit status 3"
    assert lines[1:] == [f"  | line {n}" for n in range(60, 100)]


def test_a_log_cannot_write_on_the_terminal(executor, action):
    with pytest.raises(AnswerError) as caught:
        executor.run(
            action(
                r"print('\x1b[2J\x9b\x07' + 'x' * 9999); import os; os.write(1, b'\xff\n'); 1/0"
            ),
            30 * SECOND,
        )
    message = caught.value.findings[0].message
    assert all(c.isprintable() or c == "\n" for c in message)
    assert max(map(len, message.splitlines())) < 500


def test_a_step_that_takes_too_long_is_ended(executor, action):
    with pytest.raises(AnswerError, match=r"timed out\n  \| begun") as caught:
        executor.run(action("import time; print('begun', flush=True); time.sleep(60)"), 500)
    assert "timeout" in caught.value.findings[0].hint


def test_a_step_that_is_killed_gets_a_hint_about_memory(executor, action):
    with pytest.raises(AnswerError, match="SIGKILL") as caught:
        executor.run(action("import os; os.kill(os.getpid(), 9)"), 30 * SECOND)
    assert "memory" in caught.value.findings[0].hint


def test_a_missing_output_fails_the_step(executor, action):
    code = "import sys; print('said'); open(sys.argv[1] + '/modle.onnx', 'w')"
    with pytest.raises(AnswerError) as caught:
        executor.run(action(code, "model.onnx"), 30 * SECOND)
    assert caught.value.findings[0].message == (
        "did not write 'model.onnx'; it wrote 'modle.onnx' (file)\n  | said"
    )


LEFTOVERS = {
    "a file": ("open(out + '/extra', 'w')", "'extra' (file)"),
    "a file in a folder": ("os.mkdir(out + '/d'); open(out + '/d/extra', 'w')", "'d/extra' (file)"),
    "an empty folder": ("os.makedirs(out + '/d/e')", "'d/e' (empty folder)"),
    "a link out": ("os.symlink('/etc/passwd', out + '/l')", "'l' (symbolic link)"),
    "a link up": ("os.symlink('..', out + '/l')", "'l' (symbolic link)"),
    "a pipe": ("os.mkfifo(out + '/p')", "'p' (special file)"),
    "a socket": (
        "import socket; os.chdir(out); socket.socket(socket.AF_UNIX).bind('s')",
        "'s' (special file)",
    ),
    "a closed folder": (
        "os.mkdir(out + '/d'); open(out + '/d/extra', 'w'); os.chmod(out + '/d', 0)",
        "'d/extra' (file)",
    ),
    "a name that is no text": ("open(os.fsencode(out) + b'/\\xff\\n', 'w')", r"'\udcff\n' (file)"),
}


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_nothing_undeclared_may_be_left_behind(leftover, executor, action, store):
    code, told = LEFTOVERS[leftover]
    prelude = "import os, sys; out = sys.argv[1]; open(out + '/o', 'w')\n"
    made = action(prelude + code, "o")
    before = set(store.path.rglob("*"))
    with pytest.raises(InputError) as caught:
        executor.run(made, 30 * SECOND)
    assert refused(caught.value) == [
        f"wrote {told}, which is not a declared output and a regular file"
    ]
    assert caught.value.findings[0].where.startswith("python -c import")
    assert set(store.path.rglob("*")) == before, "nothing is kept, and the scratch folder is gone"


NO_FILES = {
    "a symbolic link": ("os.symlink('/etc/passwd', out + '/o')", "'o' (symbolic link)"),
    "a hard link": ("open(out + '/x', 'w'); os.link(out + '/x', out + '/o')", "'o' (hard link)"),
    "a pipe": ("os.mkfifo(out + '/o')", "'o' (special file)"),
    "a folder": ("os.mkdir(out + '/o')", "'o' (empty folder)"),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_an_output_is_a_file_of_its_own(kind, executor, action):
    code, told = NO_FILES[kind]
    with pytest.raises(InputError) as caught:
        executor.run(action("import os, sys; out = sys.argv[1]\n" + code, "o"), 30 * SECOND)
    assert any(told in message for message in refused(caught.value))


def test_many_leftovers_are_counted(executor, action):
    code = "import sys\nfor n in range(50): open(f'{sys.argv[1]}/{n}', 'w')"
    with pytest.raises(InputError) as caught:
        executor.run(action(code), 30 * SECOND)
    assert len(refused(caught.value)) == 21
    assert refused(caught.value)[-1] == "wrote 30 more undeclared files"


@pytest.mark.parametrize("name", ["../o", "/o", "a//o", "a/./o", "", ".", "a/../../o", "o\0"])
def test_names_that_leave_their_folder_are_refused(name, executor, action, store):
    for made in (
        action("", name),
        action("", inputs={name: b""}),
        action("", parameters={"python": host_version(), "cwd": name}),
    ):
        if made.parameters.get("cwd") != ".":
            with pytest.raises(InputError, match="not a path inside a step's folder"):
                executor.run(made, 30 * SECOND)


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_an_input_cannot_be_a_file_and_a_folder(names, executor, action):
    with pytest.raises(InputError, match="both a file and a folder"):
        executor.run(action("", inputs=dict.fromkeys(names, b"")), 30 * SECOND)


def test_an_absent_command_is_reported(executor, action):
    with pytest.raises(AnswerError, match="absent"):
        executor.run(action("", command=("absent",)), 30 * SECOND)


def test_a_name_too_long_for_the_disk_is_refused(executor, action):
    with pytest.raises(InputError, match="not a path inside"):
        executor.run(action("", inputs={"x" * 256: b""}), 30 * SECOND)


# ---- in the sandbox alone


@pytest.mark.sandbox
def test_inputs_in_the_store_cannot_be_changed(step, action, store):
    code = (
        "import os, sys\n"
        "link = lambda: os.link('x', sys.argv[1] + '/o')\n"
        "for do in (lambda: open('x', 'w'), lambda: os.chmod('x', 0o777), link):\n"
        "  try: do()\n  except OSError: pass\n  else: print('escaped')\n"
        "raise SystemExit(9)"
    )
    with pytest.raises(AnswerError) as caught:
        step.run(action(code, inputs={"x": b"input"}), 30 * SECOND)
    assert caught.value.findings[0].message == "failed with exit status 9"
    assert store.blob(Digest.of(b"input")).read_bytes() == b"input"


@pytest.mark.sandbox
def test_outputs_do_not_change_after_the_step(step, action, store):
    writer = (
        "import sys; f = open(sys.argv[1] + '/o', 'wb', 0); print(flush=True)\n"
        "while True: f.write(b'x')"
    )
    code = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {writer!r}, sys.argv[1]], "
        "stdout=subprocess.PIPE, start_new_session=True)\n"
        "p.stdout.readline()"
    )
    output = step.run(action(code, "o"), 30 * SECOND).outputs["o"]
    assert Digest.of(store.blob(output.digest).read_bytes()) == output.digest


@pytest.mark.sandbox
def test_what_is_written_elsewhere_vanishes(step, action):
    code = (
        "import os, sys\nassert os.listdir('/tmp') == []\n"
        "open('/tmp/x', 'w'); open(sys.argv[1] + '/o', 'w')"
    )
    assert step.run(action(code, "o"), 30 * SECOND) == step.run(action(code, "o"), 30 * SECOND)


@pytest.mark.sandbox
def test_a_full_disk_is_an_environment_failure(sandbox, action, store):
    step = StepExecutor(sandbox, FullStore(store.path))
    with pytest.raises(EnvironmentFailureError) as caught:
        step.run(action("import sys; open(sys.argv[1] + '/o', 'w')", "o"), 30 * SECOND)
    assert caught.value.findings[0].code == "disk-full"
    assert caught.value.findings[0].where.startswith("python -c import")


# ---- on the host alone


def test_on_the_host_wheels_come_from_the_layers(store, action, tmp_path):
    for number, name in enumerate(["lower", "upper"]):
        site = tmp_path / name / "opt/venv/lib" / f"python{host_version()}" / "site-packages"
        site.mkdir(parents=True)
        (site / "thing.py").write_text(f"value = {number}")
    root = tuple(tree(store, tmp_path / name) for name in ("lower", "upper"))
    made = action(
        "import sys, thing; open(sys.argv[1] + '/o', 'w').write(str(thing.value))", "o", root=root
    )
    assert HostExecutor(store).run(made, 30 * SECOND).outputs["o"].digest == Digest.of(b"1")
    assert not list(tmp_path.glob("*/opt/**/__pycache__")), "the store's trees stay as they are"


@pytest.mark.parametrize(
    "program", ["python", "python3", "/opt/venv/bin/python", f"/usr/bin/python{host_version()}"]
)
def test_on_the_host_every_name_of_python_is_the_right_one(program, store, action):
    code = "import sys; open(sys.argv[1] + '/o', 'w').write('%d.%d' % sys.version_info[:2])"
    made = action(code, "o", command=(program, "-c", code, "{out}"))
    expected = Digest.of(host_version().encode())
    assert HostExecutor(store).run(made, 30 * SECOND).outputs["o"].digest == expected


def test_on_the_host_a_missing_interpreter_is_reported(store, action):
    made = action("", parameters={"python": "3.99"})
    with pytest.raises(
        EnvironmentFailureError, match=r"python -c .*: no python3\.99 on PATH"
    ) as caught:
        HostExecutor(store).run(made, 30 * SECOND)
    assert caught.value.findings[0].code == "sandbox-unavailable"
    assert "which needs none" in caught.value.findings[0].hint


def test_on_the_host_the_users_secrets_stay_out(store, action, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code = (
        "import os, sys\n"
        "secret = os.environ.get('AWS_SECRET_ACCESS_KEY', 'none')\n"
        "open(sys.argv[1] + '/o', 'w').write(secret)"
    )
    result = HostExecutor(store).run(action(code, "o"), 30 * SECOND)
    assert result.outputs["o"].digest == Digest.of(b"none")


def alive(pid):
    """Whether a process runs, after a moment for a killed one to end."""
    try:
        return ") Z " not in Path("/proc", pid, "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_on_the_host_children_in_the_same_session_end_with_the_step(store, action):
    code = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open(sys.argv[1] + '/o', 'w').write(str(p.pid))"
    )
    output = HostExecutor(store).run(action(code, "o"), 30 * SECOND).outputs["o"]
    pid = store.blob(output.digest).read_text()
    deadline = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < deadline, "the child outlives its step"
        time.sleep(0.01)
