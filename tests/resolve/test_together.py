"""The accelerators of a target are resolved as one: what they share is the same in all locks."""

import msgspec
import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.python.index_views import IndexView
from mpbuild.formats.python import pylock
from mpbuild.locks import python_inputs as resolution
from mpbuild.locks.skew import skew
from mpbuild.resolve import joint_lock


def inputs(**requirements: list[str]) -> dict[str, resolution.PythonInputs]:
    union = [text for texts in requirements.values() for text in texts]
    return {
        name: resolution.inputs(
            texts,
            python="3.11",
            suite="bookworm",
            union=union if len(requirements) > 1 else (),
        )
        for name, texts in requirements.items()
    }


@pytest.fixture
def lock(wheels, uv, web):
    def lock(previous=None, **requirements: list[str]) -> dict[str, pylock.PythonLock]:
        return joint_lock.lock(
            inputs(**requirements),
            views=dict.fromkeys(requirements, IndexView.of(wheels.index)),
            uv=uv,
            web=web,
            previous=previous or {},
        )

    return lock


@pytest.fixture
def frameworks(wheels):
    """Two builds of a framework; that for CUDA is a release behind with what both share."""
    wheels.add("fast-2.0-py3-none-any.whl", "Requires-Dist: shared")
    wheels.add("fast_gpu-1.0-py3-none-any.whl", "Requires-Dist: shared<2")
    for version in ("1.0", "1.5", "2.0"):
        wheels.add(f"shared-{version}-py3-none-any.whl")
    return wheels


def versions(locks: dict[str, pylock.PythonLock]) -> dict[str, dict[str, str]]:
    return {
        name: {package.name: package.version for package in lock.packages}
        for name, lock in locks.items()
    }


def texts(locks: dict[str, pylock.PythonLock]) -> dict[str, str]:
    return {name: pylock.write(lock) for name, lock in locks.items()}


def test_what_accelerators_share_has_one_version(lock, frameworks):
    locks = lock(cpu=["fast"], cuda=["fast-gpu"])
    assert versions(locks) == {
        "cpu": {"fast": "2.0", "shared": "1.5"},
        "cuda": {"fast-gpu": "1.0", "shared": "1.5"},
    }
    assert skew(locks) == []
    assert [lock.environment for lock in locks.values()] == ["cpu", "cuda"]


def test_an_accelerator_alone_takes_the_newest(lock, frameworks):
    assert versions(lock(cpu=["fast"])) == {"cpu": {"fast": "2.0", "shared": "2.0"}}


def test_each_lock_holds_only_what_its_accelerator_needs(lock, wheels):
    for name in ("alpha", "beta", "gamma"):
        wheels.add(f"{name}-1.0-py3-none-any.whl")
    found = versions(lock(cpu=["alpha", "beta"], cuda=["alpha", "gamma"], rocm=["alpha"]))
    assert {name: list(packages) for name, packages in found.items()} == {
        "cpu": ["alpha", "beta"],
        "cuda": ["alpha", "gamma"],
        "rocm": ["alpha"],
    }


def test_locking_again_changes_no_byte_even_after_a_new_release(lock, frameworks):
    first = lock(cpu=["fast"], cuda=["fast-gpu"])
    assert texts(lock(first, cpu=["fast"], cuda=["fast-gpu"])) == texts(first)
    frameworks.add("fast-3.0-py3-none-any.whl", "Requires-Dist: shared")
    frameworks.add("shared-1.6-py3-none-any.whl")
    frameworks.add("shared-1.5-cp311-cp311-manylinux_2_28_x86_64.whl")
    assert texts(lock(first, cpu=["fast"], cuda=["fast-gpu"])) == texts(first)


def test_the_order_of_accelerators_changes_no_byte(lock, frameworks):
    assert texts(lock(cuda=["fast-gpu"], cpu=["fast"])) == texts(
        lock(cpu=["fast"], cuda=["fast-gpu"])
    )


def test_a_new_accelerator_keeps_the_pins_of_the_others(lock, frameworks):
    alone = lock(cpu=["fast", "shared<1.5"])
    frameworks.add("fast-3.0-py3-none-any.whl", "Requires-Dist: shared")
    locks = lock(alone, cpu=["fast", "shared<1.5"], cuda=["fast-gpu"])
    assert versions(locks)["cpu"] == versions(alone)["cpu"]
    assert versions(locks)["cuda"]["shared"] == "1.0"


def test_a_new_accelerator_takes_the_wheel_that_another_has(lock, wheels):
    wheels.add("shared-1.0-py3-none-any.whl")
    alone = lock(cpu=["shared"])
    wheels.add("shared-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    locks = lock(alone, cpu=["shared"], cuda=["shared"])
    assert locks["cuda"].packages == alone["cpu"].packages


def test_what_another_accelerator_adds_changes_the_inputs_of_all():
    one, more = inputs(cpu=["a"], cuda=["b"]), inputs(cpu=["a"], cuda=["b", "c"])
    assert one["cpu"].digest != more["cpu"].digest
    assert one["cpu"].digest == inputs(cuda=["b"], cpu=["a"])["cpu"].digest
    assert one["cpu"].digest != inputs(cpu=["a"])["cpu"].digest


def test_frameworks_that_exclude_each_other_are_named_with_the_reason(lock, wheels):
    wheels.add("fast-1.0-py3-none-any.whl", "Requires-Dist: shared>=2")
    wheels.add("fast_gpu-1.0-py3-none-any.whl", "Requires-Dist: shared<2")
    for version in ("1.0", "2.0"):
        wheels.add(f"shared-{version}-py3-none-any.whl")
    with pytest.raises(InputError, match="cpu, cuda are incompatible") as caught:
        lock(cpu=["fast"], cuda=["fast-gpu"])
    (finding,) = caught.value.findings
    assert finding.code == "spec-invalid"
    assert "shared<2" in finding.message
    assert "compatible versions" in finding.hint


def test_an_accelerator_without_a_solution_of_its_own_is_the_one_that_is_named(lock, wheels):
    wheels.add("fast-1.0-py3-none-any.whl")
    wheels.add("fast_gpu-1.0-py3-none-any.whl")
    with pytest.raises(InputError, match=r"fast-gpu==1\.0 is available") as caught:
        lock(cpu=["fast"], cuda=["fast-gpu>=2"])
    assert caught.value.findings[0].where == "accelerators.cuda"
    assert "are incompatible" not in str(caught.value)


def test_an_extra_that_is_missing_is_an_error_of_its_accelerator(lock, wheels):
    wheels.add("fast-1.0-py3-none-any.whl")
    with pytest.raises(InputError, match="does not have an extra named") as caught:
        lock(cpu=["fast"], rocm=["fast[rocm]"])
    assert caught.value.findings[0].where == "accelerators.rocm"


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_a_file_that_changed_is_an_alarm_whichever_lock_had_it(lock, wheels, accelerator):
    wheels.add("shared-1.0-py3-none-any.whl")
    first = lock(cpu=["shared"], cuda=["shared"])
    (package,) = first[accelerator].packages
    other = msgspec.structs.replace(package.wheel, sha256=Digest.of(b"other"))
    first[accelerator] = msgspec.structs.replace(
        first[accelerator], packages=(msgspec.structs.replace(package, wheel=other),)
    )
    with pytest.raises(InputError, match="the index now has") as caught:
        lock(first, cpu=["shared"], cuda=["shared"])
    assert caught.value.findings[0].code == "content-mismatch"


def test_skew_names_the_package_and_both_versions(lock, wheels):
    for version in ("1.0", "2.0"):
        wheels.add(f"shared-{version}-py3-none-any.whl")
    locks = {
        "pylock.cpu.toml": lock(cpu=["shared<2"])["cpu"],
        "pylock.cuda.toml": lock(cuda=["shared"])["cuda"],
    }
    (finding,) = skew(locks)
    assert (finding.code, finding.where) == ("lock-drift", "pylock.cuda.toml")
    assert finding.message == "shared is 1.0 for cpu and 2.0 for cuda, but they must agree"
    assert finding.hint == "run `mpbuild lock`"


def test_another_wheel_of_one_version_is_skew(lock, wheels):
    wheels.add("shared-1.0-py3-none-any.whl")
    cpu = lock(cpu=["shared"])["cpu"]
    wheels.add("shared-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    (finding,) = skew({"a": cpu, "b": lock(cuda=["shared"])["cuda"]})
    assert "shared-1.0-py3-none-any.whl" in finding.message
    assert "for cpu and shared-1.0-cp311-cp311-manylinux_2_28_x86_64.whl" in finding.message


def test_a_lock_of_many_holds_no_address(lock, frameworks):
    for text in texts(lock(cpu=["fast"], cuda=["fast-gpu"])).values():
        assert "://" not in text
        assert str(frameworks.folder) not in text
