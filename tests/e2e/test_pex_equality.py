"""The PEX that mpbuild derives and the one that the pinned pex makes: the same, byte for byte.

pex runs here under this Python, whatever it is; so both halves stand on the same pex.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpbuild.app.build import toolchain
from mpbuild.base.accelerator import Accelerator
from mpbuild.derive import pex
from mpbuild.formats.python import pex as form
from mpbuild.spec.read import read_model, read_workspace
from mpbuild_rules.pex import rule
from tests.making.locks import python_lock
from tests.making.wheels import write_wheel

HERE = "{}.{}".format(*sys.version_info)
RUN = """\
import json, os, sys
from pathlib import Path

def main():
    import demo
    from nested.deep.er import VALUE
    folder = Path(__file__).parent.parent
    print(json.dumps({
        "accelerator": os.environ["MPBUILD_ACCELERATOR"],
        "wheel": demo.VALUE,
        "code": VALUE,
        "weights": len((folder / "weights/classifier").read_bytes()),
        "folder": os.environ["PEX"],
        "arguments": sys.argv[1:],
    }))
    return 7
"""
RUNTIME = {"mpbuild_runtime/__init__.py": b"", "mpbuild_runtime/run.py": RUN.encode()}
SHAPES = {
    "the least": (RUNTIME, ["demo-1.0"]),
    "code, data and weights": (
        RUNTIME
        | {
            "nested/__init__.py": b"",
            "nested/deep/__init__.py": b"",
            "nested/deep/er.py": b"VALUE = 'deep'\n",
            "nested/deep.py": b"",
            "nested-more/x": b"sorts before a slash",
            "größe/été.py": "# é\n".encode(),
            "名前/データ.bin": bytes(range(256)),
            "with space/and, comma;": b"\r\n",
            ".folder/seen.py": b"a folder may be hidden",
            "weights/classifier": hashlib.sha256(b"weights").digest() * 40_000,
            "files/labels": b'["0", "1"]',
            "pylock.cpu.toml": b"lock-version\n",
            "spec.json": b"{}",
            "UPPER.py": b"",
            "pexes.py": b"",
            "a/__main__.py": b"",
        },
        ["demo-1.0", "zeta-0.1"],
    ),
    "many wheels of all kinds of versions": (
        RUNTIME | {f"many/m{i}.py": b"%d" % (i % 3) for i in range(300)},
        [
            *("demo-1.0", "local-2.0+cpu", "epoch-1!2.0", "pre-1.0rc1", "post-1.0.post3"),
            *("dev-3.0.dev5", "ml_dtypes-0.6.0", "Capital.Name-2.0", "a-10.0", "a1-9", "z_9-1.10"),
            *(f"many{i}-{i}.{i}" for i in range(20)),
        ],
    ),
}
WORKSPACE = """\
schema_version = 1
[workspace]
name = "models"
[bases.debian-bookworm]
suite = "bookworm"
packages = ["python3.11-minimal"]
"""


METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"


class Host(NamedTuple):
    """pex under this Python, with a home of its own."""

    home: Path

    def environment(self, **more):
        """Nothing of the user's."""
        return {"PATH": os.defpath, "HOME": os.fspath(self.home), "LC_ALL": "C.UTF-8", **more}

    def run(self, *words, **more):
        """Run the interpreter to its end."""
        done = subprocess.run(
            [sys.executable, *map(os.fspath, words)],
            env=self.environment(**more),
            cwd=self.home,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def pex(self, folder, sources, wheels, lock):
        """The folder that pex makes."""
        self.run(
            *("-m", "pex", "--python", sys.executable, "--no-index", "--no-build"),
            *("--pre-resolved-dists", wheels),
            *(f"{package.name}=={package.version}" for package in lock.packages),
            *("--layout", "packed", "--no-pre-install-wheels", "--no-compress", "--no-compile"),
            *("-D", sources, "-e", "mpbuild_runtime.run:main"),
            *("--interpreter-constraint", f"CPython=={HERE}.*"),
            *("--python-shebang", f"/usr/bin/env python{HERE}"),
            *("--inject-env", "MPBUILD_ACCELERATOR=cuda", "-o", folder),
        )


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    try:
        found = importlib.metadata.version("pex")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pex is not installed beside this Python")
    assert (f"pex=={found}",) == toolchain.REQUIREMENTS, "the dev lock has another pex"
    return Host(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def start(host, tmp_path_factory):
    """What the action that runs pex leaves: ``.bootstrap`` and ``__main__.py``."""
    out = tmp_path_factory.mktemp("start")
    action = rule("pex", HERE, ()).action
    _, *words = (word.replace("{out}", str(out)) for word in action.command)
    host.run(*words, **{k: v for k, v in action.environment.items() if k not in ("HOME", "PATH")})
    assert sorted(path.name for path in out.iterdir()) == sorted(action.outputs)
    return (out / pex.BOOTSTRAP_FILE).read_bytes(), (out / pex.MAIN_FILE).read_bytes()


@pytest.fixture(scope="session")
def model(checkout):
    workspace = read_workspace(WORKSPACE, file="mpbuild.toml")
    text = (checkout / "examples/digits/model.toml").read_text()
    return read_model(text, file="model.toml", folder="digits", workspace=workspace)


def wheel_bytes(project, version):
    """A wheel with one module, which has the project's name."""
    files = {f"{project}.py".lower(): b"VALUE = 'of the wheel'\n"}
    metadata = {"METADATA": METADATA.format(project, version)}
    return write_wheel(f"{project}-{version}-py3-none-any.whl", files, overrides=metadata)


def locked(wheels):
    """The lock of wheels (file name to bytes)."""
    return python_lock("cuda", wheels, python=HERE)


def write(folder, files):
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def contents(folder):
    """The files of a folder: path to bytes."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def listing(folder):
    """A folder as ``derive.pex`` takes it."""
    return {
        path: pex.PexFile.of(data, executable=os.access(folder / path, os.X_OK))
        for path, data in contents(folder).items()
    }


def links(folder):
    found = (path for path in folder.rglob("*") if path.is_symlink())
    return {path.relative_to(folder).as_posix(): str(path.readlink()) for path in found}


class Case(NamedTuple):
    """Files of a model, and wheels by their names."""

    files: dict
    wheels: dict

    @classmethod
    def of(cls, shape):
        files, projects = SHAPES[shape]
        wheels = {f"{p}-py3-none-any.whl": wheel_bytes(*p.rsplit("-", 1)) for p in projects}
        return cls(files, wheels)

    def derived(self, model, start):
        """The PEX as mpbuild makes it, and every file of it."""
        made = pex.pex(model, Accelerator.CUDA, locked(self.wheels), self.files, *start)
        deps = {f".deps/{name}": data for name, data in self.wheels.items()}
        return made, {**self.files, **made.made, **deps, ".bootstrap": start[0]}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_byte_is_the_one_that_pex_writes(shape, host, start, model, tmp_path):
    case = Case.of(shape)
    sources, wheels = write(tmp_path / "src", case.files), write(tmp_path / "whl", case.wheels)
    folder = tmp_path / "pex"
    host.pex(folder, sources, wheels, locked(case.wheels))
    made, files = case.derived(model, start)
    theirs = contents(folder)
    assert sorted(theirs) == sorted(files)
    assert [path for path in files if files[path] != theirs[path]] == []
    assert links(folder) == pex.LINKS
    assert pex.manifest(model, Accelerator.CUDA, listing(folder)) == made.manifest
    assert pex.read_files(made.manifest) == listing(folder)


def test_the_start_of_a_pex_tells_nothing_of_where_it_was_made(host, start):
    bootstrap, main = start
    assert str(host.home).encode() not in bootstrap + main
    assert main.startswith(f"#!/usr/bin/env python{HERE}\n\n".encode())
    assert b"    pex_root='~/.cache/pex',\n" in main
    assert b"    has_interpreter_constraints=True,\n" in main
    assert form.read_bootstrap(bootstrap).version == importlib.metadata.version("pex")


names = st.text("aZ0._-é", min_size=1, max_size=4).filter(lambda name: name.strip("."))
trees = st.dictionaries(
    st.lists(names | st.sampled_from(["__pycache__", "x.pyc", "x.pyc.12", ".h"]), max_size=3).map(
        "/".join
    ),
    st.binary(max_size=5),
    max_size=8,
)
CODE_HASH = """\
import sys
from pex.util import CacheHelper
for folder in sys.argv[1:]:
    print(CacheHelper.pex_code_hash(folder, exclude_dirs=(".bootstrap", ".deps")))
"""


def test_code_is_hashed_as_pex_hashes_it(host, tmp_path_factory):
    """Hidden and compiled files don't count for pex, which is why no model may have them."""
    expected = {}

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(trees)
    def collect(tree):
        folder = tmp_path_factory.mktemp("tree")
        files = {}
        for path, data in tree.items():
            try:
                write(folder, {path: data})
            except OSError:
                continue
            files[path] = data
        counted = {path: data for path, data in files.items() if form.is_hashed(path)}
        expected[str(folder)] = form.code_hash(counted)

    collect()
    assert host.run("-c", CODE_HASH, *expected).decode().split() == list(expected.values())


# ---- running it


@pytest.fixture
def folder(model, start, tmp_path):
    """A PEX folder with the modes and the link that an export gives it."""
    made, files = Case.of("code, data and weights").derived(model, start)
    folder = write(tmp_path / "exported", files)
    for path, file in pex.read_files(made.manifest).items():
        (folder / path).chmod(0o755 if file.executable else 0o644)
    for path, target in pex.LINKS.items():
        (folder / path).symlink_to(target)
    return folder


def boot(host, *words, python=sys.executable, **more):
    return subprocess.run(
        [os.fspath(word) for word in (python, *words)],
        env=host.environment(PEX_ROOT=os.fspath(host.home / "root"), **more),
        cwd=host.home,
        capture_output=True,
        check=False,
        timeout=120,
    )


def test_the_folder_runs_its_entry_point_offline(host, folder):
    before = listing(folder)
    done = boot(host, folder / "pex", "an argument")
    assert done.returncode == 7, done.stderr.decode()
    assert json.loads(done.stdout) == {
        "accelerator": "cuda",
        "wheel": "of the wheel",
        "code": "deep",
        "weights": 32 * 40_000,
        "folder": str(folder),
        "arguments": ["an argument"],
    }
    assert listing(folder) == before, "started by its link, it leaves nothing in its folder"


def test_another_python_is_told_which_one_is_wanted(host, folder):
    others = (f"python3.{minor}" for minor in (12, 13, 11, 10, 9) if f"3.{minor}" != HERE)
    found = [path for name in others if (path := shutil.which(name)) and works(path)]
    if not found:
        pytest.skip("there is no other Python beside this one")
    # No PATH, or pex would find and take the right one by itself.
    done = boot(host, folder, python=found[0], PATH="/nonexistent")
    assert done.returncode != 0
    assert f"Version matches CPython=={HERE}.*" in done.stderr.decode()


def works(python):
    """Whether it is an interpreter rather than a stand-in for one that isn't installed."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() != HERE
