"""Files as a layer, and the table of functions that derive layers."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive.layers import derive_layer
from mpbuild.derive.layers.layer_plan import FILES, LayerPlan

NAMES = st.sampled_from(["a", "b/c", "b/d", "e/f/g", "ü"])


@settings(max_examples=25)
@given(st.dictionaries(NAMES, st.binary(max_size=600)), st.sets(NAMES), st.booleans())
def test_files_come_out_as_they_went_in(make, files, executable, stored):
    made = make.file_layer(files, tuple(executable), stored=stored)
    found = {name: m for name, m in made.members().items() if m.isfile()}
    assert {name: made.read(name) for name in found} == files
    assert {n for n, m in found.items() if m.mode == 0o755} == executable & files.keys()


@given(st.permutations(["a", "b", "c/d"]))
@settings(max_examples=6)
def test_the_order_in_which_files_were_named_decides_nothing(make, order):
    files = {name: name.encode() for name in order}
    assert make.file_layer(files).layer == make.file_layer(dict(sorted(files.items()))).layer


def test_stored_and_compressed_files_are_one_tree(make):
    files = {"weights": bytes(100_000)}
    stored, compressed = (make.file_layer(files, stored=stored) for stored in (True, False))
    assert stored.layer.diff_id == compressed.layer.diff_id
    assert len(stored.blob) > 100_000 > len(compressed.blob)


@pytest.mark.parametrize(
    "path", ["/abs", "../up", "a/../b", "a//b", "a/./b", "a/.wh.b", ".wh..wh..opq", "a\nb", ""]
)
def test_a_path_that_no_layer_may_hold_is_refused(make, path):
    with pytest.raises(InputError) as caught:
        make.file_layer({path: b""})
    assert caught.value.findings[0].code == "layer-unsafe"


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("a", "a/b"), ("ä", "a\u0308")])
def test_paths_that_would_collide_are_refused(make, one, other):
    with pytest.raises(InputError) as caught:
        make.file_layer({one: b"", other: b""})
    assert caught.value.findings[0].code == "layer-unsafe"


GOOD = LayerPlan(rule=FILES, title="", inputs={"a": Digest.of(b"")})


@pytest.mark.parametrize(
    "change",
    [{"rule": "unknown"}, {"version": 2}, {"version": 0}, {"codec": "other"}],
)
def test_what_this_version_cannot_derive_is_refused(change):
    plan = msgspec.structs.replace(GOOD, **change)
    for function in (derive_layer.derive, derive_layer.blob):
        with pytest.raises(InputError, match="unsupported layer format") as caught:
            function(plan, {"a": b""})
        assert caught.value.findings[0].code == "not-supported-yet"


@pytest.mark.parametrize("rule", ["wheel-layer", "deb-layer"])
def test_a_plan_without_parameters_gives_no_foreign_error(rule):
    """Actions are read from stores that other users may write to."""
    assert derive_layer.derive(LayerPlan(rule=rule, title="", inputs={}), {}).layer


def test_a_file_that_only_begins_like_an_elf_file_is_one_like_any_other(make):
    assert make.file_layer({"a": b"\x7fELF"}).read("a") == b"\x7fELF"
