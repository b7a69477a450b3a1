"""Wheels installed into a layer: paths, scripts, RECORD, and the wheel's own bytes."""

import csv
import io
import shutil
import subprocess
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError

SITE = "opt/venv/lib/python3.11/site-packages"
DEMO = "demo-1.0-py3-none-any.whl"
FILES = {"demo/__init__.py": b"answer = 42\n" * 50, "demo/data.bin": bytes(range(256)) * 9}


def one(make, files=FILES, **options):
    return make.wheel_layer({DEMO: make.wheel(files, **options)})


def records(made, info="demo-1.0.dist-info"):
    """The installed RECORD; asserts that each of its rows is correct."""
    rows = list(csv.reader(io.StringIO(made.read(f"{SITE}/{info}/RECORD").decode())))
    return {path: (digest, size) for path, digest, size in rows}


def test_files_are_installed_into_site_packages(make):
    made = one(make)
    for path, data in FILES.items():
        assert made.read(f"{SITE}/{path}") == data
    assert sorted(m.name for m in made.members().values() if m.isdir()) == [
        "opt",
        "opt/venv",
        "opt/venv/lib",
        "opt/venv/lib/python3.11",
        SITE,
        f"{SITE}/demo",
        f"{SITE}/demo-1.0.dist-info",
    ]


def test_every_header_is_owned_by_root_and_dated_1980(make):
    for member in one(make).members().values():
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert member.mtime == 315532800
        assert member.mode == (0o755 if member.isdir() else 0o644)


def test_the_interpreter_decides_the_folder_and_so_the_digest(make):
    data = {DEMO: make.wheel(FILES)}
    other = make.wheel_layer(data, python="3.13")
    assert other.read("opt/venv/lib/python3.13/site-packages/demo/data.bin")
    assert other.layer != make.wheel_layer(data).layer


@given(st.permutations(["a", "b", "c"]))
@settings(max_examples=6)
def test_the_order_of_the_wheels_decides_nothing(make, order):
    def wheels(names):
        return {
            f"{n}-1.0-py3-none-any.whl": make.wheel({f"{n}/__init__.py": n.encode()}, name=n)
            for n in names
        }

    assert make.wheel_layer(wheels(order)).layer == make.wheel_layer(wheels("abc")).layer


def test_the_order_of_the_entries_of_a_wheel_decides_only_its_record(make):
    """Tar entries are sorted; RECORD stays as the wheel has it."""
    turned = dict(reversed(FILES.items()))
    names = [list(one(make, files).members()) for files in (FILES, turned)]
    assert names[0] == names[1] == sorted(names[0])


def test_the_blob_contains_the_compressed_bytes_of_the_wheel(make):
    data = make.wheel(FILES)
    blob = make.wheel_layer({DEMO: data}).blob
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            start = info.header_offset + 30 + len(info.filename)
            raw = data[start : start + info.compress_size]
            trailer = info.CRC.to_bytes(4, "little") + info.file_size.to_bytes(4, "little")
            assert b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + raw + trailer in blob


def test_a_stored_entry_becomes_a_stored_member(make):
    data = FILES["demo/data.bin"]
    blob = one(make, stored=["demo/data.bin"]).blob
    size = len(data).to_bytes(2, "little")
    block = b"\x01" + size + bytes(b ^ 0xFF for b in size) + data
    assert b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block in blob
    assert block not in one(make).blob


def test_stored_or_deflated_is_one_tree_in_two_blobs(make):
    deflated, stored = one(make), one(make, stored=list(FILES))
    assert deflated.layer.diff_id == stored.layer.diff_id
    assert deflated.layer.digest != stored.layer.digest


def test_a_mode_has_only_the_executable_bit(make):
    made = one(make, FILES | {"demo/tool": b"\x7f"}, executable=["demo/tool"])
    modes = {m.name.removeprefix(f"{SITE}/demo/"): m.mode for m in made.members().values()}
    assert (modes["tool"], modes["data.bin"]) == (0o755, 0o644)


@pytest.mark.skipif(not shutil.which("tar"), reason="there is no tar")
def test_gnu_tar_lists_the_layer_as_python_does(make, tmp_path):
    long = {f"demo/{'long-' * 30}name.py": b"1", "demo/ümlaut.py": b"2", "demo/empty.py": b""}
    made = one(make, FILES | long, entry_points="[console_scripts]\nrun = demo:main\n")
    (tmp_path / "layer.tar.gz").write_bytes(made.blob)
    command = ["tar", "--quoting-style=literal", "-tzf", "layer.tar.gz"]
    listed = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    names = [m.name + ("/" if m.isdir() else "") for m in made.members().values()]
    assert listed.stdout.decode().splitlines() == names
    assert listed.stderr == b""


def test_data_schemes_go_to_their_places(make):
    data = "demo-1.0.data"
    made = one(
        make,
        FILES
        | {
            f"{data}/purelib/demo/pure.py": b"pure",
            f"{data}/platlib/demo/plat.so": b"plat",
            f"{data}/scripts/tool": b"#!/bin/sh\necho tool\n",
            f"{data}/data/share/demo/file.txt": b"shared",
            f"{data}/headers/demo.h": b"#define DEMO",
        },
    )
    assert made.read(f"{SITE}/demo/pure.py") == b"pure"
    assert made.read(f"{SITE}/demo/plat.so") == b"plat"
    assert made.read("opt/venv/bin/tool") == b"#!/bin/sh\necho tool\n"
    assert made.read("opt/venv/share/demo/file.txt") == b"shared"
    assert made.read("opt/venv/include/site/python3.11/demo/demo.h") == b"#define DEMO"
    assert made.members()["opt/venv/bin/tool"].mode == 0o755
    assert not [name for name in made.members() if ".data" in name]


@pytest.mark.parametrize(
    "first_line", [b"#!python\n", b"#!pythonw\n", b"#!python -O\n", b"#!python\r\n"]
)
@pytest.mark.parametrize("rest", ["print('ü')\n".encode(), b"\xe4\r\n\0", b"", bytes(1 << 20)])
def test_a_script_for_python_gets_the_interpreter_of_the_image(make, first_line, rest):
    path = "demo-1.0.data/scripts/tool"
    for stored in ((), (path,)):
        made = one(make, {path: first_line + rest}, stored=stored)
        assert made.read("opt/venv/bin/tool") == b"#!/opt/venv/bin/python\n" + rest


@pytest.mark.parametrize("first_line", [b"#!/usr/bin/env python\n", b"# python\n", b""])
def test_any_other_script_stays_as_it_is(make, first_line):
    made = one(make, {"demo-1.0.data/scripts/tool": first_line + b"\x00\xff"})
    assert made.read("opt/venv/bin/tool") == first_line + b"\x00\xff"


@pytest.mark.parametrize("path", ["unknown/x", "x", "bin/tool"])
def test_an_unknown_scheme_is_refused(make, path):
    with pytest.raises(InputError, match="unknown installation scheme of") as caught:
        one(make, {f"demo-1.0.data/{path}": b""})
    assert caught.value.findings[0].code == "layer-unsafe"
    assert caught.value.findings[0].where == DEMO


def test_entry_points_become_scripts(make):
    points = "[console_scripts]\nrun = demo.cli:main\nsub = demo:App.run [extra]\n"
    made = one(make, entry_points=points + "[gui_scripts]\nshow=demo:show\n[other]\nx = y:z\n")
    scripts = [name for name in made.members() if name.startswith("opt/venv/bin/")]
    assert scripts == ["opt/venv/bin/run", "opt/venv/bin/show", "opt/venv/bin/sub"]
    assert made.read("opt/venv/bin/run").decode() == (
        "#!/opt/venv/bin/python\nimport sys\nfrom demo.cli import main\n"
        'if __name__ == "__main__":\n    sys.exit(main())\n'
    )
    assert b"from demo import App\n" in made.read("opt/venv/bin/sub")
    assert b"sys.exit(App.run())\n" in made.read("opt/venv/bin/sub")
    assert made.members()["opt/venv/bin/run"].mode == 0o755


def test_record_stays_as_it_is_where_nothing_moves(make):
    data = make.wheel(FILES)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        record = archive.read("demo-1.0.dist-info/RECORD")
    made = make.wheel_layer({DEMO: data})
    assert made.read(f"{SITE}/demo-1.0.dist-info/RECORD") == record


def test_record_tells_where_things_went_and_what_was_made(make):
    files = FILES | {
        "demo-1.0.data/scripts/tool": b"#!python\nprint(1)\n",
        "demo-1.0.data/purelib/demo/pure.py": b"pure",
    }
    made = one(make, files, entry_points="[console_scripts]\nrun = demo:main\n")
    found = records(made)
    assert list(found)[-2:] == ["demo-1.0.dist-info/RECORD", "../../../bin/run"]
    assert "../../../bin/tool" in found
    assert "demo/pure.py" in found
    assert not [path for path in found if ".data/" in path]
    assert found["demo-1.0.dist-info/RECORD"] == ("", "")
    installed = {
        name: m for name, m in made.members().items() if m.isfile() and not name.endswith("RECORD")
    }
    told = {path: row for path, row in found.items() if not path.endswith("RECORD")}
    assert len(told) == len(installed)
    for path, row in told.items():
        data = made.read(f"{SITE}/{path}".replace(f"{SITE}/../../../", "opt/venv/"))
        assert row == (make.record_hash(data), str(len(data)))


@pytest.mark.parametrize("name", ['with,comma"quote.py', "with space.py", "ümlaut.py"])
def test_names_in_record_are_quoted_as_csv_wants_it(make, name):
    files = {f"demo/{name}": b"x", "demo-1.0.data/purelib/moved, too.py": b"y"}
    assert {f"demo/{name}", "moved, too.py"} <= records(one(make, files)).keys()


def test_signatures_of_record_are_left_out(make):
    names = one(make, FILES | {"demo-1.0.dist-info/RECORD.jws": b"{}"}).members()
    assert f"{SITE}/demo-1.0.dist-info/RECORD.jws" not in names


def two(make, first, second):
    return make.wheel_layer(
        {
            "a-1.0-py3-none-any.whl": make.wheel(first, name="a"),
            "b-1.0-py3-none-any.whl": make.wheel(second, name="b"),
        }
    )


def test_two_wheels_may_bring_the_same_file(make):
    made = two(
        make, {"ns/__init__.py": b"", "ns/a.py": b"a"}, {"ns/__init__.py": b"", "ns/b.py": b"b"}
    )
    assert made.read(f"{SITE}/ns/__init__.py") == b""
    assert list(made.members()).count(f"{SITE}/ns/__init__.py") == 1


def test_two_wheels_with_different_bytes_at_one_path_are_refused(make):
    with pytest.raises(InputError, match=r"two different files at .*/ns/x\.py") as caught:
        two(make, {"ns/x.py": b"a"}, {"ns/x.py": b"b"})
    assert caught.value.findings[0].code == "layer-unsafe"
    assert caught.value.findings[0].where == "b-1.0-py3-none-any.whl"


def test_two_wheels_with_different_modes_at_one_path_are_refused(make):
    wheels = {
        f"{n}-1.0-py3-none-any.whl": make.wheel({"x": b""}, name=n, executable=executable)
        for n, executable in (("a", ["x"]), ("b", []))
    }
    with pytest.raises(InputError, match="two different files"):
        make.wheel_layer(wheels)


@pytest.mark.parametrize("other", ["NS/x.py", "ns/X.py"])
def test_two_wheels_whose_paths_differ_in_case_only_are_refused(make, other):
    with pytest.raises(InputError, match="differ only in case or Unicode form"):
        two(make, {"ns/x.py": b""}, {other: b""})


@pytest.mark.parametrize("name", ["run", "run.exe", "run.EXE", "run-script.py", "run.pya"])
def test_a_script_that_setuptools_made_for_an_entry_point_is_left_out(make, name):
    files = {f"demo-1.0.data/scripts/{name}": b"old", "demo-1.0.data/scripts/other.pya": b"own"}
    made = one(make, files, entry_points="[console_scripts]\nrun = demo:main\n")
    scripts = [path for path in made.members() if path.startswith("opt/venv/bin/")]
    assert scripts == ["opt/venv/bin/other.pya", "opt/venv/bin/run"]
    assert b"from demo import main" in made.read("opt/venv/bin/run")
    found = [path for path in records(made) if "bin/" in path or ".data/" in path]
    assert found == ["../../../bin/other.pya", "../../../bin/run"]


def test_data_in_the_folder_of_scripts_is_no_script(make):
    """Only the scheme ``scripts`` gets a first line and a mode."""
    files = {"demo-1.0.data/data/bin/tool": b"#!python\n"}
    made = one(make, files)
    assert made.read("opt/venv/bin/tool") == b"#!python\n"
    assert made.members()["opt/venv/bin/tool"].mode == 0o644
    assert one(make, files, executable=list(files)).members()["opt/venv/bin/tool"].mode == 0o755


@pytest.mark.parametrize("name", ["python", "python3", "python3.11"])
def test_a_wheel_that_would_replace_the_interpreter_is_refused(make, name):
    wheels = [
        lambda: one(make, {f"demo-1.0.data/scripts/{name}": b"#!/bin/sh\n"}),
        lambda: one(make, {f"demo-1.0.data/data/bin/{name}": b"#!/bin/sh\n"}),
        lambda: one(make, entry_points=f"[console_scripts]\n{name} = demo:main\n"),
        lambda: one(make, {"demo-1.0.data/data/pyvenv.cfg": b"home = /tmp\n"}),
    ]
    for build in wheels:
        with pytest.raises(InputError, match="it would replace /opt/venv/") as caught:
            build()
        assert caught.value.findings[0].code == "layer-unsafe"
        assert caught.value.findings[0].where == DEMO


def test_a_layer_depends_on_its_wheel_alone(make):
    """It depends on neither the other layers of the image nor earlier calls."""
    alone = one(make).layer
    one(make, {"other.py": b""})
    assert one(make).layer == alone
