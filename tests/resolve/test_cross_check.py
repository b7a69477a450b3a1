"""Real pips and pip-tools beside a lock that a real uv made: what they agree on, and what not."""

import shutil
import sys

import msgspec
import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.python import interpreters
from mpbuild.effects.python.index_views import IndexOwner, IndexSources, IndexView, lay_out
from mpbuild.effects.python.indexes import PythonIndex, folder_index
from mpbuild.effects.python.projects import Projects
from mpbuild.effects.python.uv import Uv
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage
from mpbuild.locks import python_inputs
from mpbuild.resolve import cross_check, python_lock

FILE = "lockfiles/model/pylock.cpu.toml"
SUITES = {"3.11": "bookworm", "3.13": "trixie"}
# This one's where a Debian release has it, so that pip-tools finds an interpreter.
PYTHON = "3.13" if sys.version_info >= (3, 13) else "3.11"
OTHER = "3.11" if PYTHON == "3.13" else "3.13"


class Model:
    """The requirements of an environment, the lock that uv makes of them, and the indexes."""

    def __init__(self, view, uv, web, home) -> None:
        self.view, self.uv, self.web = view, uv, web
        self.environ = {"HOME": str(home), "PIP_RETRIES": "0"}
        self.wanted = self.lock = None

    def locked(self, *requirements: str, version: str = PYTHON, **bounds: object) -> PythonLock:
        suite = SUITES[version]
        self.wanted = python_inputs.inputs(requirements, python=version, suite=suite, **bounds)
        self.lock = python_lock.lock(
            self.wanted, environment="cpu", view=self.view, uv=self.uv, web=self.web
        )
        return self.lock

    def holds(self, *packages: PythonPackage) -> None:
        """The lock contains these packages, not those that uv selects."""
        ordered = tuple(sorted(packages, key=lambda package: package.name))
        self.lock = msgspec.structs.replace(self.lock, packages=ordered)

    @property
    def question(self):
        return cross_check.CrossCheck(
            lock=self.lock,
            wanted=self.wanted,
            view=self.view,
            file=FILE,
            uv=self.uv,
            environ=self.environ,
        )

    def check(self):
        return cross_check.check(self.question)

    def by_pip(self):
        return cross_check.by_pip(self.question)

    def by_pip_tools(self):
        if interpreters.find(self.lock.python, self.uv.binary, self.uv.environ) is None:
            pytest.skip(f"this machine has no Python {self.lock.python}, which pip-tools runs on")
        return cross_check.by_pip_tools(self.question)


@pytest.fixture
def model(wheels, uv, web, tmp_path):
    return Model(IndexView.of(wheels.index), uv, web, tmp_path)


@pytest.fixture
def pair(model, wheels):
    """alpha, which needs beta, locked."""
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta")
    wheels.add("beta-1.0-py3-none-any.whl")
    model.locked("alpha")
    return model


def package(path) -> PythonPackage:
    """The entry of a lock for the wheel at ``path``."""
    name, version = path.name.split("-")[:2]
    wheel = LockedWheel(
        filename=path.name, sha256=Digest.of(path.read_bytes()), size=path.stat().st_size
    )
    return PythonPackage(name=name.replace("_", "-"), version=version, wheel=wheel)


def test_pip_and_pip_tools_agree_with_what_uv_locked(model, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: Beta_Two>=1", "Requires-Dist: rc")
    wheels.add("beta_two-1.0-py3-none-any.whl")
    tag = PYTHON.replace(".", "")
    wheels.add(f"beta_two-1.0-cp{tag}-cp{tag}-manylinux_2_28_x86_64.whl")
    wheels.add(f"beta_two-1.0-cp{tag}-cp{tag}-manylinux2014_x86_64.whl")
    wheels.add("beta_two-1.0-cp312-cp312-manylinux_2_28_x86_64.whl")
    wheels.add("rc-1.0rc1-py3-none-any.whl")
    lock = model.locked("alpha")
    assert [(found.name, found.version) for found in lock.packages] == [
        ("alpha", "1.0"),
        ("beta-two", "1.0"),
        ("rc", "1.0rc1"),
    ]
    assert model.by_pip() == []
    assert model.by_pip_tools() == []


def test_newer_releases_are_no_disagreement(pair, wheels):
    wheels.add("alpha-2.0-py3-none-any.whl", "Requires-Dist: gamma")
    wheels.add("beta-1.0+local-py3-none-any.whl")
    assert pair.by_pip() == []
    assert pair.by_pip_tools() == []


def test_nothing_required_is_nothing_to_ask(model):
    model.locked()
    assert model.check() == []


def test_both_report_a_package_that_is_not_in_the_lock(pair):
    pair.holds(pair.lock.packages[0])
    (finding,) = pair.by_pip()
    assert finding.code == "lock-disagreement"
    assert finding.severity == "error"
    assert finding.where == FILE
    assert finding.message == "pip needs beta 1.0, which is not in the lock"
    (finding,) = pair.by_pip_tools()
    assert finding.message == "pip-tools needs beta 1.0, which is not in the lock"


def test_both_report_a_package_that_nothing_needs(pair, wheels):
    pair.holds(*pair.lock.packages, package(wheels.add("gamma-1.0-py3-none-any.whl")))
    (finding,) = pair.by_pip()
    assert finding.code == "lock-disagreement"
    assert finding.message == "pip does not need gamma 1.0, which is in the lock"
    (finding,) = pair.by_pip_tools()
    assert finding.message == "pip-tools does not need gamma 1.0, which is in the lock"


def test_a_version_that_nothing_allows_is_refused_with_pips_own_reason(model, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta<2")
    wheels.add("beta-1.0-py3-none-any.whl")
    model.locked("alpha")
    model.holds(model.lock.packages[0], package(wheels.add("beta-2.0-py3-none-any.whl")))
    (finding,) = model.by_pip()
    assert (finding.code, finding.where) == ("lock-disagreement", FILE)
    assert finding.message.startswith("pip cannot reproduce this lock:\nCannot install")
    assert "alpha 1.0 depends on beta<2" in finding.message
    assert "(constraint) beta===2.0" in finding.message
    (finding,) = model.by_pip_tools()
    assert finding.code == "lock-disagreement"
    assert "alpha 1.0 depends on beta<2" in finding.message
    assert "Traceback" not in finding.message


def test_constraints_of_the_spec_bind_pip_too(model, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl")
    model.locked("alpha", constraints=["alpha[extra]<2"])
    assert model.by_pip() == []
    model.holds(package(wheels.add("alpha-2.0-py3-none-any.whl")))
    (finding,) = model.by_pip()
    assert "(constraint) alpha<2,===2.0" in finding.message


def test_another_hash_for_the_same_file_is_an_alarm(pair, wheels):
    old = pair.lock.packages[0].wheel.sha256
    new = Digest.of(
        wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta", content="x").read_bytes()
    )
    (finding,) = pair.by_pip()
    assert (finding.code, finding.where, finding.severity) == ("content-mismatch", FILE, "error")
    assert finding.message == (f"pip finds {new} for alpha-1.0-py3-none-any.whl; locked: {old}")


def test_a_better_build_that_came_later_is_a_warning(model, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl")
    model.locked("alpha")
    wheels.add("alpha-1.0-1-py3-none-any.whl")
    (finding,) = model.by_pip()
    assert (finding.code, finding.severity) == ("lock-disagreement", "warning")
    assert finding.message == (
        "pip selects alpha-1.0-1-py3-none-any.whl; locked: alpha-1.0-py3-none-any.whl"
    )
    assert "--upgrade=alpha" in finding.hint


def test_another_build_in_place_of_the_locked_one_is_an_error(model, wheels):
    path = wheels.add("alpha-1.0-py3-none-any.whl")
    model.locked("alpha")
    wheels.add("alpha-1.0-1-py3-none-any.whl")
    wheels.remove(path)
    (finding,) = model.by_pip()
    assert (finding.code, finding.severity) == ("lock-disagreement", "error")
    assert "pip selects alpha-1.0-1-py3-none-any.whl" in finding.message
    assert "no longer has with the locked sha256" in finding.message


def test_a_yanked_release_is_reported(pair, wheels):
    wheels.add("beta-2.0-py3-none-any.whl")
    wheels.add("beta-1.0-py3-none-any.whl", attributes=' data-yanked="broken"')
    (finding,) = pair.by_pip()
    assert finding.code == "lock-disagreement"
    assert finding.message == "according to pip, beta 1.0 was yanked from the index"


def test_a_removed_release_is_reported_in_pips_words(pair, wheels):
    wheels.remove(wheels.folder / "beta" / "beta-1.0-py3-none-any.whl")
    wheels.add("beta-2.0-py3-none-any.whl")
    (finding,) = pair.by_pip()
    assert finding.code == "lock-disagreement"
    assert "beta===1.0" in finding.message


def test_an_extra_brings_what_it_brings_for_uv(model, wheels):
    wheels.add(
        "alpha-1.0-py3-none-any.whl", "Provides-Extra: gpu", 'Requires-Dist: beta; extra == "gpu"'
    )
    wheels.add("beta-1.0-py3-none-any.whl")
    assert len(model.locked("alpha[gpu]").packages) == 2
    assert model.by_pip() == []
    assert model.by_pip_tools() == []
    model.wanted = python_inputs.inputs(["alpha"], python=PYTHON, suite=SUITES[PYTHON])
    (finding,) = model.by_pip()
    assert finding.message == "pip does not need beta 1.0, which is in the lock"


def test_an_extra_that_is_none_is_no_agreement(model, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl")
    model.locked("alpha")
    model.wanted = python_inputs.inputs(["alpha[gpu]"], python=PYTHON, suite=SUITES[PYTHON])
    (finding,) = model.by_pip()
    assert finding.code == "lock-disagreement"
    assert "alpha 1.0 does not provide the extra 'gpu'" in finding.message


@pytest.mark.parametrize("name", ["setuptools", "pip"])
def test_what_pip_tools_calls_unsafe_is_compared_as_well(model, wheels, name):
    wheels.add("alpha-1.0-py3-none-any.whl", f"Requires-Dist: {name}")
    wheels.add(f"{name}-99.0-py3-none-any.whl")
    assert len(model.locked("alpha").packages) == 2
    assert model.by_pip() == []
    assert model.by_pip_tools() == []


def marked(wheels) -> None:
    """alpha needs another package for each marker that could give this process away."""
    markers = {
        "old": "python_version < '3.12'",
        "new": "python_version >= '3.12'",
        "early": "python_full_version < '3.11.3'",
        "late": "python_full_version >= '3.13.1'",
        "kernel": "platform_release != ''",
        "linux": "sys_platform == 'linux' and platform_machine == 'x86_64'",
        "windows": "os_name == 'nt' or platform_system == 'Windows'",
        "pypy": "implementation_name == 'pypy' or platform_python_implementation == 'PyPy'",
    }
    needs = [f"Requires-Dist: {name}; {marker}" for name, marker in markers.items()]
    wheels.add("alpha-1.0-py3-none-any.whl", *needs)
    for name in markers:
        wheels.add(f"{name}-1.0-py3-none-any.whl")


@pytest.mark.parametrize(
    ("version", "needed"),
    [("3.11", {"old", "early", "linux"}), ("3.13", {"new", "linux"})],
)
def test_markers_are_evaluated_for_the_locks_python(model, wheels, version, needed):
    marked(wheels)
    lock = model.locked("alpha", version=version)
    assert {found.name for found in lock.packages} == {"alpha", *needed}
    assert model.by_pip() == []


def test_markers_are_the_locks_for_pip_tools_too(model, wheels):
    marked(wheels)
    model.locked("alpha")
    assert model.by_pip_tools() == []


def test_without_the_locks_python_pip_tools_has_not_agreed(model, wheels, tmp_path):
    wheels.add("alpha-1.0-py3-none-any.whl")
    model.locked("alpha", version=OTHER)
    model.environ = {"HOME": str(tmp_path), "PATH": str(tmp_path)}
    assert model.by_pip() == []
    (finding,) = cross_check.by_pip_tools(model.question)
    assert (finding.code, finding.where, finding.severity) == ("lock-unchecked", FILE, "error")
    assert f"needs the lock's Python {OTHER}" in finding.message
    assert f"python{OTHER} on PATH" in finding.hint


def test_overrides_are_applied_to_what_pip_finds(model, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta<2", "Requires-Dist: gamma")
    wheels.add("beta-1.0-py3-none-any.whl")
    wheels.add("beta-2.0-py3-none-any.whl")
    gamma = wheels.add("gamma-1.0-py3-none-any.whl")
    lock = model.locked("alpha", overrides=["beta>=2"])
    assert [found.version for found in lock.packages] == ["1.0", "2.0", "1.0"]
    (note,) = model.check()
    assert (note.code, note.severity) == ("lock-unchecked", "note")
    assert "pip-tools did not check the lock: it doesn't support overrides" in note.message
    model.holds(*lock.packages[:2])
    (finding,) = model.by_pip()
    assert finding.code == "lock-disagreement"
    assert finding.message == "according to pip, alpha requires gamma, which is not in the lock"
    delta = package(wheels.add("delta-1.0-py3-none-any.whl"))
    model.holds(*lock.packages, delta)
    (finding,) = model.by_pip()
    assert finding.message == "according to pip, nothing requires delta 1.0"
    model.holds(*lock.packages)
    wheels.add(gamma.name, content="x")
    (finding,) = model.by_pip()
    assert (finding.code, finding.where) == ("content-mismatch", FILE)


@pytest.mark.parametrize(
    ("requirement", "override", "locked"),
    [
        ("alpha", "beta==2.0", ["alpha", "beta"]),
        ("alpha", "beta==2.0; sys_platform == 'win32'", ["alpha"]),
        ("alpha", "gamma==1.0", ["alpha"]),
        ("alpha[gpu]", "gamma==1.0", ["alpha", "gamma"]),
        ("beta<2; sys_platform == 'win32'", "beta==2.0", ["beta"]),
    ],
)
def test_overrides_mean_what_they_mean_to_uv(model, wheels, requirement, override, locked):
    """uv drops the marker of what is overridden, but for its extra."""
    wheels.add(
        "alpha-1.0-py3-none-any.whl",
        "Provides-Extra: gpu",
        'Requires-Dist: beta<2; sys_platform == "win32"',
        'Requires-Dist: gamma; extra == "gpu" and sys_platform == "win32"',
    )
    wheels.add("beta-2.0-py3-none-any.whl")
    wheels.add("gamma-1.0-py3-none-any.whl")
    lock = model.locked(requirement, overrides=[override])
    assert [found.name for found in lock.packages] == locked
    assert model.by_pip() == []


def test_nothing_of_the_users_settings_reaches_pip(pair, wheels, tmp_path):
    wheels.add("beta-2.0-py3-none-any.whl")
    (tmp_path / "bounds.txt").write_text("beta==2.0")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/alpha-1.0-9-py3-none-any.whl").write_bytes(b"never opened")
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text(
        f"[global]\nconstraint = {tmp_path}/bounds.txt\nno-index = true\n"
    )
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/json.py").write_text("raise RuntimeError('from PYTHONPATH')")
    pair.environ |= {
        "PIP_CONSTRAINT": str(tmp_path / "bounds.txt"),
        "PIP_FIND_LINKS": str(tmp_path / "links"),
        "PIP_TARGET": str(tmp_path / "target"),
        "PIP_NO_INDEX": "1",
        "PIP_PRE": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_CONFIG_FILE": str(tmp_path / ".config/pip/pip.conf"),
        "PYTHONPATH": str(tmp_path / "modules"),
        "PIP_TOOLS_PRE": "1",
    }
    assert pair.by_pip() == []
    assert pair.by_pip_tools() == []
    assert not (tmp_path / "target").exists()


def test_what_an_index_owns_is_the_locks_wheel_wherever_else_it_is(
    wheels, uv, web, tmp_path, make_index
):
    """The same version, in the default index with other bytes, and newer, is never looked at."""
    own = make_index("own")
    for index, content in ((wheels, "public"), (own, "own")):
        index.add("torch-2.0-py3-none-any.whl", content=content)
    wheels.add("torch-3.0-py3-none-any.whl")
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: torch")
    sources = IndexSources(
        default=wheels.index,
        owners=(IndexOwner(index=own.index, patterns=("torch",)),),
    )
    view = lay_out(sources, tmp_path / "view", Projects(web))
    model = Model(view, uv, web, tmp_path)
    assert model.locked("alpha").packages[1].index == "own"
    assert model.by_pip() == []
    assert model.by_pip_tools() == []
    own.add("torch-2.0-py3-none-any.whl", content="changed")
    model.view = lay_out(sources, tmp_path / "again", Projects(web))
    (finding,) = model.by_pip()
    assert finding.code == "content-mismatch"


def test_a_folder_of_wheels_is_an_index_for_pip_too(wheels, uv, web, tmp_path, make_index):
    built = tmp_path / "built"
    built.mkdir()
    wheel = make_index("made").add("native-1.0-py3-none-any.whl", "Requires-Dist: beta")
    shutil.copy(wheel, built)
    wheels.add("native-1.0-py3-none-any.whl", content="another's")
    wheels.add("beta-1.0-py3-none-any.whl")
    owner = IndexOwner(index=folder_index("built", built), patterns=("native",))
    sources = IndexSources(default=wheels.index, owners=(owner,))
    model = Model(lay_out(sources, tmp_path / "view", Projects(web)), uv, web, tmp_path)
    assert [found.index for found in model.locked("native").packages] == ["default", "built"]
    assert model.by_pip() == []
    assert model.by_pip_tools() == []


def test_an_index_that_is_not_there_is_a_failed_fetch_and_no_disagreement(pair):
    pair.view = IndexView.of(PythonIndex(url="http://user:secret@127.0.0.1:9/simple"))
    with pytest.raises(EnvironmentFailureError) as caught:
        pair.check()
    assert caught.value.findings[0].code == "fetch-failed"
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_uv_that_does_not_start_is_a_failure_of_the_world(model, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl")
    model.locked("alpha", version=OTHER)
    model.uv = Uv("/nonexistent/uv", {})
    with pytest.raises(EnvironmentFailureError, match="can't list the Pythons of this machine"):
        model.check()
