"""Facts come out of a wheel by its end and a few members; what lies or is broken is refused."""

import contextlib
import io
import re
import struct
import zipfile
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.audit import wheel_facts as kept
from mpbuild.audit.read_wheel_facts import ReadLimits, read_directory, read_facts
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.archive.stream import Span

NAME = "demo-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
NOTHING = ReadLimits(0, 0)
FILES = {
    "demo/__init__.py": b"from . import core\nimport other\n",
    "demo/core.py": b"import os\nimport third.part\n",
    "demo/data.bin": bytes(range(256)) * 400,
    "demo-1.0.data/scripts/tool": b"#!python\n",
}
SCRIPTS = "[console_scripts]\nRun-It = demo:main\n[gui_scripts]\nshow = demo:show\n[other]\nx = y\n"


class Parts:
    """A wheel somewhere else: only what is asked for comes, and is counted."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.spans: list[Span] = []

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        self.spans += spans
        return [self._data[span.start : span.stop] for span in spans]

    @property
    def bytes(self) -> int:
        return sum(span.stop - span.start for span in self.spans)


@pytest.fixture
def demo(make):
    return make.wheel(
        NAME, FILES, "Requires-Python: >=3.9", "Provides-Extra: Big_One", entry_points=SCRIPTS
    )


def test_a_wheel_at_hand_tells_everything(make, demo, shared_object):
    data = make.wheel(
        NAME, FILES | {"demo/native.so": shared_object}, "Requires-Dist: numpy>=2; extra == 'x'"
    )
    found = make.facts(data)
    assert found.whole
    assert (found.name, found.version, found.dist_info) == ("demo", "1.0", "demo-1.0.dist-info")
    assert found.files["demo/data.bin"].size == 102400
    assert found.tags == ("cp311-cp311-manylinux_2_28_x86_64",)
    assert found.requires == ("numpy>=2; extra == 'x'",)
    assert set(found.elf) == {"demo/native.so"}
    assert "libc.so.6" in found.elf["demo/native.so"].needed
    assert found.unread == {}
    assert not found.imports, "it declares what it needs"


def test_metadata_and_scripts_are_those_of_the_wheel(make, demo):
    found = make.facts(demo)
    assert found.requires_python == ">=3.9"
    assert found.extras == ("big-one",)
    assert found.scripts == ("Run-It", "show")


def test_an_elf_file_of_any_name_is_one_where_all_is_at_hand(make, shared_object):
    data = make.wheel(NAME, {"demo/bin/tool": shared_object, "demo/fake.so": b"text"})
    assert set(make.facts(data).elf) == {"demo/bin/tool"}


def test_crcs_and_sizes_are_those_that_zipfile_finds(make, demo):
    with zipfile.ZipFile(io.BytesIO(demo)) as archive:
        expected = {one.filename: (one.file_size, one.CRC) for one in archive.infolist()}
    found = make.facts(demo).files
    assert {name: (file.size, file.crc) for name, file in found.items()} == expected
    assert read_directory(Parts(demo)).files == found


def test_elsewhere_only_the_end_and_metadata_are_read(make, shared_object):
    large = {"demo/data.bin": shared_object * 9, "demo/native.so": shared_object}
    data = make.wheel(NAME, large)
    source = Parts(data)
    found = read_facts(source, NOTHING)
    assert not found.whole
    assert source.bytes < 12_000 < len(data)
    assert list(found.unread) == ["demo/native.so"]
    assert found.unread["demo/native.so"] < len(shared_object)
    assert found.elf == {}


def test_small_objects_are_read_and_large_ones_reported(make, shared_object):
    objects = {"a/small.so.1": b"text", "a/large.so": shared_object, "a/x.sof": b"x"}
    data = make.wheel(NAME, objects)
    found = read_facts(Parts(data), ReadLimits(objects=1000, modules=0))
    assert set(found.unread) == {"a/large.so"}
    assert read_facts(Parts(data), ReadLimits(objects=1 << 20, modules=0)).unread == {}


def test_more_is_read_of_a_wheel_that_nobody_checked(make, shared_object):
    """Its name promises a glibc, and WHEEL none: onnxruntime-migraphx 1.25 broke the promise."""
    files = {"a/native.so": shared_object}
    packed = zipfile.ZipFile(io.BytesIO(make.wheel(NAME, files))).getinfo("a/native.so")
    half = ReadLimits(objects=packed.compress_size * 2 // 3, modules=0)
    assert read_facts(Parts(make.wheel(NAME, files)), half).unread
    data = make.wheel(NAME, files, tags=("cp311-cp311-linux_x86_64",))
    assert not read_facts(Parts(data), half).unread


def test_a_central_directory_longer_than_the_first_read_is_read_whole(make):
    many = {f"demo/part{i:04}/__init__.py": b"%d" % i for i in range(400)}
    data = make.wheel(NAME, many)
    assert read_facts(Parts(data), NOTHING).files == make.facts(data).files


def test_a_wheel_with_a_long_comment_is_read(make, demo):
    with zipfile.ZipFile(out := io.BytesIO(demo), "a") as archive:
        archive.comment = b"c" * 60_000
    assert read_facts(Parts(out.getvalue()), NOTHING).files == make.facts(demo).files


def test_what_is_read_by_parts_equals_what_is_at_hand(make, demo):
    parts = plain(read_facts(Parts(demo), ReadLimits(1 << 20, 1 << 20)))
    assert parts | {"whole": True} == plain(make.facts(demo))


def test_facts_are_kept_as_canonical_json(make, demo):
    found = make.facts(demo)
    assert kept.read(kept.encode(found)) == found


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"whole":true}'])
def test_kept_facts_that_are_damaged_are_none(data):
    with pytest.raises(InputError):
        kept.read(data)


def test_facts_of_parts_never_stand_for_those_of_the_whole():
    wheel = Digest.of(b"wheel")
    keys = {
        kept.key(wheel, whole=True),
        kept.key(wheel, whole=False),
        kept.key(Digest.of(b""), whole=True),
    }
    assert len(keys) == 3


# ---- hostile wheels


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1
    return data.replace(old, new)


BROKEN = {
    "empty": (lambda data: b"", "no end record"),
    "no archive": (lambda data: b"x" * 5000, "no end record"),
    "cut off": (lambda data: data[:-30], "no end record"),
    "longer than it says": (lambda data: data + b"x", "does not end with its end record"),
    "a directory elsewhere": (
        lambda data: data[:-6] + struct.pack("<L", 7) + data[-2:],
        "does not end at the end record",
    ),
    "fewer entries than announced": (
        lambda data: data[:-14] + struct.pack("<HH", 99, 99) + data[-10:],
        "not the declared 99",
    ),
    "a name that climbs": (
        lambda data: changed(data, b"demo/data.bin", b"../../data.in"),
        "..",
    ),
    "two .dist-info folders": (
        lambda data: changed(data, b"demo/data.bin", b"x.dist-info/a"),
        "one .dist-info",
    ),
    "no WHEEL": (lambda data: changed(data, b"dist-info/WHEEL", b"dist-info/wheel"), "no demo"),
    "another local name": (
        lambda data: data.replace(b"dist-info/METADATA", b"dist-info/METADATb", 1),
        "disagree",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_wheel_that_is_no_sound_archive_is_refused(demo, what):
    breaking, message = BROKEN[what]
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_facts(Parts(breaking(demo)), NOTHING)
    assert caught.value.findings[0].code == "layer-unsafe"


def test_a_member_with_another_crc_than_announced_is_refused(make, demo):
    entry = demo.rindex(b"PK\1\2", 0, demo.rindex(b"METADATA"))
    bad = demo[: entry + 16] + b"\0\0\0\0" + demo[entry + 20 :]
    with pytest.raises(InputError) as caught:
        read_facts(Parts(bad), NOTHING)
    assert caught.value.findings[0].code == "layer-unsafe"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_change_of_bytes_gives_anything_but_facts_or_our_error(make, data):
    good = make.wheel(NAME, FILES, entry_points=SCRIPTS)
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        bad[-data.draw(st.integers(1, min(len(bad), 1200)))] = data.draw(st.integers(0, 255))
    for limits in (ReadLimits(), NOTHING):
        with contextlib.suppress(InputError):
            assert read_facts(Parts(bytes(bad)), limits).dist_info.endswith(".dist-info")
