"""Debian packages in a layer: merged /usr, no scripts, no privileges, and a complete base."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from tests.making.debs import control

DEMO = "demo_1.0-1_amd64.deb"
PYTHON = ("./usr/bin/python3.11", b"\x7fPYTHON", 0o755)


def one(make, *members, base=False, **options):
    return make.deb_layer({DEMO: make.deb(members, **options)}, base=base)


def refusal(make, *members, **options):
    with pytest.raises(InputError) as caught:
        one(make, *members, **options)
    (finding,) = caught.value.findings
    return finding


def test_what_lay_outside_of_usr_lies_in_it(make):
    made = one(
        make,
        ("./bin", None),
        ("./bin/tool", b"tool", 0o755),
        ("./lib", None),
        ("./lib/x86_64-linux-gnu", None),
        ("./lib/x86_64-linux-gnu/libx.so.1", "->libx.so.1.2"),
        ("./lib64", None),
        ("./lib64/ld.so", "->/lib/x86_64-linux-gnu/ld.so"),
        ("./sbin", None),
        ("./sbin/admin", b"", 0o755),
        ("./library", b"is no lib"),
    )
    paths = set(made.members())
    assert {
        "usr/bin/tool",
        "usr/lib/x86_64-linux-gnu/libx.so.1",
        "usr/lib64/ld.so",
        "usr/sbin/admin",
        "library",
    } <= paths
    assert not {path.partition("/")[0] for path in paths} & {"bin", "sbin", "lib", "lib64"}


def test_one_path_in_and_outside_of_usr_is_refused(make):
    """Otherwise the order in the archive would decide which of the two wins."""
    finding = refusal(make, ("./bin/tool", b"a"), ("./usr/bin/tool", b"b"))
    assert finding.code == "layer-unsafe"
    assert "two entries at usr/bin/tool" in finding.message
    assert finding.where == DEMO


def test_a_folder_in_and_outside_of_usr_is_one(make):
    made = one(make, ("./lib/x", None), ("./usr/lib/x", None), ("./usr/lib/x/y", b""))
    assert "usr/lib/x/y" in made.members()


def test_links_that_merge_usr_are_made_by_the_base_alone(make):
    """base-files of Debian 13 has them as members."""
    links = [(f"./{n}", f"->usr/{n}") for n in ("bin", "lib", "lib64", "sbin")]
    assert one(make, *links).members().keys() == {
        "var",
        "var/lib",
        "var/lib/dpkg",
        "var/lib/dpkg/status.d",
        "var/lib/dpkg/status.d/demo",
    }
    assert one(make, *links, PYTHON, base=True).layer == one(make, PYTHON, base=True).layer


def test_another_link_in_place_of_a_folder_that_is_merged_is_refused(make):
    assert refusal(make, ("./bin", "->opt/bin"), ("./usr/bin/x", b"")).code == "layer-unsafe"


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6711, 0o1755, 0o777, 0o700])
def test_no_privilege_survives(make, mode):
    made = one(make, ("./usr/bin/su", b"su", mode))
    assert made.members()["usr/bin/su"].mode == 0o755


def test_a_folders_mode_is_the_common_one(make):
    made = one(make, ("./usr/share/x", None, 0o2775))
    assert made.members()["usr/share/x"].mode == 0o755


@settings(max_examples=24)
@given(order=st.permutations(["./usr/bin/b", "./usr/bin/a", "./bin/c", "./usr/bin/ä"]))
def test_hard_links_follow_the_order_of_the_layer_not_of_the_archive(make, order):
    first, *others = order
    made = one(make, (first, b"content", 0o755), *((path, f"=>{first}") for path in others))
    found = made.members()
    assert (found["usr/bin/a"].isreg(), found["usr/bin/a"].mode) == (True, 0o755)
    for path in ("usr/bin/b", "usr/bin/c", "usr/bin/ä"):
        assert (found[path].islnk(), found[path].linkname) == (True, "usr/bin/a")
    plain = one(
        make,
        ("./usr/bin/a", b"content", 0o755),
        *((path, "=>./usr/bin/a") for path in ("./usr/bin/b", "./bin/c", "./usr/bin/ä")),
    )
    assert made.layer == plain.layer


@pytest.mark.parametrize("target", ["./usr/none", "./usr/folder", "./usr/link"])
def test_a_hard_link_to_what_is_no_file_is_refused(make, target):
    finding = refusal(
        make, ("./usr/folder", None), ("./usr/link", "->folder"), ("./usr/x", f"=>{target}")
    )
    assert finding.code == "layer-unsafe"


def test_the_order_of_the_packages_decides_nothing(make):
    debs = {
        f"{n * 2}_1.0-1_amd64.deb": make.deb([(f"./usr/{n}", n.encode())], name=n * 2)
        for n in "abc"
    }
    turned = dict(reversed(debs.items()))
    assert make.deb_layer(debs).layer == make.deb_layer(turned).layer


def test_each_package_is_written_down(make):
    made = one(make, ("./usr/x", b""))
    assert made.read("var/lib/dpkg/status.d/demo").decode() == control("demo", "1.0-1")


def test_two_packages_with_different_bytes_at_one_path_are_refused(make):
    debs = {
        f"{n * 2}_1.0-1_amd64.deb": make.deb([("./usr/x", n.encode())], name=n * 2) for n in "ab"
    }
    with pytest.raises(InputError, match="two different files at usr/x"):
        make.deb_layer(debs)


@pytest.mark.parametrize("name", ["evil_1.0-1_amd64.deb", "demo_2_amd64.deb", "demo_1.0-1_all.deb"])
def test_a_package_under_the_name_of_another_is_refused(make, name):
    """The control file must have the name and version of the lock."""
    with pytest.raises(InputError, match=r"its control file is that of demo_1\.0-1_amd64\.deb"):
        make.deb_layer({name: make.deb([("./usr/x", b"")])})


@pytest.mark.parametrize(
    "text", ["dpkg-divert --package dash --add /bin/sh\n", "/usr/bin/dpkg-divert --remove x"]
)
@pytest.mark.parametrize("script", ["preinst", "postinst"])
def test_a_package_that_needs_diversions_is_refused(make, script, text):
    finding = refusal(make, ("./usr/x", b""), scripts={script: f"#!/bin/sh\nset -e\n{text}\n"})
    assert finding.code == "not-supported-yet"
    assert finding.message == f"its {script} script runs dpkg-divert, but scripts are not run"


@pytest.mark.parametrize(
    "text",
    [
        "update-alternatives --remove awk /usr/bin/mawk",
        "update-alternatives --auto x\napt --install",
        "update-alternatives --auto x; other --install",
        "ldconfig",
        "my-update-alternatives-installer",
        "dpkg-divert --no-rename --divert /lib.usr-is-merged --add /lib",
    ],
)
def test_other_scripts_are_left_alone_and_not_run(make, text):
    with_script = one(make, ("./usr/x", b""), scripts={"postinst": f"#!/bin/sh\n{text}\n"})
    assert with_script.layer == one(make, ("./usr/x", b"")).layer


def test_a_base_has_links_for_merged_usr(make):
    found = one(make, PYTHON, base=True).members()
    assert {n: found[n].linkname for n in ("bin", "sbin", "lib", "lib64")} == {
        "bin": "usr/bin",
        "sbin": "usr/sbin",
        "lib": "usr/lib",
        "lib64": "usr/lib64",
    }
    assert all(found[f"usr/{n}"].isdir() for n in ("bin", "sbin", "lib", "lib64"))


def test_a_base_has_the_folders_and_modes_that_programs_expect(make):
    found = one(make, PYTHON, ("./tmp", None), ("./root", None, 0o755), base=True).members()
    modes = {
        name: found[name].mode for name in ("tmp", "var/tmp", "root", "etc", "proc", "sys", "dev")
    }
    assert modes == {
        "tmp": 0o1777,
        "var/tmp": 0o1777,
        "root": 0o700,
        "etc": 0o755,
        "proc": 0o755,
        "sys": 0o755,
        "dev": 0o755,
    }


def test_a_base_has_users_and_one_without_rights(make):
    made = one(make, PYTHON, base=True)
    users = [line.split(":") for line in made.read("etc/passwd").decode().splitlines()]
    assert [(name, uid, shell) for name, _, uid, _, _, _, shell in users] == [
        ("root", "0", "/usr/sbin/nologin"),
        ("nobody", "65534", "/usr/sbin/nologin"),
        ("nonroot", "65532", "/usr/sbin/nologin"),
    ]
    assert b"nonroot:x:65532:" in made.read("etc/group")
    assert b"hosts: files dns\n" in made.read("etc/nsswitch.conf")


def test_a_base_has_a_bundle_of_all_authorities(make):
    folder = "./usr/share/ca-certificates/mozilla"
    made = one(
        make,
        PYTHON,
        (f"{folder}/b.crt", b"second\n\n"),
        (f"{folder}/a.crt", b"first"),
        (f"{folder}/README", b"not one"),
        base=True,
    )
    assert made.read("etc/ssl/certs/ca-certificates.crt") == b"first\nsecond\n"
    assert "etc/ssl/certs/ca-certificates.crt" not in one(make, PYTHON, base=True).members()


def test_a_base_has_a_virtual_environment_of_its_interpreter(make):
    made = one(make, PYTHON, base=True)
    assert made.read("opt/venv/pyvenv.cfg").decode() == (
        "home = /usr/bin\ninclude-system-site-packages = false\n"
        "version = 3.11\nexecutable = /usr/bin/python3.11\n"
    )
    found = made.members()
    assert found["opt/venv/bin/python3.11"].linkname == "/usr/bin/python3.11"
    assert found["opt/venv/bin/python3"].linkname == "python3.11"
    assert found["opt/venv/bin/python"].linkname == "python3.11"


def test_a_base_without_its_interpreter_is_refused(make):
    finding = refusal(make, ("./usr/bin/python3.13", b"", 0o755), base=True)
    assert finding.message == "no package of the base has usr/bin/python3.11"
    assert finding.hint == "add python3.11-minimal to the base's packages"
    assert finding.code == "spec-invalid"


def test_only_the_base_has_what_an_image_needs_once(make):
    paths = one(make, PYTHON).members()
    assert not {"etc/passwd", "opt/venv/pyvenv.cfg", "bin", "tmp"} & paths.keys()


def test_a_package_that_is_none_is_refused_by_its_name(make):
    with pytest.raises(InputError) as caught:
        make.deb_layer({DEMO: b"!<arch>\n"})
    assert caught.value.findings[0].code == "layer-unsafe"
    assert caught.value.findings[0].where == DEMO
