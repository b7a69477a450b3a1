"""The store: complete things or none, with concurrent writers, killed ones and full disks."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, ActionResult, Output

ACTION = Action(rule="step", version=1, executor="sandbox", outputs=("out",))
LAYER = Action(rule="files-layer", version=1, executor="derive", outputs=("layer", "needs"))
LARGE = bytes(range(256)) * (5 << 12)


def blobs(store):
    return sorted(path.name for path in (store.path / "blobs/sha256").iterdir())


def scratch(store):
    return list((store.path / "scratch").iterdir())


def descriptors(store_path):
    """The number of open descriptors of this process below ``store_path``."""
    inside = 0
    for link in Path("/proc/self/fd").iterdir():
        # The descriptor of the listed folder itself is closed by now.
        with contextlib.suppress(FileNotFoundError):
            inside += link.readlink().is_relative_to(store_path)
    return inside


def everything(store):
    return sorted(str(p.relative_to(store.path)) for p in store.path.rglob("*") if p.is_file())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_what_is_put_in_comes_out(store, chunks):
    data = b"".join(chunks)
    kept = store.put(iter(chunks))
    assert kept == Output(Digest.of(data), len(data))
    assert store.has(kept.digest)
    assert store.read(kept.digest) == data
    assert store.put_bytes(data) == kept.digest


@pytest.mark.parametrize("data", [b"", b"small", LARGE])
def test_a_blob_can_be_looked_at_without_copying(store, data):
    with store.mapped(store.put_bytes(data)) as view:
        assert view == data
        assert view.readonly


def test_a_blob_is_read_only_and_dated_1980_whatever_the_umask(tmp_path):
    for mask in (0, 0o022, 0o077):
        before = os.umask(mask)
        try:
            store = Store(tmp_path / f"store-{mask}")
            digests = [
                store.put_bytes(b"put"),
                keep(store, b"kept").digest,
                adopt(store, b"adopted"),
            ]
        finally:
            os.umask(before)
        for digest in digests:
            status = store.blob(digest).stat()
            assert (status.st_mode & 0o7777, status.st_mtime) == (0o444, 315532800)


def keep(store, data):
    with store.scratch() as folder:
        (folder / "file").write_bytes(data)
        return store.keep(folder / "file")


def adopt(store, data):
    path = store.path / "partial" / "download"
    path.write_bytes(data)
    store.adopt(path, Digest.of(data))
    return Digest.of(data)


def test_a_file_is_moved_in(store):
    assert keep(store, b"file") == Output(Digest.of(b"file"), 4)
    assert store.read(Digest.of(b"file")) == b"file"
    assert adopt(store, b"download") == Digest.of(b"download")
    assert store.read(Digest.of(b"download")) == b"download"
    assert not list((store.path / "partial").iterdir())


def test_a_stream_that_fails_leaves_nothing(store):
    def chunks():
        yield b"half"
        raise InputError("not what was announced")

    with pytest.raises(InputError, match="not what was announced"):
        store.put(chunks())
    assert blobs(store) == []
    assert scratch(store) == []


@pytest.mark.parametrize("data", [b"data", LARGE])
def test_a_damaged_blob_is_never_given_out(store, data):
    digest = store.put_bytes(data)
    path = store.blob(digest)
    path.chmod(0o644)
    path.write_bytes(data[:-1] + b"X")
    with pytest.raises(InputError, match="content does not match") as caught:
        store.read(digest)
    assert caught.value.findings[0].code == "content-mismatch"
    assert caught.value.findings[0].where == str(path)


def test_a_blob_that_is_not_there_is_an_error_of_ours(store):
    with pytest.raises(InputError, match="is not in the store") as caught:
        store.read(Digest.of(b"absent"))
    assert caught.value.findings[0].code == "content-mismatch"
    assert caught.value.findings[0].hint == "run `mpbuild fetch`"


def test_an_error_of_the_caller_passes_unchanged(store):
    digest = store.put_bytes(b"")
    with pytest.raises(FileNotFoundError), store.mapped(digest):
        raise FileNotFoundError("elsewhere")


def test_looking_at_many_blobs_does_not_use_up_descriptors(store):
    digests = [store.put_bytes(b"%d" % i) for i in range(40)]
    before = descriptors(store.path)
    contexts = [store.mapped(digest) for digest in digests]
    views = [context.__enter__() for context in contexts]
    assert descriptors(store.path) == before
    assert [bytes(view) for view in views] == [b"%d" % i for i in range(40)]
    for context in contexts:
        context.__exit__(None, None, None)


def test_nothing_stays_open_after_use(tmp_path):
    store = Store(tmp_path / "store")
    with store.mapped(store.put_bytes(LARGE)) as view:
        assert len(view) == len(LARGE)
    del view
    with store.scratch(), store.lock(Digest.of(b"")):
        pass
    del store
    assert descriptors(tmp_path) == 0


# ---- results and derivations


def layer_result(store):
    needs = store.put_bytes(b"{}")
    layer = Output(Digest.of(b"blob"), 4, Digest.of(b"tar"))
    return ActionResult({"layer": layer, "needs": Output(needs, 2)}, sandboxed=True)


def test_a_result_is_found_under_its_key(store):
    result = ActionResult({"out": Output(store.put_bytes(b"made"), 4)}, sandboxed=False)
    assert store.find(ACTION.key) is None
    store.remember(ACTION, result)
    assert store.find(ACTION.key) == result
    assert Store(store.path).find(ACTION.key) == result


def test_a_result_whose_blob_is_gone_is_a_miss(store):
    digest = store.put_bytes(b"made")
    store.remember(ACTION, ActionResult({"out": Output(digest, 4)}, sandboxed=True))
    store.blob(digest).unlink()
    assert store.find(ACTION.key) is None


def test_of_a_layer_the_fact_is_enough(store):
    result = layer_result(store)
    store.remember(LAYER, result)
    assert not store.has(result.outputs["layer"].digest)
    assert store.find(LAYER.key) == result


def test_a_layer_can_be_derived_again_by_either_digest(store):
    store.remember(LAYER, layer_result(store))
    for data in (b"blob", b"tar"):
        assert store.derivation(Digest.of(data)) == LAYER
    assert store.derivation(Digest.of(b"other")) is None


@pytest.mark.parametrize("digest", [Digest.of(b"blob"), Digest.of(b"tar")])
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", None])
def test_a_layer_without_a_derivation_is_a_miss(store, digest, damage):
    """Otherwise a build would find the result, but no layout could be written."""
    store.remember(LAYER, layer_result(store))
    path = store.path / "derived" / digest.hex
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert store.find(LAYER.key) is None
    assert store.derivation(digest) is None
    store.remember(LAYER, layer_result(store))
    assert store.find(LAYER.key) is not None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"[]",
        b'{"outputs": {}}',
        b'{"outputs": {"out": {"digest": "sha256:x", "size": 1}}, "sandboxed": true}',
        b'{"outputs": {}, "outputs": {}, "sandboxed": true}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_result_is_a_miss(store, damage):
    store.remember(
        ACTION, ActionResult({"out": Output(store.put_bytes(b"made"), 4)}, sandboxed=True)
    )
    path = store.path / "results" / ACTION.key.hex
    path.unlink()
    path.write_bytes(damage)
    assert store.find(ACTION.key) is None


def test_a_result_that_is_no_file_is_a_miss(store):
    (store.path / "results" / ACTION.key.hex).mkdir()
    assert store.find(ACTION.key) is None


def test_only_blobs_cannot_be_done_without(store):
    store.remember(LAYER, layer_result(store))
    for name in ("derived", "results", "trees", "facts", "last", "partial", "scratch"):
        shutil.rmtree(store.path / name)
    again = Store(store.path)
    assert again.find(LAYER.key) is None
    again.remember(LAYER, layer_result(again))
    assert again.find(LAYER.key) is not None


# ---- other processes


def test_processes_that_put_the_same_blobs_at_once_do_not_disturb_each_other(store, elsewhere):
    script = """
        store = Store(path)
        for i in range(60):
            data = b"%d" % i * 4000
            kept = store.put([data[:100], data[100:]])
            assert store.read(kept.digest) == data
        print("done", flush=True)
    """
    writers = [elsewhere(script) for _ in range(3)]
    assert [writer.stdout.read() for writer in writers] == ["done\n"] * 3
    assert len(blobs(store)) == 60
    assert all(Digest.of((b"%d" % i) * 4000).hex in blobs(store) for i in range(60))
    assert scratch(store) == []


def test_a_process_killed_while_putting_leaves_no_blob(store, elsewhere):
    writer = elsewhere("""
        def chunks():
            yield b"x" * (3 << 20)
            print("half", flush=True)
            time.sleep(60)
            yield b"y"
        Store(path).put(chunks())
    """)
    assert writer.stdout.readline() == "half\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert blobs(store) == []
    assert len(scratch(store)) == 1
    assert store.put([b"x" * (3 << 20), b"y"]).size == (3 << 20) + 1


def test_a_process_killed_while_remembering_leaves_old_or_new(store, elsewhere):
    """The writer is killed at many moments; readers only find complete things."""
    result = ActionResult({"out": Output(store.put_bytes(b"made"), 4)}, sandboxed=True)
    action = msgspec.structs.replace(ACTION, environment={"LONG": "x" * 50_000})
    script = """
        from mpbuild.base.conversion import typed
        from mpbuild.engine.action import Action, Output, ActionResult
        store = Store(path)
        action = Action(rule="step", version=1, executor="sandbox", outputs=("out",),
                        environment={"LONG": "x" * 50_000})
        result = ActionResult({"out": Output(Digest.of(b"made"), 4)}, True)
        print("ready", flush=True)
        while True:
            store.remember(action, result)
    """
    for pause in (0, 0.003, 0.011):
        writer = elsewhere(script)
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(pause)
        writer.kill()
        writer.wait()
        assert store.find(action.key) in (None, result)


def test_a_name_is_held_against_other_processes(store, elsewhere):
    holder = elsewhere("""
        with Store(path).lock(Digest.of(b"")):
            print("held", flush=True)
            time.sleep(60)
    """)
    assert holder.stdout.readline() == "held\n"
    waiter = elsewhere("""
        print("waiting", flush=True)
        with Store(path).lock(Digest.of(b"")):
            print("mine", flush=True)
    """)
    assert waiter.stdout.readline() == "waiting\n"
    with pytest.raises(subprocess.TimeoutExpired):
        waiter.wait(0.3)
    with store.lock(Digest.of(b"other")):
        holder.kill()
        assert waiter.stdout.readline() == "mine\n"


# ---- the disk


FULL = """
    import json
    from mpbuild.base.errors import EnvironmentFailureError
    from mpbuild.engine.action import Action, Output, ActionResult
    place = Path(sys.argv[1])
    store = Store(place / "store")
    small = store.put_bytes(b"small")
    told = []

    def attempt(work):
        try:
            work()
        except EnvironmentFailureError as error:
            told.append(error.findings[0].code)

    def fill(folder):
        with (folder / "file").open("wb") as file:
            file.write(bytes(4 << 20))

    def in_scratch():
        with store.scratch() as folder:
            fill(folder)

    attempt(lambda: store.put([bytes(1 << 20)] * 4))
    attempt(in_scratch)
    attempt(lambda: store.remember(
        Action(rule="r", version=1, executor="derive", environment={"x": "x" * (4 << 20)}),
        ActionResult({"layer": Output(small, 1, small)}, True),
    ))
    left = [str(p.relative_to(store.path)) for p in store.path.rglob("*") if p.is_file()]
    store.put_bytes(b"more")
    print(json.dumps({"codes": told, "left": sorted(left), "small": store.read(small).decode()}))
"""


@pytest.fixture
def small_disk(tmp_path):
    """A command prefix that mounts a disk of 2 MiB at the given folder."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = f'mount -t tmpfs -o size=2m none "{place}" && exec "$@"'
    before = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {getattr(error, 'stderr', error)}")
    return before, place


def test_a_full_disk_is_reported_and_the_store_stays_sound(small_disk, elsewhere):
    before, place = small_disk
    answer = json.loads(elsewhere(FULL, str(place), before=before).stdout.read())
    assert answer == {
        "codes": ["disk-full"] * 3,
        "left": [f"blobs/sha256/{Digest.of(b'small').hex}", "lock"],
        "small": "small",
    }


def test_a_store_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFailureError) as caught:
        Store(tmp_path / "file" / "store")
    (finding,) = caught.value.findings
    assert finding.code == "store-unusable"
    assert finding.message == "Not a directory"


def test_a_store_may_lie_behind_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    digest = Store(tmp_path / "link").put_bytes(b"x")
    assert Store(tmp_path / "real").read(digest) == b"x"


def test_scratch_is_removed_with_whatever_is_in_it(store):
    outside = store.path / "outside"
    outside.mkdir(mode=0o750)
    with store.scratch() as folder:
        for name in ("a", "a/b"):
            (folder / name).mkdir()
        (folder / "a/b/file").write_bytes(b"")
        (folder / "a/link").symlink_to(outside)
        (folder / "a/b").chmod(0)
        (folder / "a").chmod(0o500)
    assert not folder.exists()
    assert outside.stat().st_mode & 0o777 == 0o750


def test_an_error_of_the_disk_in_scratch_is_ours(store):
    with pytest.raises(EnvironmentFailureError) as caught, store.scratch() as folder:
        (folder / "absent").read_bytes()
    assert caught.value.findings[0].code == "store-unusable"
    assert scratch(store) == []


def test_any_other_error_in_scratch_stays_what_it_is(store):
    with pytest.raises(InputError, match="mine"), store.scratch():
        raise InputError("mine")
    assert scratch(store) == []


def test_everything_is_at_its_path_of_the_layout(store):
    store.remember(LAYER, layer_result(store))
    assert everything(store) == sorted(
        [
            f"blobs/sha256/{Digest.of(b'{}').hex}",
            f"derived/{Digest.of(b'blob').hex}",
            f"derived/{Digest.of(b'tar').hex}",
            f"results/{LAYER.key.hex}",
            "lock",
        ]
    )
    assert store.tree(Digest.of(b"")) == store.path / "trees" / Digest.of(b"").hex
