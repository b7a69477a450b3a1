"""What was found good is remembered exactly as long as a check would find it good again."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mpbuild.app.lock import lock_check_cache
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.cli.root import run
from mpbuild.effects.files import user_state
from mpbuild.effects.installation import find_installation

LABEL = Label("//examples/digits")
MODEL = "examples/digits/model.toml"
LOCKS = "lockfiles/examples/digits"
ENVIRONMENTS = ("cpu", "cuda", "rocm", "train")
FILES = (
    "mpbuild.toml",
    MODEL,
    *(f"{LOCKS}/pylock.{name}.toml" for name in ENVIRONMENTS),
    *(f"{LOCKS}/debian.{name}.toml" for name in ENVIRONMENTS),
)
MORE = '\n[environments.more]\ndependencies = ["onnx"]\n'


class Kept:
    """A copy of the example's specs and locks, and the memory of a check of them."""

    def __init__(self, checkout, root):
        self.root = root
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkout / name, root / name)
        self.slot = lock_check_cache.LockCheckKey(root, LABEL, find_installation().identity)

    def check(self):
        return lock_check_cache.check(self.slot)

    @property
    def findings(self):
        """What a check finds, or can't go on for."""
        try:
            return self.check()
        except InputError as error:
            return list(error.findings)

    @property
    def hit(self):
        return lock_check_cache.remembered(self.slot)

    @property
    def memory(self):
        """The file that the memory is in."""
        return user_state.folder() / "checks" / f"{self.slot.subject.hex}.json"

    def remember(self, data):
        self.memory.unlink()
        self.memory.write_bytes(data)


@pytest.fixture(autouse=True)
def state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/mpbuild"


@pytest.fixture
def fresh(checkout, tmp_path):
    return Kept(checkout, tmp_path / "workspace")


@pytest.fixture
def kept(fresh):
    assert fresh.check() == []
    return fresh


def test_locks_that_were_found_good_are_good_again(kept):
    assert kept.hit
    assert kept.check() == []


def test_nothing_is_remembered_before_a_check(fresh):
    assert not fresh.hit


def test_what_is_remembered_is_answered_without_parsing_anything(kept):
    program = (
        "import sys; from mpbuild.cli.root import run; code = run(sys.argv[1:]);"
        " print(code, *sorted(sys.modules))"
    )
    words = ["-C", kept.root, "lock", "--check", str(LABEL)]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, check=True)
    *told, end = done.stdout.decode().splitlines()
    code, *modules = end.split()
    assert (told, code) == (["locks are up to date (1 target)"], "0")
    assert {"tomllib", "msgspec", "packaging", "mpbuild.app.lock.lock_files"}.isdisjoint(modules)
    assert "mpbuild.app.lock.lock_check_cache" in modules


@pytest.mark.parametrize("name", FILES)
def test_one_other_byte_in_any_file_is_looked_into(kept, name):
    path = kept.root / name
    status = path.stat()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"0", b"1", 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert not kept.hit
    path.write_bytes(data)
    assert kept.hit


@pytest.mark.parametrize("name", FILES)
def test_a_removed_file_is_missed(kept, name):
    (kept.root / name).unlink()
    assert not kept.hit
    assert [finding.where for finding in kept.findings] == [name]
    assert not kept.hit


def test_locks_of_a_new_environment_are_missed(kept):
    with (kept.root / MODEL).open("a") as file:
        file.write(MORE)
    found = kept.check()
    assert [(f.code, Path(f.where).name) for f in found] == [
        ("lock-missing", "pylock.more.toml"),
        ("lock-missing", "debian.more.toml"),
    ]


def test_a_file_that_was_only_touched_or_copied_is_still_good(kept):
    for name in FILES:
        (kept.root / name).touch()
    (kept.root / MODEL).rename(kept.root / "elsewhere")
    shutil.copyfile(kept.root / "elsewhere", kept.root / MODEL)
    assert kept.hit


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        (MODEL, '"numpy>=2"', '"numpy>=2", "attrs"', "lock-drift"),
        (f"{LOCKS}/pylock.cpu.toml", "\n\n", "\n\n\n", "lock-drift"),
        (f"{LOCKS}/debian.train.toml", "[[packages]]", "[[[", "lock-malformed"),
    ],
)
def test_what_is_wrong_is_never_remembered(kept, name, old, new, code):
    path = kept.root / name
    path.write_text(path.read_text().replace(old, new, 1))
    first = kept.check()
    assert {finding.code for finding in first} == {code}
    assert not kept.hit
    assert kept.check() == first


def test_a_spec_that_cannot_be_read_is_reported_again_and_again(kept):
    (kept.root / MODEL).write_text("schema_version = 1\n")
    for _ in range(2):
        with pytest.raises(InputError, match="missing key"):
            kept.check()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_changes_while_it_is_checked_is_not_remembered(fresh, monkeypatch, name):
    """What was judged is the text before; what a later check would find is the text after."""
    path, looks = fresh.root / name, []
    stat, inode = os.fstat, path.stat().st_ino

    def change_after_the_second_look(descriptor):
        """The first look is before the file is read, the second one after."""
        found = stat(descriptor)
        if found.st_ino == inode:
            looks.append(found)
            if len(looks) == 2:
                path.write_bytes(path.read_bytes() + b"\n")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", change_after_the_second_look)
        assert fresh.check() == []
    assert len(looks) >= 2
    assert not fresh.hit


def test_another_label_or_a_workspace_elsewhere_is_not_meant(kept, tmp_path):
    shutil.copytree(kept.root, tmp_path / "copy")
    other = Label("//examples/other")
    assert not lock_check_cache.remembered(kept.slot._replace(root=tmp_path / "copy"))
    assert not lock_check_cache.remembered(kept.slot._replace(label=other))


def test_another_mpbuild_checks_for_itself(kept):
    kept.slot = kept.slot._replace(mpbuild="99.0.0")
    assert not kept.hit
    assert kept.check() == []
    assert kept.hit


def test_garbage_answers_nothing_and_is_written_over(kept, garbage):
    kept.remember(garbage)
    assert not kept.hit
    assert kept.check() == []
    assert kept.hit


@pytest.mark.parametrize(
    "value", [None, 1, "x", [], {}, [1], {"x": 1}, {"mpbuild.toml": ""}, list(FILES)]
)
@pytest.mark.parametrize("key", ["schema", "mpbuild", "files"])
def test_a_memory_with_another_value_anywhere_answers_nothing(kept, key, value):
    kept.remember(json.dumps(json.loads(kept.memory.read_bytes()) | {key: value}).encode())
    assert not kept.hit


@pytest.mark.parametrize("key", ["schema", "mpbuild", "files"])
def test_a_memory_that_lacks_something_answers_nothing(kept, key):
    memory = json.loads(kept.memory.read_bytes())
    del memory[key]
    kept.remember(json.dumps(memory).encode())
    assert not kept.hit


@pytest.mark.parametrize("name", FILES[:2])
def test_a_memory_that_speaks_of_no_spec_answers_nothing(kept, name):
    memory = json.loads(kept.memory.read_bytes())
    del memory["files"][name]
    kept.remember(json.dumps(memory).encode())
    assert not kept.hit


def test_a_memory_speaks_of_every_file_that_was_judged(kept):
    files = json.loads(kept.memory.read_bytes())["files"]
    assert files == {name: Digest.of((kept.root / name).read_bytes()) for name in FILES}


def test_nobody_but_the_user_can_write_what_is_remembered(kept, state_folder):
    assert kept.memory.parent.parent == state_folder
    assert state_folder.stat().st_mode & 0o777 == 0o700
    assert kept.memory.parent.stat().st_mode & 0o777 == 0o700


def test_a_state_folder_that_cannot_be_written_fails_no_check(fresh, state_folder):
    state_folder.parent.mkdir()
    state_folder.write_text("in the way")
    for _ in range(2):
        assert fresh.check() == []
    assert not fresh.hit


def test_several_at_once_all_answer_and_leave_one_memory(fresh):
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: fresh.check(), range(4))) == [[]] * 4
    assert fresh.hit
    assert list(fresh.memory.parent.iterdir()) == [fresh.memory]


def test_the_command_tells_both_kinds_of_answer_alike(fresh, capfd):
    words = ["-C", str(fresh.root), "--format", "json", "lock", "--check"]
    answers = []
    for _ in range(2):
        assert run(words) == 0
        answers.append(capfd.readouterr().out)
    assert fresh.hit
    assert answers[0] == answers[1]


def test_a_check_of_some_accelerators_says_nothing_of_all(fresh, capfd):
    (fresh.root / LOCKS / "pylock.cuda.toml").unlink()
    words = ["-C", str(fresh.root), "-q", "lock", "--check"]
    assert run([*words, "--accelerator", "cpu"]) == 0
    assert not fresh.hit
    assert run(words) == 2
    assert "there is no lock" in capfd.readouterr().err


def test_a_check_opens_no_file_of_the_workspace_that_its_memory_does_not_speak_of(fresh):
    program = """
import os, sys
from pathlib import Path
opened = set()
def see(event, arguments):
    path = event in ("open", "os.listdir", "os.scandir") and arguments[0]
    if isinstance(path, str | os.PathLike):
        opened.add(os.fspath(path))
sys.addaudithook(see)
from mpbuild.app.lock.lock_check_cache import LockCheckKey, check
from mpbuild.base.label import Label
root = Path(sys.argv[1])
assert check(LockCheckKey(root, Label(sys.argv[2]), sys.argv[3])) == []
print(*sorted(os.path.relpath(path, root) for path in opened if path.startswith(f"{root}/")))
"""
    command = [sys.executable, "-c", program, fresh.root, LABEL, fresh.slot.mpbuild]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.decode().split() == sorted(FILES)
    assert fresh.hit
