"""Debian's BLAS, LAPACK and awk, which only update-alternatives would have put in their places."""

import shutil

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
PACKAGES = '"libpython3.11-stdlib", "libstdc++6", "libgcc-s1"'
TABLES = """\
system = ["liblapack3"]
links = [LINKS]
[[core.weights]]
name = "answer"
version = "1.0.0"
step = "ask"
output = "answer"
[accelerators.cpu]
[environments.ask]
system = ["liblapack3", "gawk"]
links = [LINKS, AWK]
[[steps]]
name = "ask"
command = ["python", "ask.py", "{out}/answer"]
inputs = ["ask.py"]
outputs = ["answer"]
environment = "ask"
reproducible = true
"""
SCRIPT = """\
import ctypes
import subprocess
import sys

lapack, blas = ctypes.CDLL("liblapack.so.3"), ctypes.CDLL("libblas.so.3")
blas.dasum_.restype = ctypes.c_double
numbers = (ctypes.c_double * 3)(1, -2, 3)
total = blas.dasum_(ctypes.byref(ctypes.c_int(3)), numbers, ctypes.byref(ctypes.c_int(1)))
version = [ctypes.c_int() for _ in range(3)]
lapack.ilaver_(*map(ctypes.byref, version))
awk = subprocess.run(["awk", "BEGIN { print 6 * 7 }"], capture_output=True, check=True).stdout
open(sys.argv[1], "w").write(f"{total} {version[0].value} {awk.decode()}")
"""


def row(package, path, target):
    return f'{{ package = "{package}", path = "{path}", target = "{target}" }}'


LINKS = ", ".join(
    row(
        f"lib{name}3",
        f"{LIBRARIES}/lib{name}.so.3",
        f"{LIBRARIES}/{name}/lib{name}.so.3",
    )
    for name in ("blas", "lapack")
)
AWK = ", ".join(row("gawk", f"/usr/bin/{name}", "/usr/bin/gawk") for name in ("awk", "nawk"))


@pytest.fixture
def write(tmp_path, smallest_workspace, smallest_model):
    """``write(links, awk)``: a workspace with these rows."""

    def write(links, awk):
        folder = tmp_path / "workspace"
        (folder / "blas").mkdir(parents=True, exist_ok=True)
        minimal = '"python3.11-minimal"'
        workspace = smallest_workspace.replace(minimal, f"{minimal}, {PACKAGES}")
        (folder / "mpbuild.toml").write_text(workspace)
        tables = TABLES.replace("LINKS, AWK", ", ".join(filter(None, (links, awk))))
        tables = tables.replace("LINKS", links)
        (folder / "blas/model.toml").write_text(smallest_model + tables)
        (folder / "blas/tiny.py").write_text("class Model: ...\n")
        (folder / "blas/ask.py").write_text(SCRIPT)
        return folder

    return write


def test_what_a_table_covers_is_found_where_programs_look_and_anyone_can_derive_it(
    digits, write, tmp_path
):
    mpbuild = digits.mpbuild._replace(workspace=write(LINKS, AWK))
    locked = mpbuild("lock")
    assert locked.code == 0, locked.err
    layout = tmp_path / "layout"
    digest = mpbuild("build", "//blas", "--output", layout).digest
    assert b"6.0 3 42\n" in {blob.read_bytes() for blob in small(layout)}, "of dlopen and of awk"
    shutil.rmtree(mpbuild.workspace)
    elsewhere = mpbuild._replace(workspace=tmp_path, store=tmp_path / "store")
    answer = elsewhere("reproduce", f"{layout}@{digest}", "--offline")
    assert (answer.code, answer.findings) == (0, []), answer.err


def test_without_its_row_a_package_is_refused_by_the_path_that_is_missing(digits, write):
    mpbuild = digits.mpbuild._replace(workspace=write(LINKS, ""))
    assert mpbuild("lock").code == 0
    answer = mpbuild("build", "//blas")
    assert answer.code == 2
    (message,) = [message for code, message in answer.findings if code == "spec-invalid"]
    assert "its postinst script makes /usr/bin/awk by update-alternatives" in message


def small(layout):
    return (blob for blob in (layout / "blobs/sha256").iterdir() if blob.stat().st_size < 100)
