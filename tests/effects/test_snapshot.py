"""A snapshot opens each file once, notices changes, and keeps no source in memory."""

import os
import tracemalloc
from pathlib import Path

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.store.lazy_store import LazyStore
from mpbuild.effects.store.store import Store
from mpbuild.effects.workspace.documents import FreshDocuments, read_document
from mpbuild.effects.workspace.snapshot import Snapshot
from mpbuild.effects.workspace.sources import FileStat

LARGE = (1 << 20) + 1


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "spec.toml").write_text("a = 1\n")
    (root / "source.py").write_text("x = 1\n")
    (root / "large.bin").write_bytes(bytes(LARGE))
    return root


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def opened(monkeypatch):
    """The paths that were opened, in order."""
    paths = []
    real = os.open

    def count(path, *words, **named):
        paths.append(Path(path).name)
        return real(path, *words, **named)

    monkeypatch.setattr(os, "open", count)
    return paths


def edit_at_look(monkeypatch, path, number, text):
    """Change a file right before the ``number``-th look at its open descriptor."""
    real, inode, looks = os.fstat, path.stat().st_ino, []

    def fstat(descriptor):
        if real(descriptor).st_ino == inode:
            looks.append(descriptor)
            if len(looks) == number:
                path.write_bytes(text)
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", fstat)


def test_each_file_is_opened_once_however_often_it_is_requested(root, opened):
    snapshot = Snapshot(root)
    for _ in range(3):
        assert snapshot.document("spec.toml") == b"a = 1\n"
        assert snapshot.file("source.py").digest == Digest.of(b"x = 1\n")
        assert snapshot.file("spec.toml").digest == Digest.of(b"a = 1\n")
    assert opened == ["spec.toml", "source.py"]


def test_what_was_read_once_stays_though_the_file_changes(root):
    snapshot = Snapshot(root)
    before = snapshot.document("spec.toml"), snapshot.file("source.py")
    matched = snapshot.match("", "*.py")
    for name in ("spec.toml", "source.py", "new.py"):
        (root / name).write_text("other\n")
    assert (snapshot.document("spec.toml"), snapshot.file("source.py")) == before
    assert snapshot.match("", "*.py") == matched == ["source.py"]
    assert Snapshot(root).match("", "*.py") == ["new.py", "source.py"]


def test_a_version_is_the_stat_and_the_digest_of_the_same_bytes(root):
    (root / "source.py").chmod(0o755)
    version = Snapshot(root).file("source.py")
    assert version.stat == FileStat.of((root / "source.py").stat())
    assert version.stat.executable


@pytest.mark.parametrize("name", ["source.py", "large.bin"])
def test_a_source_goes_into_the_store_from_the_descriptor_that_was_hashed(
    root, store, opened, name
):
    version = Snapshot(root, store).file(name)
    assert store.read(version.digest) == (root / name).read_bytes()
    assert opened.count(name) == 1


def test_a_source_that_the_store_has_is_not_written_again(root, store):
    digest = store.put_bytes(b"x = 1\n")
    before = store.blob(digest).stat().st_ino
    Snapshot(root, store).file("source.py")
    assert store.blob(digest).stat().st_ino == before


def test_a_source_that_was_read_as_a_document_goes_into_a_store_from_memory(root, store):
    snapshot = Snapshot(root)
    snapshot.document("spec.toml")
    (root / "spec.toml").unlink()
    snapshot.put("spec.toml", store)
    assert store.read(Digest.of(b"a = 1\n")) == b"a = 1\n"


@pytest.mark.parametrize("look", [1, 2])
@pytest.mark.parametrize("name", ["source.py", "large.bin"])
def test_a_source_that_changes_while_it_is_read_is_refused(root, monkeypatch, name, look):
    edit_at_look(monkeypatch, root / name, look, b"other")
    with pytest.raises(InputError, match="changed while it was read") as caught:
        Snapshot(root).file(name)
    assert caught.value.findings[0].where == name


def test_a_document_that_changes_while_it_is_read_is_refused(root, monkeypatch):
    edit_at_look(monkeypatch, root / "spec.toml", 2, b"a = 2\n")
    with pytest.raises(InputError, match="changed while it was read"):
        Snapshot(root).document("spec.toml")


def test_a_large_source_that_changes_before_it_is_copied_is_refused(root, store, monkeypatch):
    """Its size and times may look the same: the bytes that are copied are hashed again."""

    class Changing:
        def has(self, digest):
            (root / "large.bin").write_bytes(b"x" * LARGE)
            return False

        put = store.put

    with pytest.raises(InputError, match="changed while it was read"):
        Snapshot(root, Changing()).file("large.bin")


def test_a_document_that_was_hashed_as_a_source_and_changed_since_is_refused(root):
    snapshot = Snapshot(root)
    snapshot.file("spec.toml")
    (root / "spec.toml").write_text("a = 2\n")
    with pytest.raises(InputError, match="changed while it was read"):
        snapshot.document("spec.toml")


def test_a_branch_shares_what_was_read_and_accounts_for_its_own_questions(root, opened):
    snapshot = Snapshot(root)
    snapshot.document("spec.toml")
    branch = snapshot.branch()
    assert (branch.versions, branch.documents, branch.patterns) == ({}, set(), {})
    branch.document("spec.toml")
    branch.match("", "*.py")
    assert (set(branch.versions), branch.documents) == ({"spec.toml"}, {"spec.toml"})
    assert branch.patterns == {":*.py": ["source.py"]}
    assert snapshot.patterns == {}
    assert opened == ["spec.toml"]
    assert branch.at == snapshot.at


def test_large_sources_are_not_held_in_memory(root, store):
    with (root / "huge.bin").open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        Snapshot(root, store).file("huge.bin")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_documents_have_a_bound(root):
    assert read_document(root, "spec.toml", most=6)[0] == b"a = 1\n"
    with pytest.raises(InputError, match="larger than 5 bytes") as caught:
        read_document(root, "spec.toml", most=5)
    assert caught.value.findings[0].where == "spec.toml"


def test_a_missing_document_is_known_by_the_cause_of_its_error(root):
    for documents in (Snapshot(root), FreshDocuments(root)):
        with pytest.raises(InputError, match="can't be read: No such file") as caught:
            documents.document("none.toml")
        assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_pipe_in_place_of_a_document_is_refused_and_not_waited_for(root):
    os.mkfifo(root / "pipe.toml")
    with pytest.raises(InputError, match="it is a pipe"):
        FreshDocuments(root).document("pipe.toml")


def test_fresh_documents_are_read_anew_each_time(root):
    documents = FreshDocuments(root)
    assert documents.document("spec.toml") == b"a = 1\n"
    (root / "spec.toml").write_text("a = 2\n")
    assert documents.document("spec.toml") == b"a = 2\n"


def test_a_lazy_store_is_not_made_before_it_is_written_to(root, tmp_path):
    lazy = LazyStore(lambda: tmp_path / "lazy")
    snapshot = Snapshot(root, lazy)
    snapshot.document("spec.toml")
    assert not lazy.has(Digest.of(b"x = 1\n"))
    assert not (tmp_path / "lazy").exists()
    digest = snapshot.file("source.py").digest
    assert lazy.has(digest)
    assert lazy.store.read(digest) == b"x = 1\n"
