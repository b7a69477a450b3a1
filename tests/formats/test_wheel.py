"""Wheels: what they say of themselves is consistent, or they are refused."""

import csv
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.python.wheel import EntryPoint, read_wheel
from mpbuild.formats.python.wheel_record import RecordRow

FILENAME = "demo-1.0-py3-none-any.whl"
INFO = "demo-1.0.dist-info"


def test_a_wheel_says_what_it_is(make):
    wheel = read_wheel(make.wheel(), "demo-1.0-py2.py3-none-any.whl")
    assert (wheel.name, wheel.version, wheel.dist_info) == ("demo", "1.0", INFO)
    assert wheel.tags == ("py2-none-any", "py3-none-any")
    assert wheel.declared_tags == ("py3-none-any",)
    assert wheel.root_is_purelib
    assert [entry.name for entry in wheel.entries][:2] == ["demo/__init__.py", "demo/native.so"]
    assert wheel.record["demo/native.so"].size == "2048"
    assert wheel.record[f"{INFO}/RECORD"] == RecordRow("", "")
    assert wheel.console_scripts == wheel.gui_scripts == ()


def test_names_and_versions_are_normalised(make):
    data = make.wheel(name="Zope.Demo_kit", version="1.0.0")
    wheel = read_wheel(data, "zope_demo_kit-1.0-py3-none-any.whl")
    assert (wheel.name, wheel.version) == ("zope-demo-kit", "1.0")
    assert wheel.dist_info == "Zope.Demo_kit-1.0.0.dist-info"


def test_a_local_version_is_part_of_the_version(make):
    data = make.wheel(version="2.0+cpu")
    assert read_wheel(data, "demo-2.0+cpu-py3-none-any.whl").version == "2.0+cpu"


def test_scripts_come_from_the_entry_points(make):
    scripts = """
[console_scripts]
demo = demo.cli:main
Demo-2.x = demo.cli : Main.run [fancy]

[gui_scripts]
demo-gui=demo.gui:main
[other]
50% = demo:x
"""
    wheel = read_wheel(make.wheel(scripts=scripts), FILENAME)
    assert wheel.console_scripts == (
        EntryPoint("demo", "demo.cli", "main"),
        EntryPoint("Demo-2.x", "demo.cli", "Main.run"),
    )
    assert wheel.gui_scripts == (EntryPoint("demo-gui", "demo.gui", "main"),)


def test_signatures_need_no_row_and_directories_neither(make):
    files = make.wheel_files()
    members = [make.Member("demo/", mode=0o040755, method=0)]
    members += [make.Member(path, data) for path, data in files.items()]
    members += [make.Member(f"{INFO}/RECORD.{suffix}", b"x") for suffix in ("jws", "p7s")]
    assert len(read_wheel(make.zip(members), FILENAME).entries) == len(members)


def _record(m, change):
    """The wheel with its RECORD as ``change`` makes it."""
    files = m.wheel_files()
    path = f"{INFO}/RECORD"
    files[path] = change(files[path].decode()).encode()
    return m.zip([m.Member(name, data) for name, data in files.items()])


def _without(m, name):
    files = m.wheel_files()
    return m.zip([m.Member(path, data) for path, data in files.items() if path != name])


UNSAFE = {
    "two dist-info folders": (
        lambda m: m.wheel({"other-1.0.dist-info/METADATA": b""}),
        "not ['demo-1.0.dist-info', 'other-1.0.dist-info']",
    ),
    "no dist-info folder": (
        lambda m: m.zip([m.Member("demo.py")]),
        "one .dist-info folder, not []",
    ),
    "no METADATA": (
        lambda m: _without(m, f"{INFO}/METADATA"),
        "has no demo-1.0.dist-info/METADATA",
    ),
    "no WHEEL": (lambda m: _without(m, f"{INFO}/WHEEL"), "has no demo-1.0.dist-info/WHEEL"),
    "no RECORD": (lambda m: _without(m, f"{INFO}/RECORD"), "has no demo-1.0.dist-info/RECORD"),
    "a file that RECORD does not list": (
        lambda m: _record(m, lambda text: "\n".join(text.splitlines()[1:])),
        "does not list demo/__init__.py",
    ),
    "a hash without its kind": (
        lambda m: _record(m, lambda text: text.replace("sha256=", "", 1)),
        "demo/__init__.py: RECORD has",
    ),
    "a weak hash": (
        lambda m: _record(m, lambda text: text.replace("sha256=", "md5=", 1)),
        "RECORD has md5=",
    ),
    "a row of another size": (
        lambda m: _record(m, lambda text: text.replace(",2048", ",2049")),
        "demo/native.so: RECORD has",
    ),
    "a row twice": (
        lambda m: _record(m, lambda text: text + text),
        "duplicate path demo/__init__.py in RECORD",
    ),
    "a row of two cells": (lambda m: _record(m, lambda text: text + "a,b\n"), "malformed rows"),
    "an open quote": (lambda m: _record(m, lambda text: text + '"a,b,c\n'), "malformed rows"),
    "a RECORD of other bytes than UTF-8": (
        lambda m: m.zip(
            [
                m.Member(path, b"\xff" if path.endswith("RECORD") else data)
                for path, data in m.wheel_files().items()
            ]
        ),
        "RECORD: is not UTF-8",
    ),
    "two names in METADATA": (
        lambda m: m.wheel(metadata="Name: demo\nName: evil\nVersion: 1.0\n"),
        "the metadata has Name 2 times",
    ),
    "no version in METADATA": (
        lambda m: m.wheel(metadata="Name: demo\n"),
        "the metadata has Version 0 times",
    ),
    "no version in WHEEL": (
        lambda m: m.wheel(wheel="Tag: a\n"),
        "the metadata has Wheel-Version 0 times",
    ),
    "a script that leaves bin": (
        lambda m: m.wheel(scripts="[console_scripts]\n../../etc/x = a:b\n"),
        "malformed entry point: '../../etc/x'",
    ),
    "a script with code for a reference": (
        lambda m: m.wheel(scripts="[console_scripts]\nx = os:system('x')\n"),
        "malformed entry point",
    ),
    "a script of a module alone": (
        lambda m: m.wheel(scripts="[gui_scripts]\nx = demo\n"),
        "malformed entry point",
    ),
    "a script twice": (
        lambda m: m.wheel(scripts="[console_scripts]\nx = a:b\nx = a:c\n"),
        "entry_points.txt: malformed",
    ),
    "entry points outside a group": (lambda m: m.wheel(scripts="x = a:b\n"), "malformed"),
    "metadata that inflates to other bytes": (
        lambda m: m.zip(
            [
                m.Member(path, data, local=lie, central=lie)
                for path, data in m.wheel_files().items()
                for lie in [{"crc": 7} if path.endswith("WHEEL") else {}]
            ]
        ),
        "WHEEL: CRC-32 is",
    ),
    "metadata of gigabytes": (
        lambda m: m.zip(
            [
                m.Member(path, data, local=lie, central=lie)
                for path, data in m.wheel_files().items()
                for lie in [{"size": 1 << 31} if path.endswith("METADATA") else {}]
            ]
        ),
        "2147483648 bytes of metadata",
    ),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_an_inconsistent_wheel_is_refused(case, make):
    build, telling = UNSAFE[case]
    with pytest.raises(InputError) as caught:
        read_wheel(build(make), FILENAME)
    assert caught.value.findings[0].code == "layer-unsafe"
    assert telling in str(caught.value)


@pytest.mark.parametrize(
    ("options", "filename", "telling"),
    [
        ({}, "other-1.0-py3-none-any.whl", f"{INFO}: has demo 1.0, the file name other 1.0"),
        ({}, "demo-1.1-py3-none-any.whl", "the file name demo 1.1"),
        ({"metadata": "Name: evil\nVersion: 1.0\n"}, FILENAME, "METADATA: has evil 1.0"),
        ({"metadata": "Name: demo\nVersion: x\n"}, FILENAME, "METADATA: has demo x"),
        ({}, "demo-1.0.zip", "not the file name of a wheel"),
        ({}, "demo-1.0.whl", "not the file name of a wheel"),
        ({}, "../demo-1.0-py3-none-any.whl", "not the file name of a wheel"),
        ({}, "demo-x-py3-none-any.whl", "not the file name of a wheel"),
    ],
)
def test_a_wheel_that_is_not_what_its_name_says_is_refused(make, options, filename, telling):
    with pytest.raises(InputError) as caught:
        read_wheel(make.wheel(**options), filename)
    assert caught.value.findings[0].code == "content-mismatch"
    assert telling in str(caught.value)


def test_a_later_wheel_format_is_not_supported(make):
    declared = "Wheel-Version: 2.0\nRoot-Is-Purelib: true\n"
    with pytest.raises(InputError, match=r"'2.0' is not 1\.x") as caught:
        read_wheel(make.wheel(wheel=declared), FILENAME)
    assert caught.value.findings[0].code == "not-supported-yet"


def test_a_wheel_that_pip_makes_reads_as_pip_recorded_it(tmp_path):
    """Differential: what another tool packs and records."""
    project = tmp_path / "project"
    (project / "demo").mkdir(parents=True)
    (project / "demo/__init__.py").write_text("answer = 42\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "demo"\nversion = "1.0"\n[project.scripts]\ndemo = "demo:main"\n'
    )
    program = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no hatchling to build a wheel with: {done.stderr[-200:]}")
    filename = done.stdout.strip().splitlines()[-1]
    wheel = read_wheel((tmp_path / filename).read_bytes(), filename)
    assert wheel.console_scripts == (EntryPoint("demo", "demo", "main"),)
    rows = {path: content for path, content, _ in _rows(wheel)}
    assert set(rows) == {entry.name for entry in wheel.entries}


def _rows(wheel):
    record = next(entry for entry in wheel.entries if entry.name.endswith("/RECORD"))
    return csv.reader(b"".join(record.inflated()).decode().splitlines())


@settings(max_examples=150)
@given(st.data())
def test_a_mutated_wheel_reads_or_is_refused(make, reads_or_refuses, data):
    archive = bytearray(make.wheel(scripts="[console_scripts]\na = b:c\n"))
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    with reads_or_refuses("layer-unsafe", "content-mismatch", "not-supported-yet"):
        for entry in read_wheel(bytes(archive), FILENAME).entries:
            b"".join(entry.inflated())


texts = st.text(st.sampled_from("Name: demoVersn1.0\n,=[]\"' \\\0\r\tü%"), max_size=60)


@settings(max_examples=150)
@given(texts, texts, texts)
def test_odd_metadata_reads_or_is_refused(make, reads_or_refuses, metadata, declared, scripts):
    files = make.wheel_files(
        metadata=f"Name: demo\nVersion: 1.0\n{metadata}",
        wheel=f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n{declared}",
        scripts=f"[console_scripts]\n{scripts}",
    )
    members = [make.Member(path, data) for path, data in files.items()]
    with reads_or_refuses("layer-unsafe", "content-mismatch"):
        read_wheel(make.zip(members), FILENAME)


@settings(max_examples=100)
@given(texts)
def test_an_odd_record_reads_or_is_refused(make, reads_or_refuses, rows):
    with reads_or_refuses("layer-unsafe"):
        read_wheel(_record(make, lambda text: text + rows), FILENAME)
