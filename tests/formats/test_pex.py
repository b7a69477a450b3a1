"""What pex writes into a PEX folder: its one form, and nothing else taken for it."""

import hashlib
import io
import json
import zipfile

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.python import pex
from mpbuild.formats.python.pex import BuildProperties, PexInfo

INFO = PexInfo(
    bootstrap_hash="b" * 40,
    build_properties=BuildProperties("2.105.2"),
    code_hash="c" * 40,
    distributions={"demo-1.0-py3-none-any.whl": "d" * 64},
    entry_point="mpbuild_runtime.run:main",
    inject_env={"MPBUILD_ACCELERATOR": "cpu"},
    interpreter_constraints=("CPython==3.11.*",),
    requirements=("demo==1.0",),
)
# As pex 2.105.2 wrote it.
TEXT = (
    '{"bind_resource_paths":{},"bootstrap_hash":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",'
    '"build_properties":{"pex_version":"2.105.2"},'
    '"code_hash":"cccccccccccccccccccccccccccccccccccccccc","deps_are_wheel_files":true,'
    '"distributions":{"demo-1.0-py3-none-any.whl":'
    '"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"},'
    '"emit_warnings":true,"entry_point":"mpbuild_runtime.run:main","excluded":[],'
    '"ignore_errors":false,"includes_tools":false,"inherit_path":"false","inject_args":[],'
    '"inject_env":{"MPBUILD_ACCELERATOR":"cpu"},"inject_python_args":[],'
    '"interpreter_constraints":["CPython==3.11.*"],"interpreter_selection_strategy":"oldest",'
    '"max_install_jobs":1,"overridden":[],"pex_hash":"%s","pex_path":"","pex_paths":[],'
    '"requirements":["demo==1.0"],"strip_pex_env":true,"venv":false,"venv_bin_path":"false",'
    '"venv_copies":false,"venv_hermetic_scripts":true,"venv_site_packages_copies":false,'
    '"venv_system_site_packages":false}'
)
MAIN = b"#!/usr/bin/env python3.11\n\nimport os\n\nboot(\n    pex_hash='%s',\n)\n"


def sha1(*chunks):
    return hashlib.sha1(b"".join(chunks)).hexdigest()


def bootstrap(files, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path), data, compression)
    return out.getvalue()


VERSION = {"pex/version.py": b'# Copyright\n\n__version__ = "2.105.2"\n'}


# ---- PEX-INFO


def test_the_document_is_on_one_line_in_the_order_of_its_keys():
    text = TEXT % INFO.pex_hash
    assert pex.write_info(INFO) == text.encode()


def test_the_hash_is_that_of_the_document_without_it():
    assert INFO.pex_hash == sha1((TEXT.replace('"pex_hash":"%s",', "")).encode())


@pytest.mark.parametrize("field", INFO.__struct_fields__)
def test_everything_that_it_says_is_in_the_hash(field):
    changed = msgspec.convert(msgspec.to_builtins(INFO) | {field: other(field)}, PexInfo)
    assert changed.pex_hash != INFO.pex_hash


def other(field):
    value = msgspec.to_builtins(getattr(INFO, field))
    if isinstance(value, str):
        return "0" * 40
    return {"pex_version": "3"} if isinstance(value, dict) else ["other"]


names = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())


@settings(max_examples=50)
@given(st.dictionaries(names, names, max_size=4), st.lists(names, max_size=4))
def test_what_is_written_is_read_again(distributions, requirements):
    info = msgspec.structs.replace(
        INFO, distributions=distributions, requirements=tuple(requirements)
    )
    data = pex.write_info(info)
    assert pex.read_info(data) == info
    assert data.isascii()
    assert b"\n" not in data


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pex_hash": "0" * 40}, "different pex_hash"),
        ({"venv": True}, "different venv"),
        ({"inherit_path": "prefer"}, "different inherit_path"),
        ({"inject_python_args": ["-c"]}, "different inject_python_args"),
        ({"strip_pex_env": 1}, "different strip_pex_env"),
        ({"pex_root": "/tmp/evil"}, "different pex_root"),
        ({"max_install_jobs": 1.0}, "different max_install_jobs"),
        ({"build_properties": {"pex_version": "2.105.2", "x": 1}}, "different build_properties"),
        ({"entry_point": "os:abort"}, "different pex_hash"),
        ({"distributions": []}, "Expected `object`, got `array` - at `$.distributions`"),
        ({"requirements": [1]}, "Expected `str`, got `int` - at `$.requirements[0]`"),
        ({"code_hash": None}, "Expected `str`, got `null` - at `$.code_hash`"),
    ],
)
def test_a_document_that_asks_for_anything_else_is_refused(change, told):
    document = json.loads(pex.write_info(INFO)) | change
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(InputError) as caught:
        pex.read_info(data)
    (finding,) = caught.value.findings
    assert (finding.code, finding.where) == ("content-mismatch", "PEX-INFO")
    assert told in finding.message


@pytest.mark.parametrize("missing", ["venv", "pex_hash", "code_hash"])
def test_a_document_that_lacks_something_is_refused(missing):
    document = json.loads(pex.write_info(INFO))
    del document[missing]
    with pytest.raises(InputError, match=missing) as caught:
        pex.read_info(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
    assert caught.value.findings[0].code == "content-mismatch"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'"PEX"',
        b"[" * 100_000,
        pex.write_info(INFO) + b"\n",
        pex.write_info(INFO).replace(b",", b", "),
        pex.write_info(INFO).replace(b'{"bind', b'{"venv":false,"bind'),
        pex.write_info(INFO).replace(b"demo==1.0", b"d\\u0065mo==1.0"),
        pex.write_info(INFO).replace(b"demo==1.0", b"\\ud800"),
        pex.write_info(INFO).replace(b":1,", b":" + b"1" * 5000 + b","),
    ],
)
def test_a_document_in_another_form_is_refused(data):
    with pytest.raises(InputError) as caught:
        pex.read_info(data)
    assert {finding.code for finding in caught.value.findings} == {"content-mismatch"}


# ---- the code


def test_the_code_is_hashed_names_first_in_the_order_of_the_whole_paths():
    files = {"b/a.py": b"2", "b.py": b"1", "ü.py": b"4", "b0/x": memoryview(b"3")}
    assert pex.code_hash(files) == sha1("b.pyb/a.pyb0/xü.py".encode(), b"1234")
    assert pex.code_hash(dict(reversed(files.items()))) == pex.code_hash(files)
    assert pex.code_hash({}) == sha1(b"")


@pytest.mark.parametrize(
    "path", ["a.py", "spec.json", ".folder/a.py", "pyc", "a.pyc.py", "a.pyc.x1", "a/b.pyd"]
)
def test_pex_counts_ordinary_files(path):
    assert pex.is_hashed(path)


@pytest.mark.parametrize(
    "path",
    [".hidden", "a/.hidden", "a.pyc", "a/b.pyo", "a.pyc.140", "__pycache__/a", "a/__pycache__/b/c"],
)
def test_pex_counts_no_hidden_or_compiled_files(path):
    assert not pex.is_hashed(path)


# ---- .bootstrap


def test_a_bootstrap_is_hashed_a_folder_s_files_before_its_folders():
    files = VERSION | {
        "pex/z.py": b"z",
        "pex/a/z.py": b"az",
        "pex/a/b/c.py": b"abc",
        "pex/b.py": b"b",
    }
    found = pex.read_bootstrap(bootstrap(files))
    order = (b"b", VERSION["pex/version.py"], b"z", b"az", b"abc")
    assert found == (sha1(*order), "2.105.2")


def test_what_pex_vendors_is_not_in_the_hash_of_a_bootstrap():
    vendored = {
        "pex/": b"",
        "pex/__init__.py": b"x",
        "pex/vendor/__init__.py": b"y",
        "pex/vendor/a/b.py": b"z",
    }
    assert pex.read_bootstrap(bootstrap(vendored | VERSION)) == pex.read_bootstrap(
        bootstrap(VERSION)
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not a zip archive"),
        (bootstrap(VERSION)[:-1], "not a zip archive"),
        (bootstrap(VERSION).replace(b"__version__", b"__version_!"), "CRC-32"),
        (bootstrap(VERSION, zipfile.ZIP_DEFLATED), "pex/version.py is compressed"),
        (bootstrap({"pex/a.py": b""}), "it lacks the version of pex"),
        (bootstrap({"pex/version.py": b""}), "it lacks the version of pex"),
        (bootstrap(VERSION | {"pex/../../x": b""}), "pex/../../x"),
    ],
)
def test_an_archive_that_is_no_bootstrap_is_refused(data, told):
    with pytest.raises(InputError, match=r".") as caught:
        pex.read_bootstrap(data)
    (finding,) = caught.value.findings
    assert finding.code == "layer-unsafe"
    assert told in str(finding)


# ---- the programs


def test_the_program_gets_the_hash_of_its_pex():
    blank = MAIN % (b"0" * 40)
    made = pex.with_hash(blank, INFO.pex_hash)
    assert made == MAIN % INFO.pex_hash.encode()
    assert pex.without_hash(made) == blank


def test_the_import_hook_is_the_program_without_its_head():
    assert pex.import_hook(MAIN) == MAIN.removeprefix(b"#!/usr/bin/env python3.11\n\n")


@pytest.mark.parametrize(
    "main", [b"", MAIN % (b"0" * 39), MAIN % (b"z" * 40), (MAIN % (b"0" * 40)) * 2]
)
def test_what_has_no_one_place_for_the_hash_is_no_program(main):
    with pytest.raises(InputError, match="not a program that pex writes") as caught:
        pex.with_hash(main, "1" * 40)
    assert caught.value.findings[0].code == "content-mismatch"


@pytest.mark.parametrize(
    "main", [b"", b"#!", b"#!python\n", MAIN[1:], MAIN.replace(b"\n\n", b"\nx\n", 1)]
)
def test_what_has_another_head_is_no_program(main):
    with pytest.raises(InputError, match="not a program that pex writes"):
        pex.import_hook(main)
