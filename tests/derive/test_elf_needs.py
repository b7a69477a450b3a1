"""Each need of a shared object is met by a wheel, the base or a system package, or is a finding."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.derive.elf_needs import ElfFile, ElfNeeds, encode, read_needs, unmet
from mpbuild.derive.elf_scan import ElfScan
from mpbuild.derive.layers.layer import CompressibleContent, LayerNode, StoredContent
from mpbuild.formats.archive import tar

SITE = "opt/venv/lib/python3.11/site-packages"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
EXTENSION = f"{SITE}/demo/native.so"


def image(files, links=None):
    return [ElfNeeds({path: ElfFile(**elf) for path, elf in files.items()}, links or {})]


def messages(layers):
    return [(finding.where, finding.message) for finding in unmet(layers)]


def test_a_need_that_nothing_supplies_is_a_finding():
    (finding,) = unmet(image({EXTENSION: {"needed": ("libz.so.1",)}}))
    assert finding.code == "elf-unmet"
    assert finding.severity == "error"
    assert finding.where == f"/{EXTENSION}"
    assert finding.message == "needs libz.so.1, which nothing in the image supplies"
    assert "environment.system" in finding.hint


def test_what_the_machine_supplies_is_met_in_any_version():
    needs = {"needed": ("libcuda.so.1",), "versions_needed": {"libcuda.so.1": ("CUDA_13",)}}
    assert not unmet(image({EXTENSION: needs}), {"libcuda.so.1"})
    assert len(unmet(image({EXTENSION: needs}), {"libcuda.so", "libcuda.so.2"})) == 1


def test_a_file_that_is_never_loaded_needs_nothing():
    plugin = f"{SITE}/demo/plugin.so"
    layers = image({plugin: {"needed": ("libabsent.so.1",)}})
    assert len(unmet(layers)) == 1
    assert not unmet(layers, never_loaded={plugin})


def test_the_same_need_of_another_file_still_counts():
    plugin = f"{SITE}/demo/plugin.so"
    needs = {"needed": ("libabsent.so.1",)}
    (finding,) = unmet(image({plugin: needs, EXTENSION: needs}), never_loaded={plugin})
    assert finding.where == f"/{EXTENSION}"


def test_a_file_that_is_never_loaded_meets_no_need():
    plugin = f"{SITE}/demo/libplugin.so"
    layers = image({plugin: {}, EXTENSION: {"needed": ("libplugin.so",)}})
    assert not unmet(layers)
    (finding,) = unmet(layers, never_loaded={plugin})
    assert finding.message == "needs libplugin.so, which nothing in the image supplies"


@pytest.mark.parametrize("path", [f"{SITE}/demo/plugin.so", "opt/other.so"])
def test_a_path_that_is_no_shared_object_can_not_be_left_unloaded(path):
    (finding,) = unmet(image({EXTENSION: {}}), never_loaded={path})
    assert (finding.code, finding.where) == ("spec-invalid", f"/{path}")
    assert "not a shared object" in finding.message


@pytest.mark.parametrize("folder", [LIBRARIES, "usr/lib64", "usr/lib"])
def test_a_library_in_a_library_folder_meets_a_need(folder):
    assert not unmet(image({EXTENSION: {"needed": ("libz.so.1",)}, f"{folder}/libz.so.1": {}}))


def test_a_library_in_any_other_folder_does_not():
    layers = image({EXTENSION: {"needed": ("libz.so.1",)}, "usr/lib/private/libz.so.1": {}})
    assert len(unmet(layers)) == 1


def test_a_need_is_met_from_any_layer():
    (one,), (other,) = (
        image({EXTENSION: {"needed": ("libz.so.1",)}}),
        image({f"{LIBRARIES}/libz.so.1": {}}),
    )
    assert not unmet([one, other])
    assert not unmet([other, one])


def test_links_are_followed_to_the_file():
    layers = image(
        {EXTENSION: {"needed": ("libz.so.1",)}, f"{LIBRARIES}/libz.so.1.2.13": {}},
        {
            f"{LIBRARIES}/libz.so.1": f"{LIBRARIES}/libz.so.1.2",
            f"{LIBRARIES}/libz.so.1.2": "lib/x86_64-linux-gnu/libz.so.1.2.13",
        },
    )
    assert not unmet(layers)


@pytest.mark.parametrize("links", [{}, {f"{LIBRARIES}/libz.so.2": f"{LIBRARIES}/libz.so.1"}])
def test_a_link_that_leads_nowhere_meets_nothing(links):
    links = links | {f"{LIBRARIES}/libz.so.1": f"{LIBRARIES}/libz.so.2"}
    assert len(unmet(image({EXTENSION: {"needed": ("libz.so.1",)}}, links))) == 1


@pytest.mark.parametrize(
    "search",
    [
        ("$ORIGIN/../demo.libs",),
        ("${ORIGIN}/../demo.libs",),
        ("/nowhere", "$ORIGIN/../demo.libs/"),
        (f"/{SITE}/demo.libs",),
    ],
)
def test_a_search_path_is_followed(search):
    """The library is outside the virtual environment, so only a search path finds it."""
    files = {
        "usr/lib/python3/native.so": {"needed": ("libq.so",), "search": search},
        "usr/lib/demo.libs/libq.so": {},
    }
    relative = all(not entry.startswith(f"/{SITE}") for entry in search)
    assert bool(unmet(image(files))) is not relative
    at_home = {EXTENSION: files["usr/lib/python3/native.so"], f"{SITE}/demo.libs/libq.so": {}}
    assert not unmet(image(at_home))


def test_what_another_wheel_brings_counts_by_its_soname():
    """Extension modules find such objects already loaded."""
    layers = image(
        {
            EXTENSION: {"needed": ("libcore.so.1",)},
            f"{SITE}/core/lib/libcore-1a2b.so": {"soname": "libcore.so.1"},
        }
    )
    assert not unmet(layers)


def test_a_soname_outside_of_the_environment_does_not_count():
    layers = image(
        {
            EXTENSION: {"needed": ("libcore.so.1",)},
            "usr/lib/private/libcore-1a2b.so": {"soname": "libcore.so.1"},
        }
    )
    assert len(unmet(layers)) == 1


def test_a_version_that_the_library_found_does_not_define_is_a_finding():
    needs = {"libstdc++.so.6": ("GLIBCXX_3.4.29", "GLIBCXX_3.4.31")}
    layers = image(
        {
            EXTENSION: {"needed": ("libstdc++.so.6",), "versions_needed": needs},
            f"{LIBRARIES}/libstdc++.so.6": {"versions_defined": ("GLIBCXX_3.4.29",)},
        }
    )
    assert messages(layers) == [
        (
            f"/{EXTENSION}",
            f"needs GLIBCXX_3.4.31 of libstdc++.so.6, which /{LIBRARIES}/libstdc++.so.6 lacks",
        )
    ]


def test_a_library_without_versions_is_taken_as_ld_so_takes_it():
    needs = {"libz.so.1": ("ZLIB_1.2.9",)}
    layers = image(
        {
            EXTENSION: {"needed": ("libz.so.1",), "versions_needed": needs},
            f"{LIBRARIES}/libz.so.1": {},
        }
    )
    assert not unmet(layers)


def test_the_first_library_on_the_way_decides_which_versions_there_are():
    needs = {"libz.so.1": ("ZLIB_NEW",)}
    own = {"needed": ("libz.so.1",), "versions_needed": needs, "search": ("$ORIGIN",)}
    layers = image(
        {
            EXTENSION: own,
            f"{SITE}/demo/libz.so.1": {"versions_defined": ("ZLIB_NEW",)},
            f"{LIBRARIES}/libz.so.1": {"versions_defined": ("ZLIB_OLD",)},
        }
    )
    assert not unmet(layers)


def test_all_findings_come_at_once_in_the_order_of_paths():
    layers = image({f"usr/bin/{n}": {"needed": ("liba.so", "libb.so")} for n in ("z", "a")})
    assert [where for where, _ in messages(layers)] == ["/usr/bin/a"] * 2 + ["/usr/bin/z"] * 2


# ---- scanning layers


def test_a_wheels_shared_objects_are_read(make):
    native = make.elf(
        needed=["libstdc++.so.6"],
        soname="native.so",
        runpath="$ORIGIN/../demo.libs",
        needs={"libstdc++.so.6": ["GLIBCXX_3.4.11"]},
        defines=["DEMO_1"],
    )
    wheel = make.wheel({"demo/native.so": native, "demo/__init__.py": b"", "demo/no.so": b"\x7fEL"})
    needs = make.wheel_layer({"demo-1.0-py3-none-any.whl": wheel}).needs
    assert needs == ElfNeeds(
        {
            EXTENSION: ElfFile(
                needed=("libstdc++.so.6",),
                search=("$ORIGIN/../demo.libs",),
                versions_needed={"libstdc++.so.6": ("GLIBCXX_3.4.11",)},
                versions_defined=("DEMO_1",),
                soname="native.so",
            )
        },
        {},
    )


def test_a_runpath_wins_over_an_rpath(make):
    both = make.file_layer({"a.so": make.elf(rpath="/old", runpath="/new:/x")}).needs
    assert both.files["a.so"].search == ("/new", "/x")
    assert make.file_layer({"a.so": make.elf(rpath="/old")}).needs.files["a.so"].search == ("/old",)


def test_links_to_libraries_are_kept_as_paths_of_the_image(make):
    deb = make.deb(
        [
            (f"./{LIBRARIES}/liba.so.1.2", make.elf(soname="liba.so.1")),
            (f"./{LIBRARIES}/liba.so.1", "->liba.so.1.2"),
            (f"./{LIBRARIES}/up.so", "->../../x/up.so.1"),
            (f"./{LIBRARIES}/absolute.so", "->/opt/absolute.so"),
            (f"./{LIBRARIES}/liba.so.2", f"=>./{LIBRARIES}/liba.so.1.2"),
            ("./usr/share/note", "->other"),
        ]
    )
    needs = make.deb_layer({"demo_1.0-1_amd64.deb": deb}).needs
    assert needs.links == {
        f"{LIBRARIES}/liba.so.1": f"{LIBRARIES}/liba.so.1.2",
        f"{LIBRARIES}/up.so": "usr/x/up.so.1",
        f"{LIBRARIES}/absolute.so": "opt/absolute.so",
        f"{LIBRARIES}/liba.so.2": f"{LIBRARIES}/liba.so.1.2",
    }
    assert not unmet([needs, *image({EXTENSION: {"needed": ("liba.so.1", "liba.so.2")}})])


def test_needs_come_back_from_their_canonical_text(make):
    needs = make.file_layer({"a.so": make.elf(needed=["b.so"], soname="a.so")}).needs
    assert read_needs(encode(needs)) == needs
    assert b'"soname":"a.so"' in encode(needs)


def test_a_malformed_elf_file_is_refused_by_its_path(make):
    with pytest.raises(InputError) as caught:
        make.file_layer({"opt/broken.so": make.elf(needed=["x"])[:150]})
    assert caught.value.findings[0].code == "elf-unmet"
    assert caught.value.findings[0].where == "opt/broken.so"


def scanned(data, sizes):
    """The result of a scan of ``data`` in pieces of ``sizes``, with the rest in one piece."""
    scan = ElfScan()
    scan.begin(
        LayerNode(
            tar.TarEntry(path="a.so", kind="file", mode=0o644, size=len(data)),
            CompressibleContent(data),
        )
    )
    at = 0
    for size in sizes:
        scan.write(data[at : at + size])
        at += size
    scan.write(data[at:])
    return scan.needs()


@given(st.lists(st.integers(0, 5), max_size=6))
def test_it_does_not_matter_in_which_pieces_a_file_comes(make, sizes):
    data = make.elf(needed=["libz.so.1"], soname="a.so")
    assert scanned(data, sizes).files["a.so"].needed == ("libz.so.1",)
    assert scanned(b"\x7fEL" + bytes(99), sizes).files == {}


def test_an_elf_file_without_content_before_the_next_is_none(make):
    assert scanned(b"", []).files == {}


LIBRARY = st.from_regex(r"lib[a-z]{1,8}\.so(\.[0-9])?", fullmatch=True)


@settings(max_examples=6)
@given(
    needed=st.lists(LIBRARY, max_size=4, unique=True),
    needs=st.dictionaries(LIBRARY, st.lists(LIBRARY, min_size=1, max_size=2), max_size=2),
    defines=st.lists(LIBRARY, max_size=3),
    gap=st.sampled_from([0, 100, 1 << 20, (9 << 20) + 7]),
    stored=st.booleans(),
)
def test_a_file_too_large_to_hold_is_read_as_a_small_one(make, needed, needs, defines, gap, stored):
    """The file is inflated again from its start; the result must be the same as from memory."""
    parts = {"needed": needed, "needs": needs, "defines": defines, "soname": "big.so"}
    small = make.elf(**parts)
    large = make.elf(**parts, gap=gap, after=17 << 20)
    if stored:
        made = make.file_layer({"big.so": large}, stored=True).needs
    else:
        path = "opt/venv/lib/python3.11/site-packages/big.so"
        wheel = make.wheel_layer({"demo-1.0-py3-none-any.whl": make.wheel({"big.so": large})}).needs
        made = msgspec.structs.replace(wheel, files={"big.so": wheel.files[path]})
    assert made == make.file_layer({"big.so": small}).needs


def test_a_large_file_that_is_cut_off_is_refused_as_a_small_one_is():
    scan = ElfScan()
    data = b"\x7fELF\x02\x01\x01" + bytes(11) + b"\x3e\x00" + b"\xff" * (17 << 20)
    scan.begin(
        LayerNode(
            tar.TarEntry(path="a.so", kind="file", mode=0o644, size=len(data)), StoredContent(data)
        )
    )
    scan.write(data)
    with pytest.raises(InputError, match="malformed ELF file"):
        scan.needs()
