"""Source distributions become wheels in the sandbox: real backends over a real base, and attacks.

The default index is a folder with source distributions made here, beside the wheels of real
backends; the base is Debian's.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from pathlib import Path

import pytest

from mpbuild.app.lock import build_sdist
from mpbuild.app.lock.build_wheels import WheelBuilder
from mpbuild.app.lock.index_sources import sources
from mpbuild.app.lock.lock_files import LockEnvironment
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.digest import Digest
from mpbuild.base.errors import AnswerError, EnvironmentFailureError, InputError
from mpbuild.effects.http.client import http_client
from mpbuild.effects.python.index_views import lay_out
from mpbuild.effects.python.projects import Projects
from mpbuild.effects.python.resolution_failure import ResolutionError
from mpbuild.effects.python.uv import Uv
from mpbuild.effects.store.store import Store
from mpbuild.formats.debian import deblock
from mpbuild.formats.python.wheel import read_wheel
from mpbuild.locks import debian_lock
from mpbuild.locks.python_inputs import inputs
from mpbuild.resolve import python_lock
from tests.making.sdists import write_sdist

pytestmark = [pytest.mark.network, pytest.mark.sandbox]

WORKSPACE = """\
schema_version = 1
[workspace]
name = "tests"
[indexes]
default = { dated = false }
built = { folder = "third_party/wheels", packages = ["thing", "other", "part-*"], build = true }
[bases.debian-bookworm]
suite = "bookworm"
packages = ["python3.11-minimal", "libpython3.11-stdlib"]
"""
BACKENDS = ("flit_core", "packaging", "setuptools", "wheel")
SETUP = "from setuptools import setup\nsetup(name='thing', version='1.0', py_modules=['thing'])\n"
FLIT = """\
[build-system]
requires = ["flit_core>=3.2"]
build-backend = "flit_core.buildapi"
[project]
name = "thing"
version = "1.0"
description = "A thing."
"""
# A backend of its own, which needs no wheel of an index.
OWN = '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
BACKEND = """\
import os, pathlib, time, zipfile

def wheel(folder, files, name="thing", tag="py3-none-any", version="1.0"):
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {tag}\\n",
    }
    rows = "".join(f"{path},,{len(text.encode())}\\n" for path, text in files.items())
    files[f"{info}/RECORD"] = f"{rows}{info}/RECORD,,\\n"
    filename = f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(pathlib.Path(folder, filename), "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
    return filename

"""


def own(code, requires="[]"):
    """The files of a source distribution that builds itself: ``code`` is build_wheel's body."""
    hooks = f"def get_requires_for_build_wheel(settings):\n    return {requires}\n"
    hooks += "def build_wheel(folder, settings, metadata):\n" + textwrap.indent(code, "    ")
    return {"pyproject.toml": OWN, "own.py": BACKEND + hooks}


class Place:
    """A workspace, its default index, and a workshop with a store."""

    def __init__(self, root, index, store, lock):
        self.root, self.index, self.store, self.lock = root, index, store, lock
        self.folder = root / "third_party/wheels"
        self.ran = []
        self.bwrap = None
        self.gap_s = 0.0

    def add(self, files, name="thing", version="1.0", info="", attributes=""):
        """Publish a source distribution."""
        data = write_sdist(name, version, files, info=info)
        self.index.put(f"{name}-{version}.tar.gz", data, attributes)
        return Digest.of(data)

    def environment(self, *requirements, **bounds):
        settings = OpenWorkspace(self.root).settings
        base = settings.bases["debian-bookworm"]
        return LockEnvironment(
            name="cpu",
            accelerator=None,
            base=base,
            python=inputs(requirements, python="3.11", suite="bookworm", **bounds),
            debian=debian_lock.inputs(base.suite, base.packages),
            root=self.root,
            folder=self.root / "lockfiles",
        )

    def workshop(self):
        return WheelBuilder(
            OpenWorkspace(self.root),
            lambda environment: self.lock,
            store=self.store,
            uv=Uv.find(os.environ),
            web=http_client(os.environ),
            observer=self,
            bwrap=self.bwrap,
            gap_s=self.gap_s,
        )

    def build(self, *requirements, names=("thing",), **options):
        environment = self.environment(*(requirements or names))
        return self.workshop().ensure_wheels(environment, names, **options)

    def refused(self, kind=AnswerError):
        with pytest.raises(kind) as caught:
            self.build()
        assert self.wheels == []
        (finding,) = caught.value.findings
        return finding

    @property
    def wheels(self):
        return sorted(path.name for path in self.folder.rglob("*"))

    def started(self, name):
        self.ran.append(name)

    def finished(self, name, *, cached): ...


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="session")
def backends(tmp_path_factory):
    """The wheels of real build backends."""
    folder = tmp_path_factory.mktemp("backends")
    words = ("download", "--no-deps", "--no-cache-dir", "--retries=0", "--dest", str(folder))
    done = run(sys.executable, "-m", "pip", *words, "--only-binary", ":all:", *BACKENDS)
    if done.returncode:
        pytest.skip("no package index is within reach")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def built_in(tmp_path_factory):
    """A store that keeps the base from test to test."""
    return tmp_path_factory.mktemp("builds") / "store"


@pytest.fixture
def place(tmp_path, make_index, backends, built_in, checkout, monkeypatch):
    name = "debian.toolchain.toml"
    lock = deblock.read((checkout / "lockfiles/toolchain" / name).read_text(), file=name)
    root, index = tmp_path / "workspace", make_index("default")
    root.mkdir()
    (root / "mpbuild.toml").write_text(WORKSPACE)
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.index.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    made = Place(root, index, Store(built_in), lock)
    for wheel in backends:
        index.put(wheel.name, wheel.read_bytes())
    try:
        build_sdist.open_sandbox(made.store).probe()
    except EnvironmentFailureError as error:
        pytest.skip(str(error))
    return made


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: info for info in archive.infolist()}


# ---- real backends


def test_setup_py_alone_becomes_a_wheel_whose_bytes_are_the_same_again(place):
    place.gap_s = build_sdist.GAP_S
    source = place.add({"setup.py": SETUP, "thing.py": "x = 1\n"})
    (built,) = place.build()
    assert (built.name, built.version, built.source) == ("thing", "1.0", source)
    assert built.path == place.folder / "thing-1.0-py3-none-any.whl"
    assert built.findings == ()
    data = built.path.read_bytes()
    assert (Digest.of(data), len(data)) == (built.digest, built.size)
    assert read_wheel(data, built.path.name).version == "1.0"
    assert {info.date_time for info in contents(built.path).values()} == {(1980, 1, 1, 0, 0, 0)}
    assert built.path.stat().st_mode & 0o777 == 0o644
    assert place.ran[-3:] == [
        "source-requires:thing-1.0.tar.gz",
        "source-wheel:thing-1.0.tar.gz",
        "source-wheel:thing-1.0.tar.gz",
    ]


def test_a_pyproject_names_its_own_backend(place):
    place.add({"pyproject.toml": FLIT, "thing.py": "x = 1\n"})
    (built,) = place.build()
    assert built.findings == ()
    assert "thing.py" in contents(built.path)
    layers = [name for name in place.ran if name.startswith("layer:")]
    assert not any("setuptools" in name for name in layers)


def test_what_a_backend_asks_for_besides_is_there_when_it_builds(place):
    code = "import flit_core\nreturn wheel(folder, {'thing.py': flit_core.__version__})\n"
    place.add(own(code, requires="['flit_core']"))
    (built,) = place.build()
    assert built.findings == ()


def test_constraints_hold_build_requirements_back(place):
    place.add({"pyproject.toml": FLIT, "thing.py": "x = 1\n"})
    environment = place.environment("thing", constraints=["flit_core<3"])
    with pytest.raises(InputError, match="flit-core") as caught:
        place.workshop().ensure_wheels(environment, ["thing"])
    assert caught.value.findings[0].where == "thing 1.0: preparing the build requirements"


# ---- which, and when


def test_a_wheel_that_is_there_is_not_built_again(place):
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))
    (built,) = place.build()
    before = built.path.stat()
    place.add(own("return wheel(folder, {'thing.py': ''}, version='2.0')\n"), version="2.0")
    assert place.build() == []
    assert built.path.stat() == before
    (second,) = place.build("thing>1")
    assert second.version == "2.0"
    assert place.build(fresh=["thing"]) == []


def test_a_newer_version_is_built_when_it_is_requested(place):
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))
    place.build()
    place.add(own("return wheel(folder, {'thing.py': ''}, version='2.0')\n"), version="2.0")
    assert [built.version for built in place.build(fresh=["thing"])] == ["2.0"]


def test_a_locked_version_is_built_again_where_its_wheel_is_gone(place):
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))
    place.add(own("return wheel(folder, {'thing.py': ''}, version='2.0')\n"), version="2.0")
    assert [built.version for built in place.build(locked={"thing": "1.0"})] == ["1.0"]
    (built,) = place.build("thing>1", locked={"thing": "1.0"})
    assert built.version == "2.0"


def test_what_packages_themselves_ask_for_is_renewed_like_the_rest(place):
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))
    environment, workshop = place.environment("whole"), place.workshop()
    workshop.supply([environment], list, locked={"thing": "1.0"}, fresh=["thing", "whole"])
    assert place.wheels == ["thing-1.0-py3-none-any.whl"]


def test_only_what_a_folder_owns_is_built(place):
    place.add({"setup.py": "raise SystemExit('ran')\n"}, name="stranger")
    assert place.build(names=["stranger", "setuptools"]) == []
    assert place.ran == []


def test_the_source_is_what_the_index_has_that_owns_the_rest(place, make_index, monkeypatch):
    """A stranger's package in the default index, of a private one's name, is never run."""
    place.add(own("raise SystemExit('ran')\n"), version="9.0")
    place.index = make_index("private")
    ours = place.add(own("return wheel(folder, {})\n"))
    monkeypatch.setenv("UV_INDEX", f"private={place.index.index.url}")
    with (place.root / "mpbuild.toml").open("a") as spec:
        spec.write('[indexes.private]\npackages = ["thi*"]\n')
    (built,) = place.build()
    assert (built.version, built.source) == ("1.0", ours)
    with pytest.raises(InputError, match="the index private has no source distribution"):
        place.build("thing>1")


def test_what_a_requirement_names_is_built_before_resolving(place):
    place.add(own("return wheel(folder, {}, name='part_one')\n"), name="part_one")
    workshop = place.workshop()
    environment = place.environment("part-one; python_version < '4'", "thing; os_name == 'nt'")
    assert workshop.supply([environment], lambda: place.wheels) == ["part_one-1.0-py3-none-any.whl"]
    assert [built.name for built in workshop.built] == ["part-one"]


def test_what_a_refusal_names_is_built_and_resolving_tried_again(place):
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))
    attempts = []

    def attempt():
        attempts.append(place.wheels)
        if not place.wheels:
            raise ResolutionError("there are no versions of thing and whole depends on thing")
        raise ResolutionError("something else about thing")

    with pytest.raises(InputError, match="something else"):
        place.workshop().supply([place.environment("whole")], attempt)
    assert attempts == [[], ["thing-1.0-py3-none-any.whl"]]


def test_what_packages_themselves_ask_for_is_built_once_the_resolver_misses_it(place):
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))
    place.index.add("whole-1.0-py3-none-any.whl", "Requires-Dist: thing>=1")
    environment, workshop = place.environment("whole"), place.workshop()

    def attempt():
        with tempfile.TemporaryDirectory() as folder:
            seen = sources(OpenWorkspace(place.root), environment.serves)
            view = lay_out(seen, Path(folder), Projects(http_client({})))
            return python_lock.lock(
                environment.python,
                environment="cpu",
                view=view,
                uv=Uv.find(os.environ),
                web=http_client({}),
            )

    lock = workshop.supply([environment], attempt)
    (built,) = workshop.built
    thing, whole = lock.packages
    assert (thing.name, thing.version, thing.index) == ("thing", "1.0", "built")
    assert (thing.wheel.sha256, thing.wheel.size) == (built.digest, built.size)
    assert (whole.name, whole.index) == ("whole", "default")


def test_a_refusal_that_names_nothing_to_build_stays_one(place):
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))

    def attempt():
        raise InputError("there are no versions of nothing, something, thing-two or any.thing")

    with pytest.raises(InputError, match="nothing"):
        place.workshop().supply([place.environment("whole")], attempt)
    assert place.wheels == []


# ---- what fails


def test_a_build_that_fails_says_what_where_and_how_it_ended(place):
    place.add(own("print('compiling')\nraise SystemExit('no compiler')\n"))
    finding = place.refused()
    assert finding.code == "step-failed"
    assert finding.where == "thing 1.0: building the wheel"
    assert finding.message.splitlines()[-2:] == ["  | compiling", "  | no compiler"]
    assert "no network" in finding.hint


def test_a_missing_build_requirement_is_reported(place):
    text = OWN.replace("[]", '["absent>=1"]')
    place.add({"pyproject.toml": text})
    finding = place.refused(InputError)
    assert finding.where == "thing 1.0: preparing the build requirements"
    assert "absent" in finding.message


@pytest.mark.parametrize("answer", ["'text'", "[1]", "{'a': 'b'}"])
def test_a_backend_that_asks_for_no_list_is_refused(place, answer):
    place.add(own("return ''\n", requires=answer))
    finding = place.refused()
    assert finding.where == "thing 1.0: querying the build backend for further requirements"
    assert finding.message == "the build backend did not return a list of requirements"


def test_a_source_distribution_that_lies_about_its_name_is_refused(place):
    place.add(own(""), info="Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    finding = place.refused(InputError)
    assert finding.code == "content-mismatch"
    assert finding.where == "thing 1.0: fetching the source distribution"
    assert place.ran == []


def test_a_hostile_archive_is_refused_before_anything_runs(place):
    place.add({"../../outside": "x", **own("")})
    assert place.refused(InputError).code == "layer-unsafe"
    assert place.ran == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("return wheel(folder, {}, name='other')", "the build backend made other 1.0 instead"),
        ("return wheel(folder, {}, version='1.1')", "the build backend made thing 1.1 instead"),
        ("return wheel(folder, {}, tag='cp312-cp312-any')", "doesn't install on Python 3.11"),
        ("return wheel(folder, {}, tag='py3-none-win_amd64')", "doesn't install on Python 3.11"),
        ("return wheel(folder, {'../x': ''})", "invalid wheel"),
        (
            "os.rename(f'{folder}/{wheel(folder, {})}', f'{folder}/x.zip')\nreturn 'x.zip'",
            "invalid wheel",
        ),
        (
            "name = wheel(folder, {})\nopen(f'{folder}/{name}', 'ab').write(b'more')\nreturn name",
            "invalid wheel",
        ),
    ],
)
def test_what_is_not_the_packages_wheel_gets_nowhere(place, code, message):
    place.add(own(code))
    finding = place.refused()
    assert (finding.code, finding.where) == ("step-failed", "thing 1.0: building the wheel")
    assert message in finding.message


def test_a_wheel_with_other_bytes_each_time_is_kept_with_a_warning(place):
    place.add(own("return wheel(folder, {'thing.py': str(time.time_ns())})\n"))
    (built,) = place.build()
    (finding,) = built.findings
    assert (finding.code, finding.severity) == ("not-reproduced", "warning")
    assert Digest.of(built.path.read_bytes()) == built.digest


def test_without_a_sandbox_nothing_is_built(place):
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))
    place.bwrap = []
    finding = place.refused(EnvironmentFailureError)
    assert finding.code == "sandbox-unavailable"
    assert "--sandbox none" not in finding.hint
    assert place.ran == []


# ---- what attacks

SPY = """\
import json, os, pathlib, socket, sys
tried = {{}}
def attempt(name, what):
    try:
        tried[name] = str(what())
    except BaseException as error:
        tried[name] = f"{{type(error).__name__}}"
attempt("connect", lambda: socket.create_connection(("127.0.0.1", {port}), 2))
attempt("read", lambda: pathlib.Path({secret!r}).read_text())
attempt("write", lambda: pathlib.Path({target!r}).write_text("x"))
attempt("store", lambda: pathlib.Path({store!r}).exists())
attempt("root", lambda: pathlib.Path("/usr/bin/evil").write_text("x"))
attempt("input", lambda: pathlib.Path("/work/thing-1.0.tar.gz").write_bytes(b"x"))
attempt("environment", lambda: sorted(os.environ))
attempt("user", os.getuid)
pathlib.Path("tried.json").write_text(json.dumps(tried))
"""


def test_setup_py_reaches_neither_network_nor_host(place, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    secret, target = tmp_path / "secret", place.root / "evil"
    secret.write_text("s3cret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        spy = SPY.format(
            port=server.getsockname()[1],
            secret=str(secret),
            target=str(target),
            store=str(place.store.path),
        )
        setup = "from setuptools import setup\nos.rename('tried.json', 't/t')\n"
        setup += "setup(name='thing', version='1.0', packages=['t'], package_data={'t': ['*']})\n"
        source = place.add({"setup.py": spy + setup, "t/__init__.py": ""})
        (built,) = place.build()
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    with zipfile.ZipFile(built.path) as archive:
        tried = archive.read("t/t").decode()
    assert "s3cret" not in tried
    assert "SECRET_TOKEN" not in tried
    assert '"connect": "ConnectionRefusedError"' in tried
    assert '"read": "FileNotFoundError"' in tried
    assert '"write": "FileNotFoundError"' in tried
    assert '"store": "False"' in tried
    assert '"root": "OSError"' in tried
    assert '"user": "1000"' in tried
    assert Digest.of(place.store.blob(source).read_bytes()) == source
    assert not target.exists()
    assert sorted(path.name for path in place.root.iterdir()) == ["mpbuild.toml", "third_party"]


def test_what_is_left_beside_the_wheel_is_refused(place):
    code = "pathlib.Path('/out/evil-1.0-py3-none-any.whl').touch()\nreturn wheel(folder, {})\n"
    place.add(own(code))
    assert place.refused(InputError).code == "output-undeclared"


def test_a_file_name_leads_nowhere_else(place):
    place.add(own("os.rename(f'{folder}/{wheel(folder, {})}', '/tmp/x')\nreturn '../../x'\n"))
    finding = place.refused()
    assert (finding.code, finding.where) == ("step-failed", "thing 1.0: building the wheel")
    assert "invalid wheel" in finding.message


# ---- what is killed

KILLED = """\
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_wheel_building as tests
from mpbuild.effects.store.store import Store
from mpbuild.formats.debian import deblock
lock = deblock.read(Path({lock!r}).read_text(), file="x")
place = tests.Place(Path({root!r}), None, Store(Path({store!r})), lock)
place.build()
"""


def test_a_kill_in_the_middle_leaves_nothing_and_the_next_build_goes_on(place, checkout):
    place.add(own("pathlib.Path('/out/started').touch()\ntime.sleep(600)\n"))
    script = KILLED.format(
        tests=str(Path(__file__).parent),
        root=str(place.root),
        store=str(place.store.path),
        lock=str(checkout / "lockfiles/toolchain/debian.toolchain.toml"),
    )
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        try:
            while not list(place.store.path.glob("scratch/*/out/started")):
                assert process.poll() is None
                time.sleep(0.01)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert place.wheels == []
    place.add(own("return wheel(folder, {'thing.py': ''})\n"))
    assert [built.version for built in place.build()] == ["1.0"]
