"""OCI layouts on disk: a half-written one shows nothing and is gone on with."""

import json
import os
import signal
import subprocess
import sys

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.formats.oci import oci

PACKAGE = b'{"made":"up"}'


def write(path, *blobs):
    layout = Layout(path)
    layout.begin()
    for data in (*blobs, PACKAGE):
        layout.add(Digest.of(data), [data])
    layout.finish(oci.retagged(oci.descriptor(oci.INDEX, PACKAGE), "1.0.0"))
    return layout


def tree(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_layout_has_the_files_of_the_specification(tmp_path):
    layout = write(tmp_path / "out", b"one", b"two")
    found = tree(layout.path)
    found.pop(".lock", None)
    assert {name for name in found if not name.startswith("blobs/")} == {"index.json", "oci-layout"}
    assert found["oci-layout"] == b'{"imageLayoutVersion":"1.0.0"}'
    index = json.loads(found["index.json"])
    assert index["schemaVersion"] == 2
    assert index["mediaType"] == oci.INDEX
    (entry,) = index["manifests"]
    assert entry["digest"] == Digest.of(PACKAGE)
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "1.0.0"}
    for data in (b"one", b"two", PACKAGE):
        assert found[f"blobs/sha256/{Digest.of(data).hex}"] == data


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_files_can_be_read_by_all_whatever_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        layout = write(tmp_path / "out", b"one")
    finally:
        os.umask(before)
    for name in ("oci-layout", "index.json", f"blobs/sha256/{Digest.of(b'one').hex}"):
        assert (layout.path / name).stat().st_mode & 0o7777 == 0o644
    assert layout.packages()[0].digest == Digest.of(PACKAGE)


def test_writing_again_changes_nothing(tmp_path):
    layout = write(tmp_path / "out", b"one")
    before = tree(layout.path)
    assert tree(write(tmp_path / "out", b"one").path) == before


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "precious").write_bytes(b"data")
    with pytest.raises(InputError, match="neither empty nor an OCI layout") as caught:
        Layout(tmp_path).begin()
    assert caught.value.findings[0].where == str(tmp_path)
    assert tree(tmp_path) == {"precious": b"data"}


def test_a_place_that_is_no_folder_is_reported(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFailureError) as caught:
        Layout(tmp_path / "file").begin()
    assert caught.value.findings[0].code == "store-unusable"


def test_a_stream_that_fails_leaves_no_blob(tmp_path):
    layout = Layout(tmp_path / "out")
    layout.begin()

    def chunks():
        yield b"half"
        raise InputError("derived something else")

    with pytest.raises(InputError, match="derived something else"):
        layout.add(Digest.of(b"whole"), chunks())
    assert tree(layout.path).keys() == {"oci-layout"}


WRITE = """
import sys, time
from pathlib import Path
from mpbuild.base.digest import Digest
from mpbuild.effects.files.oci_layout import Layout

layout = Layout(Path(sys.argv[1]))
layout.begin()
layout.add(Digest.of(b"one"), [b"one"])

def chunks():
    yield b"x" * (2 << 20)
    print("half", flush=True)
    time.sleep(60)

layout.add(Digest.of(b"two"), chunks())
"""


def test_a_layout_of_somebody_who_was_killed_shows_nothing_and_is_gone_on_with(tmp_path):
    path = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", WRITE, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
    assert Layout(path).packages() == ()
    layout = write(path, b"one", b"two")
    assert [entry.digest for entry in layout.packages()] == [Digest.of(PACKAGE)]
    assert layout.read(Digest.of(b"two")) == b"two"


def test_who_was_killed_before_anything_was_there_is_gone_on_with(tmp_path):
    (tmp_path / ".new-abcd").write_bytes(b"half")
    assert write(tmp_path).packages()


def test_a_damaged_blob_is_never_given_out(tmp_path):
    layout = write(tmp_path / "out", b"one")
    layout.blob(Digest.of(b"one")).write_bytes(b"onX")
    with pytest.raises(InputError, match="does not match its descriptor") as caught:
        layout.read(Digest.of(b"one"))
    assert caught.value.findings[0].code == "content-mismatch"


def test_a_blob_of_another_size_than_announced_is_refused(tmp_path):
    layout = write(tmp_path / "out", b"one")
    assert layout.read(Digest.of(b"one"), 3) == b"one"
    with pytest.raises(InputError, match="does not match its descriptor"):
        layout.read(Digest.of(b"one"), 4)


@pytest.mark.parametrize("how", ["read", "chunks"])
def test_a_blob_that_is_not_there_is_an_error_of_ours(tmp_path, how):
    layout = write(tmp_path / "out")
    with pytest.raises(InputError, match="lacks the blob") as caught:
        list(getattr(layout, how)(Digest.of(b"none")))
    assert caught.value.findings[0].code == "content-missing"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"manifests": 1}',
        b'{"manifests": "abc"}',
        b'{"manifests": [1]}',
        b'{"manifests": [{"mediaType": "a", "digest": "sha256:1", "size": 1}]}',
        b'{"manifests": [], "manifests": []}',
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path, text):
    layout = write(tmp_path / "out")
    (layout.path / "index.json").write_bytes(text)
    with pytest.raises(InputError) as caught:
        layout.packages()
    assert caught.value.findings[0].code == "content-mismatch"


@pytest.mark.parametrize("extra", ["urls", "data", "unknown"])
def test_a_descriptor_with_bytes_from_elsewhere_is_refused(tmp_path, extra):
    layout = write(tmp_path / "out")
    index = json.loads((layout.path / "index.json").read_bytes())
    index["manifests"][0][extra] = ["https://evil.example/blob"] if extra == "urls" else "eA=="
    (layout.path / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=f"unknown field `{extra}`") as caught:
        layout.packages()
    assert caught.value.findings[0].code == "content-mismatch"


def test_the_type_that_a_copier_repeats_in_the_index_is_passed_over(tmp_path):
    layout = write(tmp_path / "out")
    before = layout.packages()
    index = json.loads((layout.path / "index.json").read_bytes())
    index["manifests"][0]["artifactType"] = "application/vnd.oci.empty.v1+json"
    (layout.path / "index.json").write_text(json.dumps(index))
    assert layout.packages() == before


def test_referrers_stay_when_the_package_is_written_again(tmp_path):
    layout = write(tmp_path / "out", b"referrers")
    tag = f"sha256-{Digest.of(PACKAGE).hex}"
    with layout.locked():
        layout.point(tag, oci.descriptor(oci.INDEX, b"referrers"))
    again = write(tmp_path / "out")
    assert again.tagged(tag).digest == Digest.of(b"referrers")
    assert [entry.digest for entry in again.packages()] == [Digest.of(PACKAGE)]


def test_a_blob_may_be_another_name_of_a_file_of_the_store(tmp_path):
    layout = write(tmp_path / "out")
    source = tmp_path / "source"
    source.write_bytes(b"large")
    digest = Digest.of(b"large")
    assert layout.share(digest, source, [b"large"])
    assert layout.blob(digest).samefile(source)
    assert layout.share(digest, source, [b"large"])
    assert layout.read(digest) == b"large"


def test_a_file_of_other_bytes_is_not_shared(tmp_path):
    def failing():
        yield b"lar"
        raise InputError("other bytes")

    layout = write(tmp_path / "out")
    (tmp_path / "source").write_bytes(b"other")
    with pytest.raises(InputError, match="other bytes"):
        layout.share(Digest.of(b"large"), tmp_path / "source", failing())
    assert not layout.blob(Digest.of(b"large")).exists()


def test_what_can_not_be_shared_is_left_to_be_copied(tmp_path):
    layout = write(tmp_path / "out")
    assert not layout.share(Digest.of(b"x"), tmp_path / "absent", [b"x"])
    assert not layout.blob(Digest.of(b"x")).exists()
