"""Bytecode as a layer: its plain tar is the input itself, and anything else is refused."""

import importlib.util
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive.layers.layer_plan import BYTECODE
from mpbuild.formats.archive import tar
from mpbuild.formats.archive.tar import TarEntry

SITE = "opt/venv/lib/python3.11/site-packages"
LIBRARY = "usr/lib/python3.11"
FILE = f"{SITE}/demo/__pycache__/a.cpython-311.pyc"
PYC = bytes.fromhex("a70d0d0a 01000000") + b"8 bytes." + b"code"

NAMES = st.sampled_from(["a", "b-c", "b", "d.e", "ümlaut", "long" * 12, "longer" * 30])
MODULES = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def derived(make, data, python="3.11"):
    return make.layer(BYTECODE, {"bytecode.tar": data}, python=python)


def written(*members):
    """A tar of entries and contents, unchecked."""
    rows = (tar.header(entry) + data + tar.padding(len(data)) for entry, data in members)
    return b"".join(rows) + tar.END


def members(path, data):
    """The entries of a file and its folders."""
    ends = [i for i, c in enumerate(path) if c == "/"]
    folders = [(TarEntry(path[:end], "directory", 0o755), b"") for end in ends]
    return [*folders, (TarEntry(path, "file", 0o644, len(data)), data)]


def refused(make, data, python="3.11"):
    with pytest.raises(InputError) as caught:
        derived(make, data, python)
    (finding,) = caught.value.findings
    assert finding.code == "layer-unsafe"
    return finding.message


def placed(module):
    folder, _, name = f"{SITE}/{module}".rpartition("/")
    return f"{folder}/__pycache__/{name}.cpython-311.pyc"


@settings(max_examples=60)
@given(st.dictionaries(MODULES, st.binary(max_size=1200), max_size=6))
def test_the_layers_plain_tar_is_the_input_itself(make, modules):
    data = make.bytecode_tar({placed(m): PYC + code for m, code in modules.items()})
    made = derived(make, data)
    assert made.tar == data
    assert made.layer.diff_id == Digest.of(data)


def test_files_come_out_as_they_went_in(make):
    made = derived(make, make.bytecode_tar({FILE: PYC, f"{LIBRARY}{FILE.removeprefix(SITE)}": PYC}))
    assert made.read(FILE) == PYC
    assert {m.mode for m in made.members().values() if m.isfile()} == {0o644}


def test_what_the_own_interpreter_of_a_base_writes_is_taken(make):
    """The test runs under one of the two Pythons of bases, or is skipped."""
    python = "{}.{}".format(*sys.version_info)
    if python not in ("3.11", "3.13"):
        pytest.skip(f"no base has Python {python}")
    path = FILE.replace("3.11", python).replace("311", python.replace(".", ""))
    pyc = importlib.util.MAGIC_NUMBER + PYC[4:]
    assert derived(make, make.bytecode_tar({path: pyc}), python).read(path) == pyc


@pytest.mark.parametrize(
    "path",
    [
        f"opt/model/src/demo{FILE.removeprefix(f'{SITE}/demo')}",
        f"{SITE}-other{FILE.removeprefix(SITE)}",
        FILE.replace("/__pycache__", ""),
        FILE.replace("__pycache__", "pycache"),
        FILE.replace("311", "313"),
        FILE.replace(".cpython-311", ".cpython-311.opt-2"),
        FILE.replace("a.cpython-311.pyc", "a.py"),
        FILE.replace("/a.cpython", "/.cpython"),
        f"{FILE}/deeper",
        "__pycache__/a.cpython-311.pyc",
    ],
)
def test_a_file_where_no_bytecode_belongs_is_refused(make, path):
    assert refused(make, make.bytecode_tar({path: PYC})) == f"{path} is not a path of bytecode"


@pytest.mark.parametrize("entry", [("symlink", 0o777), ("hardlink", 0o644)])
def test_a_link_is_refused(make, entry):
    kind, mode = entry
    link = TarEntry(FILE, kind, mode, target=FILE.replace("/a.", "/b."))
    assert "not a path of bytecode" in refused(make, written(*members(FILE, PYC)[:-1], (link, b"")))


@pytest.mark.parametrize(
    "pyc",
    [
        b"",
        PYC[:16],
        bytes.fromhex("f30d0d0a") + PYC[4:],
        PYC[:4] + bytes(4) + PYC[8:],
        PYC[:4] + b"\3" + PYC[5:],
        PYC[:4] + b"\1\0\0\1" + PYC[8:],
    ],
    ids=["empty", "a header", "another Python", "by time", "checked", "unknown flag"],
)
def test_what_is_no_unchecked_bytecode_of_this_python_is_refused(make, pyc):
    assert "not unchecked bytecode" in refused(make, make.bytecode_tar({FILE: pyc}))


GOOD = members(FILE, PYC)
OTHER = (TarEntry(FILE.replace("/a.", "/b."), "file", 0o644, len(PYC)), PYC)
EXECUTABLE = (TarEntry(FILE, "file", 0o755, len(PYC)), PYC)
EMPTY = (TarEntry(f"{SITE}/empty", "directory", 0o755), b"")
CLOSED = (TarEntry("opt", "directory", 0o700), b"")


@pytest.mark.parametrize(
    "rows",
    [
        [*GOOD[:-1], OTHER, GOOD[-1]],
        [*GOOD[1:]],
        [*GOOD, EMPTY],
        [CLOSED, *GOOD[1:]],
        [*GOOD[:-1], EXECUTABLE],
        [*GOOD, GOOD[-1]],
        [GOOD[0], *GOOD],
    ],
    ids=["order", "parent", "empty folder", "mode", "executable", "twice", "folder twice"],
)
def test_another_row_of_members_is_refused(make, rows):
    assert "is not the tar of a layer: its members" in refused(make, written(*rows))


def test_another_time_is_refused(make):
    data = bytearray(make.bytecode_tar({FILE: PYC}))
    data[136:148] = b"00000000000\0"
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + sum(data[156:512]) + 8 * ord(" "))
    assert "unexpected header or padding of opt" in refused(make, bytes(data))


def test_padding_other_than_zeros_is_refused(make):
    data = bytearray(make.bytecode_tar({FILE: PYC}))
    data[-1025] = 1
    assert f"unexpected header or padding of {FILE}" in refused(make, bytes(data))


@pytest.mark.parametrize("surplus", [512, 8192])
def test_a_longer_end_is_refused(make, surplus):
    data = make.bytecode_tar({FILE: PYC}) + bytes(surplus)
    assert "it does not end with two blocks of zeros" in refused(make, data)


def test_a_pax_header_where_none_is_needed_is_refused(make):
    record = f"{len(FILE) + 9} path={FILE}\n".encode()
    assert len(record) == len(FILE) + 9
    extended = bytearray(tar.header(TarEntry("x", "file", 0o644, len(record))))
    extended[156:157] = b"x"
    extended[148:156] = b"%06o\0 " % (sum(extended[:148]) + sum(extended[156:]) + 8 * ord(" "))
    parents = written(*GOOD[:-1]).removesuffix(tar.END)
    data = parents + extended + record + tar.padding(len(record)) + written(GOOD[-1])
    assert f"unexpected header or padding of {FILE}" in refused(make, data)


@pytest.mark.parametrize("cut", [1, 512, 1024, 1536])
def test_a_tar_that_is_cut_off_is_refused(make, cut):
    refused(make, make.bytecode_tar({FILE: PYC})[:-cut])


@settings(max_examples=60)
@given(st.data())
def test_a_changed_byte_is_refused_or_is_in_the_layer(make, data):
    """Accepted input equals the layer's plain tar, so the leaf can be read from the layer."""
    tar_bytes = bytearray(make.bytecode_tar({FILE: PYC}))
    at = data.draw(st.integers(0, len(tar_bytes) - 1))
    tar_bytes[at] ^= data.draw(st.integers(1, 255))
    try:
        made = derived(make, bytes(tar_bytes))
    except InputError as error:
        codes = {finding.code for finding in error.findings}
    else:
        codes = {"layer-unsafe"} if made.tar == tar_bytes else set()
    assert codes == {"layer-unsafe"}


@pytest.mark.parametrize("inputs", [{}, {"other.tar": b""}, {"bytecode.tar": b"", "b": b""}])
def test_other_inputs_are_refused(make, inputs):
    with pytest.raises(
        InputError, match=r"only input of a bytecode layer is bytecode\.tar"
    ) as caught:
        make.layer(BYTECODE, inputs, python="3.11")
    assert caught.value.findings[0].code == "layer-unsafe"


@pytest.mark.parametrize("python", ["3.12", "", "3.11.7"])
def test_a_python_that_no_base_has_is_not_supported(make, python):
    with pytest.raises(InputError, match="unknown bytecode format of Python") as caught:
        derived(make, tar.END, python)
    assert caught.value.findings[0].code == "not-supported-yet"


def test_no_bytecode_is_an_empty_layer(make):
    assert derived(make, tar.END).members() == {}
