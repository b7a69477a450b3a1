"""The locks of a target with several accelerators, looked at offline."""

import pytest

from mpbuild.app.locks import check, environments, read_locks
from mpbuild.app.workspace import OpenWorkspace
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.formats import deblock, pylock

WORKSPACE = """\
schema_version = 1
[workspace]
name = "tests"
[bases.bookworm]
suite = "bookworm"
packages = ["python3.11-minimal"]
"""
MODEL = """\
schema_version = 1
[package]
name = "tiny"
version = "1.0.0"
summary = "As small as a model can be."
owners = ["nobody"]
license = "Apache-2.0"
[core]
version = "1.0.0"
task = "nothing"
format = "raw"
entry_point = "tiny:Model"
sources = ["tiny.py"]
[io]
version = "1.0.0"
inputs = [{ name = "x", datatype = "FP32", shape = [1] }]
outputs = [{ name = "y", datatype = "FP32", shape = [1] }]
[environment]
version = "1.0.0"
python = "3.11"
base = "bookworm"
dependencies = ["shared"]
[environments.train]
dependencies = ["trainer"]
"""
CPU = '[accelerators.cpu]\ndependencies = ["fast"]\n'
CUDA = '[accelerators.cuda]\ndependencies = ["fast-gpu"]\n'
PACKAGES = {
    "cpu": {"fast": "1.0", "shared": "2.0"},
    "cuda": {"fast-gpu": "1.0", "nvidia-cuda-runtime": "13.5.37", "shared": "2.0"},
    "train": {"trainer": "1.0"},
}


def package(name: str, version: str) -> pylock.PythonPackage:
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    wheel = pylock.Wheel(filename=filename, sha256=Digest.of(filename.encode()), size=1)
    return pylock.PythonPackage(name=name, version=version, wheel=wheel)


def write(folder, *tables: str) -> OpenWorkspace:
    (folder / "a").mkdir(exist_ok=True)
    (folder / "mpbuild.toml").write_text(WORKSPACE)
    (folder / "a/model.toml").write_text(MODEL + "".join(tables))
    return OpenWorkspace(folder)


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


def test_locks_that_answer_to_the_spec_are_read(tmp_path):
    lock(write(tmp_path, CPU, CUDA))
    locks = read_locks(OpenWorkspace(tmp_path).target(Label("//a")))
    assert list(locks.locks) == ["cpu", "cuda", "train"]


def test_the_order_of_accelerators_in_the_spec_does_not_matter(tmp_path):
    lock(write(tmp_path, CPU, CUDA))
    assert told(write(tmp_path, CUDA, CPU)) == {}


def test_what_one_accelerator_adds_is_drift_of_all_accelerators_and_no_step(tmp_path):
    lock(write(tmp_path, CPU, CUDA))
    more = CUDA.replace('"fast-gpu"', '"fast-gpu", "faster"')
    assert told(write(tmp_path, CPU, more)) == {
        "lockfiles/a/pylock.cpu.toml": [
            "the spec has changed since it was locked: all accelerators are locked together"
        ],
        "lockfiles/a/pylock.cuda.toml": ["faster is not in it"],
    }


def test_a_new_accelerator_is_drift_of_the_others(tmp_path):
    lock(write(tmp_path, CPU))
    found = told(write(tmp_path, CPU, CUDA))
    assert found["lockfiles/a/pylock.cuda.toml"] == ["there is no lock"]
    assert "locked together" in found["lockfiles/a/pylock.cpu.toml"][0]


def test_locks_that_were_made_apart_are_refused(tmp_path):
    apart = PACKAGES | {"cuda": PACKAGES["cuda"] | {"shared": "1.0"}}
    lock(write(tmp_path, CPU, CUDA), apart)
    message = "shared is 2.0 for cpu and 1.0 for cuda, and they must agree"
    assert told(OpenWorkspace(tmp_path)) == {"lockfiles/a/pylock.cuda.toml": [message]}


def test_steps_may_have_versions_of_their_own(tmp_path):
    lock(write(tmp_path, CPU, CUDA), PACKAGES | {"train": {"shared": "1.0", "trainer": "1.0"}})
    assert told(OpenWorkspace(tmp_path)) == {}


def test_nvidia_in_the_lock_of_cpu_is_refused(tmp_path):
    lock(write(tmp_path, CPU), PACKAGES | {"cpu": PACKAGES["cpu"] | {"nvidia-nccl-cu12": "2.30"}})
    (messages,) = told(OpenWorkspace(tmp_path)).values()
    assert messages == ["the dependencies of cpu bring nvidia-nccl-cu12 2.30"]


@pytest.mark.parametrize(("driver", "good"), [(">=580", True), (">=570.10", False)])
def test_the_driver_that_a_spec_requires_must_do_for_its_lock(tmp_path, driver, good):
    lock(write(tmp_path, CPU, CUDA))
    found = told(write(tmp_path, CPU, f'{CUDA}requires.driver = "{driver}"\n'))
    message = "accelerators.cuda.requires.driver is >=570.10, and CUDA 13.5 of the lock needs 580"
    assert found == ({} if good else {"a/model.toml": [message]})


def test_reading_refuses_what_checking_tells(tmp_path):
    lock(write(tmp_path, CPU, CUDA))
    write(tmp_path, CPU, f'{CUDA}requires.compute_capability = ">=7.0"\n')
    with pytest.raises(InputError, match=r"CUDA 13\.5 of the lock needs 7\.5") as caught:
        read_locks(OpenWorkspace(tmp_path).target(Label("//a")))
    assert caught.value.findings[0].code == "spec-invalid"
