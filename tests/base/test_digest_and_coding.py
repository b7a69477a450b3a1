"""Digests can't be wrong, and frozen data goes to JSON values and back."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest, Hasher
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.base.version import Version

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Thing(msgspec.Struct, frozen=True):
    digest: Digest
    label: Label
    version: Version
    parts: tuple[Digest, ...] = ()
    names: dict[str, Digest] = {}


@given(st.binary())
def test_a_digest_is_that_of_its_bytes(data):
    digest = Digest.of(data)
    assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert Digest.from_hex(digest.hex) == digest
    assert Digest.of(memoryview(data)) == Digest.of(bytearray(data)) == digest


@given(st.lists(st.binary()))
def test_it_does_not_matter_how_a_stream_is_cut(chunks):
    whole = b"".join(chunks)
    hasher = Hasher()
    for chunk in chunks:
        hasher.write(chunk)
    assert hasher.digest == Digest.of_chunks(iter(chunks)) == Digest.of(whole)
    assert hasher.size == len(whole)


def test_a_hasher_goes_on_after_it_was_asked():
    hasher = Hasher()
    assert hasher.digest == EMPTY
    hasher.write(b"a")
    assert hasher.digest == Digest.of(b"a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        EMPTY[:-1],
        EMPTY + "0",
        EMPTY.upper(),
        EMPTY.replace("sha256", "sha512"),
        EMPTY.removeprefix("sha256:"),
        EMPTY + "\n",
        " " + EMPTY,
        EMPTY.replace("e", "е"),  # noqa: RUF001 - a Cyrillic one
    ],
)
def test_nothing_else_is_a_digest(text):
    with pytest.raises(InputError, match="not a digest") as caught:
        Digest(text)
    assert caught.value.findings[0].code == "content-mismatch"


def test_data_goes_to_plain_values_and_back():
    digest = Digest.of(b"x")
    thing = Thing(digest, Label("//a/b"), Version("1.2.3"), (digest,), {"n": digest})
    values = plain(thing)
    assert values == {
        "digest": str(digest),
        "label": "//a/b",
        "version": "1.2.3",
        "parts": (str(digest),),
        "names": {"n": str(digest)},
    }
    assert [type(value) for value in values.values()] == [str, str, str, tuple, dict]
    back = typed(values, Thing)
    assert back == thing
    assert (type(back.digest), type(back.label), type(back.version)) == (Digest, Label, Version)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": "sha256:ab"}, r"not a digest: 'sha256:ab' - at `\$\.digest`"),
        ({"digest": 5}, r"at `\$\.digest`"),
        ({"label": "a/b"}, r"not a label: 'a/b' - at `\$\.label`"),
        ({"version": "1"}, r"not a semantic version: '1' - at `\$\.version`"),
        ({"parts": ["x"]}, r"at `\$\.parts\[0\]`"),
        ({"names": {"a": "x"}}, r"at `\$\.names\[\.\.\.\]`"),
        ({"parts": None}, r"at `\$\.parts`"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(change, message):
    good = plain(Thing(Digest.of(b""), Label("//"), Version("1.0.0")))
    with pytest.raises(InputError, match=message) as caught:
        typed(good | change, Thing)
    assert caught.value.findings[0].code == "content-mismatch"


def test_what_is_no_object_at_all_is_refused():
    with pytest.raises(InputError, match="Expected `object`"):
        typed([], Thing)
