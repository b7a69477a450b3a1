"""Published frameworks for CPU, CUDA and ROCm: pip comes to what uv locked, and locks are sound.

Nothing but metadata is read, unless the index gives neither these nor parts of wheels.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import pytest
from packaging.version import Version

from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.client import http_client
from mpbuild.effects.python import interpreters
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.indexes import find_index
from mpbuild.effects.python.uv import Uv, WheelPlatform
from mpbuild.formats import cuda
from mpbuild.formats.python import pylock
from mpbuild.locks import floors, python_inputs
from mpbuild.resolve import cross_check, joint_lock
from mpbuild.spec.environment import AcceleratorEnvironment, CudaEnvironment, RocmEnvironment

pytestmark = [pytest.mark.interop, pytest.mark.network]

SUITES = {"bookworm": "3.11", "trixie": "3.13"}
MODELS = {
    "onnxruntime": {
        "cpu": ("onnxruntime",),
        "cuda": ("onnxruntime-gpu[cuda,cudnn]",),
        "rocm": ("onnxruntime-migraphx",),
    },
    "jax": {
        "cpu": ("jax",),
        "cuda": ("jax[cuda13]",),
        "rocm": ("jax", "jax-rocm7-plugin", "jax-rocm7-pjrt"),
    },
    "torch": {"cuda": ("torch",)},
}
TABLES = {"cpu": AcceleratorEnvironment(), "cuda": CudaEnvironment(), "rocm": RocmEnvironment()}
CASES = [(suite, model) for suite in SUITES for model in MODELS]
EACH = [(suite, model, name) for suite, model in CASES for name in MODELS[model]]


class Locked(NamedTuple):
    """What a model's accelerators were resolved from, and the locks."""

    wanted: dict[str, python_inputs.PythonInputs]
    locks: dict[str, pylock.PythonLock]


@pytest.fixture(scope="module")
def uv() -> Uv:
    return Uv.find(os.environ)


@pytest.fixture(scope="module")
def view(uv) -> IndexView:
    found = IndexView.of(find_index(os.environ))
    try:
        uv.compile(["packaging"], WheelPlatform("3.11", (2, 36)), found)
    except EnvironmentFailureError as error:
        pytest.skip(f"no package index is within reach: {error}")
    return found


@pytest.fixture(scope="module")
def locked(uv, view):
    """``locked(suite, model)``: all are resolved together, before the first is asked for."""

    def lock(case) -> Locked:
        suite, model = case
        wanted = _wanted(suite, MODELS[model])
        views = dict.fromkeys(wanted, view)
        found = joint_lock.lock(
            wanted, views=views, uv=uv, web=http_client(os.environ), previous={}
        )
        return Locked(wanted, found)

    with ThreadPoolExecutor(4) as pool:
        waiting = {case: pool.submit(lock, case) for case in CASES}
        yield lambda *case: waiting[case].result()


@pytest.fixture(scope="module")
def asked(uv, view, locked):
    """``asked(suite, model, name)``: what pip has to say of one lock."""

    def ask(case):
        return cross_check.by_pip(question(uv, view, locked(*case[:2]), case[2]))

    with ThreadPoolExecutor(4) as pool:
        waiting = {case: pool.submit(ask, case) for case in EACH}
        yield lambda *case: waiting[case].result()


def _wanted(suite, requirements):
    union = [text for texts in requirements.values() for text in texts]
    return {
        name: python_inputs.inputs(
            texts,
            python=SUITES[suite],
            suite=suite,
            union=union if len(requirements) > 1 else (),
        )
        for name, texts in requirements.items()
    }


def question(uv, view, locked, name) -> cross_check.CrossCheck:
    return cross_check.CrossCheck(
        lock=locked.locks[name],
        wanted=locked.wanted[name],
        view=view,
        file=f"pylock.{name}.toml",
        uv=uv,
        environ=os.environ,
    )


@pytest.mark.parametrize(("suite", "model", "name"), EACH)
def test_pip_comes_to_what_was_locked(asked, suite, model, name):
    assert asked(suite, model, name) == []


@pytest.mark.parametrize(("suite", "model"), CASES)
def test_locks_ask_for_no_more_than_their_base_has(locked, suite, model):
    found = locked(suite, model)
    for name, lock in found.locks.items():
        wanted = found.wanted[name]
        assert floors.check(lock, wanted, TABLES[name], lock_file="lock", spec_file="spec") == []
        assert DottedVersion(lock.glibc) <= DottedVersion(wanted.glibc)
        assert lock.python == SUITES[suite]


@pytest.mark.parametrize(("suite", "model"), CASES)
def test_only_locks_for_cuda_bring_what_is_nvidias(locked, suite, model):
    for name, lock in locked(suite, model).locks.items():
        nvidia = [package.name for package in lock.packages if cuda.is_nvidia(package.name)]
        assert bool(nvidia) == (name == "cuda"), nvidia
        assert (lock.cuda is not None) == (name == "cuda")
    assert locked(suite, model).locks["cuda"].cuda >= DottedVersion("13.0")


@pytest.mark.parametrize(("suite", "model"), CASES)
def test_what_accelerators_share_is_one_wheel(locked, suite, model):
    locks = locked(suite, model).locks
    assert joint_lock.skew({f"pylock.{name}.toml": lock for name, lock in locks.items()}) == []


@pytest.mark.parametrize("suite", SUITES)
def test_jax_and_its_plugins_are_of_one_release(locked, suite):
    releases = {
        Version(package.version).release[:3]
        for lock in locked(suite, "jax").locks.values()
        for package in lock.packages
        if package.name.startswith("jax")
    }
    assert len(releases) == 1, releases


@pytest.mark.parametrize(("suite", "model"), CASES)
def test_every_wheel_of_a_lock_is_the_newest_kind_that_the_base_can_have(locked, suite, model):
    """A resolver that is told one platform tag only takes jax 0.4 and torch 2.6."""
    for lock in locked(suite, model).locks.values():
        versions = {package.name: DottedVersion(package.version) for package in lock.packages}
        assert versions.get("jax", DottedVersion("9")) >= DottedVersion("0.8")
        assert versions.get("torch", DottedVersion("9")) >= DottedVersion("2.10")


@pytest.mark.parametrize("suite", SUITES)
def test_pip_tools_comes_to_what_was_locked(uv, view, locked, python_path, suite):
    environ = os.environ | {"PATH": python_path}
    if interpreters.find(SUITES[suite], uv.binary, environ) is None:
        pytest.skip(f"this machine has no Python {SUITES[suite]}, which pip-tools runs on")
    asked = question(uv, view, locked(suite, "jax"), "cuda")
    assert cross_check.by_pip_tools(msgspec.structs.replace(asked, environ=environ)) == []
