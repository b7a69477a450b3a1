"""The locks of a target with several accelerators, looked at offline."""

import pytest

from mpbuild.app.lock.lock_files import check, environments, read_locks
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock

TABLES = 'dependencies = ["shared"]\n[environments.train]\ndependencies = ["trainer"]\n'
CPU = '[accelerators.cpu]\ndependencies = ["fast"]\n'
CUDA = '[accelerators.cuda]\ndependencies = ["fast-gpu"]\n'
PACKAGES = {
    "cpu": {"fast": "1.0", "shared": "2.0"},
    "cuda": {"fast-gpu": "1.0", "nvidia-cuda-runtime": "13.5.37", "shared": "2.0"},
    "train": {"trainer": "1.0"},
}


def package(name: str, version: str) -> pylock.PythonPackage:
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    wheel = pylock.LockedWheel(filename=filename, sha256=Digest.of(filename.encode()), size=1)
    return pylock.PythonPackage(name=name, version=version, wheel=wheel)


@pytest.fixture
def write(tmp_path, smallest_workspace, smallest_model):
    """``write(*tables)``: a workspace whose spec has these tables beside the others."""

    def write(*tables: str) -> OpenWorkspace:
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "mpbuild.toml").write_text(smallest_workspace)
        (tmp_path / "a/model.toml").write_text("".join([smallest_model, TABLES, *tables]))
        return OpenWorkspace(tmp_path)

    return write


def lock(workspace: OpenWorkspace, packages: dict[str, dict[str, str]] = PACKAGES) -> None:
    """Write locks of these packages that answer to the spec."""
    python_deb = deblock.DebianPackage(
        name="python3.11-minimal",
        version="3.11.2-6",
        architecture="amd64",
        base=True,
        path="pool/main/p/python3.11/python3.11-minimal_3.11.2-6_amd64.deb",
        sha256=Digest.of(b""),
        size=1,
    )
    for environment in environments(workspace.target(Label("//a"))):
        environment.folder.mkdir(parents=True, exist_ok=True)
        wheels = sorted(packages[environment.name].items())
        python = pylock.PythonLock(
            environment=environment.name,
            python="3.11",
            resolution=environment.python.digest,
            resolver="uv 0.13.9",
            packages=tuple(package(name, version) for name, version in wheels),
        )
        debian = deblock.DebianLock(
            environment=environment.name,
            suite="bookworm",
            architecture="amd64",
            resolution=environment.debian.digest,
            packages=(python_deb,),
        )
        environment.python_file.write_text(pylock.write(python))
        environment.debian_file.write_text(deblock.write(debian))


def told(workspace: OpenWorkspace) -> dict[str, list[str]]:
    """Messages by place."""
    found: dict[str, list[str]] = {}
    for finding in check(workspace.target(Label("//a"))):
        found.setdefault(finding.where, []).append(finding.message)
    return found


def test_locks_that_answer_to_the_spec_are_read(tmp_path, write):
    lock(write(CPU, CUDA))
    locks = read_locks(OpenWorkspace(tmp_path).target(Label("//a")))
    assert list(locks.locks) == ["cpu", "cuda", "train"]


def test_the_order_of_accelerators_in_the_spec_does_not_matter(write):
    lock(write(CPU, CUDA))
    assert told(write(CUDA, CPU)) == {}


def test_what_one_accelerator_adds_is_drift_of_all_accelerators_and_no_step(write):
    lock(write(CPU, CUDA))
    more = CUDA.replace('"fast-gpu"', '"fast-gpu", "faster"')
    assert told(write(CPU, more)) == {
        "lockfiles/a/pylock.cpu.toml": [
            "the spec has changed since it was locked: all accelerators are locked together"
        ],
        "lockfiles/a/pylock.cuda.toml": ["the lock lacks faster"],
    }


def test_a_new_accelerator_is_drift_of_the_others(write):
    lock(write(CPU))
    found = told(write(CPU, CUDA))
    assert found["lockfiles/a/pylock.cuda.toml"] == ["there is no lock"]
    assert "locked together" in found["lockfiles/a/pylock.cpu.toml"][0]


def test_locks_that_were_made_apart_are_refused(tmp_path, write):
    apart = PACKAGES | {"cuda": PACKAGES["cuda"] | {"shared": "1.0"}}
    lock(write(CPU, CUDA), apart)
    message = "shared is 2.0 for cpu and 1.0 for cuda, but they must agree"
    assert told(OpenWorkspace(tmp_path)) == {"lockfiles/a/pylock.cuda.toml": [message]}


def test_steps_may_have_versions_of_their_own(tmp_path, write):
    lock(write(CPU, CUDA), PACKAGES | {"train": {"shared": "1.0", "trainer": "1.0"}})
    assert told(OpenWorkspace(tmp_path)) == {}


def test_nvidia_in_the_lock_of_cpu_is_refused(tmp_path, write):
    lock(write(CPU), PACKAGES | {"cpu": PACKAGES["cpu"] | {"nvidia-nccl-cu12": "2.30"}})
    (messages,) = told(OpenWorkspace(tmp_path)).values()
    assert messages == ["the dependencies of cpu include nvidia-nccl-cu12 2.30"]


@pytest.mark.parametrize(("driver", "good"), [(">=580", True), (">=570.10", False)])
def test_the_driver_that_a_spec_requires_must_do_for_its_lock(write, driver, good):
    lock(write(CPU, CUDA))
    found = told(write(CPU, f'{CUDA}requires.driver = "{driver}"\n'))
    message = "accelerators.cuda.requires.driver is >=570.10, but CUDA 13.5 of the lock needs 580"
    assert found == ({} if good else {"a/model.toml": [message]})


def test_reading_refuses_what_checking_tells(tmp_path, write):
    lock(write(CPU, CUDA))
    write(CPU, f'{CUDA}requires.compute_capability = ">=7.0"\n')
    with pytest.raises(InputError, match=r"CUDA 13\.5 of the lock needs 7\.5") as caught:
        read_locks(OpenWorkspace(tmp_path).target(Label("//a")))
    assert caught.value.findings[0].code == "spec-invalid"
