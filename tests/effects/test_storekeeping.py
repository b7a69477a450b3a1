"""Maintenance of a store: what it counts, what it removes in which order, and when it refuses."""

import fcntl
import os
import subprocess
import time

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.store.maintenance import RemovalReport, StoreStats, collect, stats, verify
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, ActionResult, Output
from mpbuild.formats.oci import oci, referrer

FAR = 10**10
"""A time later than that of any file of a test."""


def remember(store, name, layer=b"blob"):
    """A result with a blob and a layer."""
    action = Action(rule=name, version=1, executor="derive", outputs=("layer", "needs"))
    needs = store.put_bytes(name.encode())
    output = Output(Digest.of(layer), 4, Digest.of(b"plain" + layer))
    result = ActionResult({"layer": output, "needs": Output(needs, len(name))}, sandboxed=True)
    store.remember(action, result)
    return action


def unpacked(store, name, size=100):
    tree = store.tree(Digest.of(name.encode()))
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "file").write_bytes(bytes(size))
    return tree


def used(path, order):
    """Sets the time of last use of ``path`` by its ``order``."""
    os.utime(path, (FAR + order, path.stat().st_mtime))


def names(store, kind):
    return {path.name for path in (store.path / kind).iterdir()}


def test_an_empty_store_holds_nothing(store):
    assert stats(store) == StoreStats(blobs=0, bytes=0, derived=0, trees=0, tree_bytes=0)
    assert verify(store) == []
    assert collect(store, 0) == RemovalReport()


def test_stats_count_blobs_layers_and_trees(store):
    remember(store, "a", b"one")
    remember(store, "b", b"two")
    unpacked(store, "t")
    store.put_bytes(bytes(1000))
    assert stats(store) == StoreStats(blobs=3, bytes=1002, derived=2, trees=1, tree_bytes=100)


def test_verify_removes_damaged_blobs_and_nothing_else(store):
    good = [store.put_bytes(data) for data in (b"", b"good", bytes(3 << 20))]
    bad = [store.put_bytes(data) for data in (b"flipped", b"cut off", b"emptied")]
    for digest, data in zip(bad, (b"flippeX", b"cut", b""), strict=True):
        store.blob(digest).chmod(0o644)
        store.blob(digest).write_bytes(data)
    stray = store.path / "blobs/sha256/README"
    stray.write_bytes(b"not a blob")
    action = remember(store, "a")
    assert verify(store) == sorted(bad)
    assert all(store.has(digest) for digest in good)
    assert not any(store.has(digest) for digest in bad)
    assert stray.exists()
    assert store.find(action.key)
    assert verify(store) == []


def test_gc_removes_what_the_killed_left_and_else_nothing_without_a_limit(store):
    action = remember(store, "a")
    (store.path / "scratch" / "half").write_bytes(bytes(10))
    folder = store.path / "scratch" / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(bytes(5))
    with store.lock(Digest.of(b"")):
        pass
    tree = unpacked(store, "t")
    assert collect(store, None) == RemovalReport({"scratch": 3}, 15)
    assert names(store, "scratch") == set()
    assert store.find(action.key)
    assert tree.is_dir()


def test_gc_with_room_enough_removes_nothing(store):
    remember(store, "a")
    unpacked(store, "t")
    assert collect(store, 1 << 30) == RemovalReport()


def test_gc_to_nothing_removes_everything_that_can_be_had_again(store):
    remember(store, "a")
    unpacked(store, "t")
    (store.path / "last" / "memo").write_bytes(b"{}")
    store.keep_fact(Digest.of(b"wheel"), b"{}")
    (store.path / "partial" / "download").write_bytes(b"half")
    removed = collect(store, 0)
    assert removed.counts == {
        "partial": 1,
        "trees": 1,
        "facts": 1,
        "last": 1,
        "results": 1,
        "derived": 2,
        "blobs": 1,
    }
    assert stats(Store(store.path)).bytes == 0
    assert store.put_bytes(b"again")


def size_of(store, *kinds):
    folders = (store.path / kind for kind in kinds)
    return sum(p.stat().st_size for f in folders for p in f.rglob("*") if p.is_file())


KINDS = ["partial", "trees", "facts", "last", "results", "derived", "blobs"]


@pytest.mark.parametrize("gone", range(len(KINDS)))
def test_gc_goes_from_what_is_merely_at_hand_to_blobs(store, gone):
    """What leads to another thing goes first: no memo is left without its results, no result
    without its derivations, or a build would find what can't be completed."""
    remember(store, "a")
    unpacked(store, "t")
    (store.path / "last" / "memo").write_bytes(b"{}")
    store.keep_fact(Digest.of(b"wheel"), b"{}")
    (store.path / "partial" / "download").write_bytes(b"half")
    collect(store, size_of(store, *KINDS[gone:]))
    left = [kind for kind in KINDS if any(p.is_file() for p in (store.path / kind).rglob("*"))]
    assert left == KINDS[gone:]


def test_gc_removes_the_longest_unused_first_and_stops_at_the_limit(store):
    digests = [store.put_bytes(b"%d" % i * 100) for i in range(5)]
    for order, i in enumerate((3, 0, 4, 1, 2)):
        used(store.blob(digests[i]), order)
    assert collect(store, 350) == RemovalReport({"blobs": 2}, 200)
    assert [store.has(digest) for digest in digests] == [False, True, True, False, True]


def test_what_has_just_been_put_in_is_not_taken_for_long_unused(store):
    """The date of its content, 1980, is not the time of its last use."""
    old = store.put_bytes(b"old")
    os.utime(store.blob(old), (time.time(), 315532800))
    time.sleep(0.02)
    new = store.put_bytes(b"new")
    collect(store, 3)
    assert (store.has(old), store.has(new)) == (False, True)


def test_gc_refuses_while_another_process_uses_the_store(store, elsewhere):
    store.put_bytes(b"needed")
    other = elsewhere("""
        store = Store(path)
        print("open", flush=True)
        time.sleep(60)
    """)
    assert other.stdout.readline() == "open\n"
    with pytest.raises(EnvironmentFailureError, match="another process uses the store") as caught:
        collect(store, 0)
    assert caught.value.findings[0].code == "store-in-use"
    assert store.has(Digest.of(b"needed"))
    other.kill()
    other.wait()
    assert collect(store, 0).counts == {"blobs": 1}


def test_after_a_refusal_this_process_is_still_seen(store, elsewhere):
    """A failed conversion loses the lock, which must be taken again."""
    other = elsewhere("""
        store = Store(path)
        print("open", flush=True)
        sys.stdin.readline()
        time.sleep(60)
    """)
    assert other.stdout.readline() == "open\n"
    with pytest.raises(EnvironmentFailureError):
        collect(store, 0)
    other.kill()
    other.wait()
    third = elsewhere("""
        from mpbuild.base.errors import EnvironmentFailureError
        from mpbuild.effects.store.maintenance import collect
        try:
            collect(Store(path), 0)
        except EnvironmentFailureError as error:
            print(error.findings[0].code, flush=True)
    """)
    assert third.stdout.read() == "store-in-use\n"


def test_a_process_that_comes_during_gc_waits_for_its_end(store, elsewhere):
    fcntl.flock(store.presence, fcntl.LOCK_EX)
    comer = elsewhere('print("coming", flush=True); Store(path); print("in", flush=True)')
    assert comer.stdout.readline() == "coming\n"
    with pytest.raises(subprocess.TimeoutExpired):
        comer.wait(0.3)
    fcntl.flock(store.presence, fcntl.LOCK_SH)
    assert comer.stdout.readline() == "in\n"


def test_a_tree_leaves_its_place_before_it_is_taken_apart(tmp_path, elsewhere):
    """A process that is killed while removing must not leave a partial tree."""
    remover = elsewhere("""
        import os, shutil
        from mpbuild.effects.store.maintenance import collect
        store = Store(path)
        (store.tree(Digest.of(b"")) / "inner").mkdir(parents=True)
        (store.tree(Digest.of(b"")) / "inner" / "file").write_bytes(b"x")
        shutil.rmtree = lambda *_, **__: os._exit(9)
        collect(store, 0)
    """)
    assert remover.wait(30) == 9
    assert not Store(tmp_path / "store").tree(Digest.of(b"")).exists()


def test_what_is_attached_to_a_package_survives_gc(store):
    """A signature cannot be made again."""
    subject = oci.Descriptor(media_type=oci.INDEX, digest=Digest.of(b"package"), size=7)
    manifest = referrer.encode(referrer.attach(subject, b"a bundle", "https://example/p"))
    attached = [store.put_bytes(data) for data in (oci.EMPTY, b"a bundle", manifest)]
    store.refer(subject.digest, Digest.of(manifest))
    store.put_bytes(b"an input")
    assert collect(store, 0).counts == {"blobs": 1}
    assert all(store.has(digest) for digest in attached)


def test_what_an_inputs_artifact_lists_can_be_fetched_again(store):
    data = b"a Debian package"
    layer = oci.descriptor("application/vnd.mpbuild.inputs.file.v1", data)
    manifest = referrer.encode(
        referrer.Referrer(
            artifact_type="application/vnd.mpbuild.inputs.v1",
            config=oci.descriptor(oci.EMPTY_TYPE, oci.EMPTY),
            layers=(layer,),
            subject=oci.Descriptor(media_type=oci.INDEX, digest=Digest.of(b"package"), size=7),
        )
    )
    kept, fetched = store.put_bytes(manifest), store.put_bytes(data)
    store.refer(Digest.of(b"package"), kept)
    collect(store, 0)
    assert store.has(kept)
    assert not store.has(fetched)
