"""The state of a workspace's git repository: read without git, whatever is in the repository."""

import os
import shutil
import subprocess

import pytest

from mpbuild.effects.workspace.repository import UNKNOWN, ReadFile, repository_state
from mpbuild.effects.workspace.snapshot import Snapshot

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="there is no git to commit with")
FILES = {
    "file": b"one\n",
    "inner/file": b"one\n",
    "inner/src/a.py": b"a = 1\n",
    "inner/src/deep/b.py": b"b = 1\n",
}
WHO = ("-c", "user.name=n", "-c", "user.email=n@example.org")


class Repository:
    """A repository with one commit, made without anybody's configuration."""

    def __init__(self, root):
        self.root = root
        for path, data in FILES.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        (root / "inner/link.py").symlink_to("src/a.py")
        self.git("init", "-q")
        self.commit()

    def git(self, *words, folder=None):
        command = ["git", *WHO, "-C", folder or self.root, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "-qm", "a commit")
        return self.git("rev-parse", "HEAD")

    def state(self, folder="inner", patterns=("src/**/*.py", "*.py"), files=()):
        return state_of(self.root / folder, patterns, files)


def state_of(root, patterns=("src/**/*.py", "*.py"), files=()):
    """The state, as a build asks for it that reads what ``patterns`` match, and ``files``."""
    snapshot = Snapshot(root)
    for pattern in patterns:
        for path in snapshot.match("", pattern):
            snapshot.file(path)
    for path in files:
        snapshot.document(path)
    read = {
        path: ReadFile(v.stat.executable, v.stat.size, lambda p=path: [(root / p).read_bytes()])
        for path, v in snapshot.versions.items()
    }
    return repository_state(root, read, snapshot.patterns)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return Repository(tmp_path / "repository")


def test_a_clean_repository_has_a_commit(repository):
    head = repository.git("rev-parse", "HEAD")
    assert repository.state() == (found := repository.state(files=["file"]))
    assert (found.commit, found.dirty) == (head, False)
    assert repository.state(folder="").dirty is False


CHANGES = {
    "other bytes": lambda root: (root / "src/a.py").write_text("a = 2\n"),
    "a new file": lambda root: (root / "src/new.py").touch(),
    "a file that git ignores": lambda root: (
        (root / ".gitignore").write_text("*.py\n"),
        (root / "src/new.py").touch(),
    ),
    "a file less": lambda root: (root / "src/deep/b.py").unlink(),
    "a folder less": lambda root: shutil.rmtree(root / "src/deep"),
    "another mode": lambda root: (root / "src/a.py").chmod(0o755),
    "a file in place of a link": lambda root: (
        (root / "link.py").unlink(),
        (root / "link.py").write_text("a = 2\n"),
    ),
    "a link elsewhere": lambda root: (
        (root / "link.py").unlink(),
        (root / "link.py").symlink_to("src/deep/b.py"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_difference_in_what_a_build_reads_makes_it_dirty(repository, change):
    before = repository.state()
    CHANGES[change](repository.root / "inner")
    after = repository.state()
    assert (after.commit, after.dirty) == (before.commit, True)


def test_what_the_index_is_told_hides_nothing(repository):
    repository.git("update-index", "--assume-unchanged", "inner/src/a.py")
    (repository.root / "inner/src/a.py").write_text("a = 2\n")
    assert repository.state().dirty


def test_files_that_a_build_does_not_read_do_not_count(repository):
    (repository.root / "file").write_text("two\n")
    (repository.root / "inner/notes.txt").write_text("two\n")
    assert not repository.state().dirty


def test_packed_objects_and_references_are_read(repository):
    (repository.root / "inner/src/a.py").write_text("a = 3\n" * 500)
    repository.commit()
    (repository.root / "inner/src/a.py").write_text("a = 3\n" * 501)
    head = repository.commit()
    repository.git("gc", "-q", "--aggressive", "--prune=now")
    assert not (repository.root / ".git/refs/heads/main").exists()
    assert list((repository.root / ".git/objects/pack").glob("*.pack"))
    found = repository.state()
    assert (found.commit, found.dirty) == (head, False)


def test_a_detached_head_and_another_working_tree_are_read(repository, tmp_path):
    head = repository.git("rev-parse", "HEAD")
    repository.git("worktree", "add", "-q", tmp_path / "other", "-b", "topic")
    assert state_of(tmp_path / "other/inner").commit == head
    repository.git("checkout", "-q", "--detach")
    assert repository.state().commit == head
    assert not state_of(tmp_path / "other/inner").dirty


def test_a_repository_without_a_commit_has_none(tmp_path, repository):
    subprocess.run(["git", "init", "-q", tmp_path / "empty"], check=True)
    assert state_of(tmp_path / "empty") == UNKNOWN


def test_outside_of_a_repository_nothing_is_known(tmp_path):
    assert state_of(tmp_path) == UNKNOWN


def test_variables_lead_nowhere_else(repository, tmp_path, monkeypatch):
    expected = repository.state()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert repository.state() == expected


def test_trees_that_unfold_without_end_are_given_up(repository):
    """Each of 30 trees has the one before it ten times."""
    blob = repository.git("hash-object", "-w", "inner/src/a.py")
    entries = "".join(f"100644 blob {blob}\tz{n}\n" for n in range(10))
    for _ in range(30):
        made = subprocess.run(
            ["git", "-C", repository.root, "mktree"],
            input=entries,
            capture_output=True,
            text=True,
            check=True,
        )
        entries = "".join(f"040000 tree {made.stdout.strip()}\tt{n}\n" for n in range(10))
    commit = repository.git("commit-tree", "-m", "bomb", made.stdout.strip())
    repository.git("update-ref", "HEAD", commit)
    assert state_of(repository.root, patterns=("**/*.none",)) == UNKNOWN


# ---- repositories of strangers


@pytest.fixture
def trap(tmp_path):
    """A program that leaves a note if anything runs it."""
    script = tmp_path / "trap"
    script.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\ncat\n")
    script.chmod(0o755)
    yield script
    assert not (tmp_path / "ran").exists()


def test_nothing_that_a_repository_names_is_run(repository, trap):
    with (repository.root / ".git/config").open("a") as config:
        config.write(
            f'[core]\n\tfsmonitor = "{trap}"\n\tpager = "{trap}"\n\thooksPath = "{trap.parent}"\n'
            f'[filter "x"]\n\tclean = "{trap}"\n\tsmudge = "{trap}"\n\tprocess = "{trap}"\n'
            f'[diff "x"]\n\ttextconv = "{trap}"\n\tcommand = "{trap}"\n'
        )
    (repository.root / ".gitattributes").write_text("* filter=x diff=x\n")
    (repository.root / "inner/src/a.py").touch()
    repository.state()


def test_a_workspace_that_is_laid_out_as_a_bare_repository_is_none(repository, trap):
    """An ordinary clone can contain such a folder; git takes it for a repository."""
    inner = repository.root / "inner"
    shutil.copytree(repository.root / ".git", inner, dirs_exist_ok=True)
    (inner / "config").write_text(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n"
        f'[filter "x"]\n\tclean = "{trap}"\n'
    )
    (inner / ".gitattributes").write_text("* filter=x\n")
    found = repository.state()
    assert found.commit == repository.git("rev-parse", "HEAD", folder=repository.root)
    shutil.rmtree(repository.root / ".git")
    assert repository.state() == UNKNOWN


def corrupt(path):
    path.chmod(0o644)
    path.write_bytes(b"garbage")


def objects(repository):
    return [p for p in (repository.root / ".git/objects").rglob("*") if p.is_file()]


def object_of(repository, name):
    return repository.root / ".git/objects" / name[:2] / name[2:]


def forge(repository):
    """The commit's object gets the bytes of another commit."""
    head = repository.git("rev-parse", "HEAD")
    (repository.root / "inner/src/a.py").write_text("a = 2\n")
    other = repository.commit()
    repository.git("reset", "-q", "--hard", head)
    object_of(repository, head).chmod(0o644)
    shutil.copyfile(object_of(repository, other), object_of(repository, head))


HOSTILE = {
    "an object of other bytes": forge,
    "garbage for objects": lambda r: [corrupt(path) for path in objects(r)],
    "no objects": lambda r: [path.unlink() for path in objects(r)],
    "a pipe for an object": lambda r: [(p.unlink(), os.mkfifo(p)) for p in objects(r)],
    "a link for the objects": lambda r: (
        shutil.move(r.root / ".git/objects", r.root / "moved"),
        (r.root / ".git/objects").symlink_to(r.root / "moved"),
    ),
    "a pipe for HEAD": lambda r: (
        (r.root / ".git/HEAD").unlink(),
        os.mkfifo(r.root / ".git/HEAD"),
    ),
    "a link for HEAD": lambda r: (
        (r.root / ".git/HEAD").unlink(),
        (r.root / ".git/HEAD").symlink_to("/dev/zero"),
    ),
    "a reference that climbs": lambda r: (r.root / ".git/HEAD").write_text(
        "ref: refs/../../secret\n"
    ),
    "references in a circle": lambda r: (
        (r.root / ".git/HEAD").write_text("ref: refs/heads/x\n")
        and (r.root / ".git/refs/heads/x").write_text("ref: refs/heads/x\n")
    ),
    "a huge HEAD": lambda r: os.truncate(r.root / ".git/HEAD", 1 << 40),
    "garbage in HEAD": lambda r: (r.root / ".git/HEAD").write_bytes(os.urandom(40)),
    "a link for the folder": lambda r: (
        shutil.move(r.root / ".git", r.root / "moved"),
        (r.root / ".git").symlink_to("moved"),
    ),
    "a file that leads to itself": lambda r: (
        shutil.rmtree(r.root / ".git"),
        (r.root / ".git").write_text("gitdir: .git\n"),
    ),
    "a pack that is a pipe": lambda r: os.mkfifo(r.root / ".git/objects/pack/pack-x.pack"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_of_a_repository_that_deceives_nothing_is_known(repository, case):
    HOSTILE[case](repository)
    assert repository.state() == UNKNOWN


def test_objects_of_alternates_are_read_if_they_are_regular_files(repository, tmp_path):
    expected = repository.state()
    other = tmp_path / "other"
    shutil.move(repository.root / ".git/objects", other)
    listing = repository.root / ".git/objects/info/alternates"
    listing.parent.mkdir(parents=True)
    listing.write_text(f"{other}\n")
    assert repository.state() == expected
    os.mkfifo(other / "pack/pack-x.idx")
    assert repository.state() == UNKNOWN
    shutil.rmtree(other)
    listing.write_text("../objects\n" * 1000)
    assert repository.state() == UNKNOWN, "alternates in a circle"
