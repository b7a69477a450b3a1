"""Which versions an environment asks for, and which wheels of a folder serve it."""

from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from mpbuild.app.lock.build_wheels import BuildSite, specifiers
from mpbuild.app.lock.lock_files import LockEnvironment
from mpbuild.effects.python.index_views import IndexSources
from mpbuild.locks import debian_lock
from mpbuild.locks.python_inputs import inputs
from mpbuild.spec.workspace import Base


def environment(*requirements, python="3.11", suite="bookworm", **bounds):
    base = Base(suite=suite, packages=("python3",))
    return LockEnvironment(
        name="cpu",
        accelerator=None,
        base=base,
        python=inputs(requirements, python=python, suite=suite, **bounds),
        debian=debian_lock.inputs(base.suite, base.packages),
        root=Path(),
        folder=Path(),
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (environment("numpy<2"), ""),
        (environment("Thing>1", "thing<3"), ">1,<3"),
        (environment("thing>1", constraints=["thing!=2"]), ">1,!=2"),
        (environment("thing>1", union=["thing>1", "thing<4"]), ">1,<4"),
        (environment("thing>1", overrides=["thing==1"]), "==1"),
        (environment("thing>1; python_version < '3.11'", "thing<3; os_name == 'posix'"), "<3"),
    ],
)
def test_all_that_bounds_a_package_counts(found, expected):
    assert specifiers(found, "thing") == SpecifierSet(expected)


@pytest.mark.parametrize(
    ("filename", "wanted", "serves"),
    [
        ("thing-1.0-py3-none-any.whl", "", True),
        ("Thing-1.0-py3-none-any.whl", "", True),
        ("thing-1.0-cp311-cp311-linux_x86_64.whl", "", True),
        ("thing-1.0-cp311-cp311-manylinux_2_36_x86_64.whl", "", True),
        ("thing-1.0-cp311-cp311-manylinux_2_39_x86_64.whl", "", False),
        ("thing-1.0-cp313-cp313-linux_x86_64.whl", "", False),
        ("thing-1.0-py3-none-any.whl", ">1", False),
        ("thing-2.0rc1-py3-none-any.whl", ">1", True),
        ("thing_two-1.0-py3-none-any.whl", "", False),
        ("thing.whl", "", False),
        (".thing-1.0-py3-none-any.whl.part", "", False),
    ],
)
def test_a_folder_serves_with_wheels_that_fit(tmp_path, filename, wanted, serves):
    (tmp_path / filename).touch()
    bench = BuildSite(environment("thing"), IndexSources(), tmp_path)
    assert bench.has("thing", SpecifierSet(wanted)) is serves


def test_a_folder_that_is_not_there_yet_serves_with_nothing(tmp_path):
    bench = BuildSite(environment("thing"), IndexSources(), tmp_path / "absent")
    assert not bench.has("thing", SpecifierSet())
