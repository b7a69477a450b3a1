"""A wheel that requires nothing and imports what no wheel brings is found, and no other is."""

import pytest

from mpbuild.audit.read_wheel_facts import ReadLimits
from mpbuild.audit.undeclared_imports import check
from mpbuild.audit.wheel_facts import ForeignImport

NAME = "demo-1.0-py3-none-any.whl"
OTHER = "numpy-2.0-py3-none-any.whl"


def imports(make, **files: str) -> dict[str, str]:
    """Tops that importing ``demo`` imports, and by which file."""
    paths = {f"{name.replace('__', '/')}.py": text.encode() for name, text in files.items()}
    paths["demo/__init__.py"] = paths.pop("demo.py")
    found = make.facts(make.wheel(NAME, paths)).imports
    return {one.top: one.by for one in found if not one.typing}


CERTAIN = {
    "import": "import numpy",
    "import of a submodule": "import os, numpy.linalg as la",
    "from": "from numpy import array",
    "after other statements": "x = 1\nimport numpy\n",
}
NOT_CERTAIN = {
    "under try": "try:\n    import numpy\nexcept ImportError:\n    numpy = None",
    "in a function": "def f():\n    import numpy",
    "in a class": "class C:\n    import numpy",
    "under a condition": "import sys\nif sys.version_info < (3, 9):\n    import numpy",
    "of the library": "import os, sys, json, distutils, asyncore, importlib.metadata",
    "of the future": "from __future__ import annotations",
    "its own": "import demo\nfrom demo import core\nfrom . import core\nfrom .core import x",
    "that can't be parsed": "import numpy\nthis is no Python",
    "with a null byte": "import numpy\0",
    "nested too deeply": "import numpy\nx = " + "(" * 5000 + ")" * 5000,
}


@pytest.mark.parametrize("how", CERTAIN)
def test_what_runs_on_import_counts(make, how):
    assert imports(make, demo=CERTAIN[how]) == {"numpy": "demo/__init__.py"}


@pytest.mark.parametrize("how", NOT_CERTAIN)
def test_what_may_never_run_does_not_count(make, how):
    assert imports(make, demo=NOT_CERTAIN[how]) == {}


def test_own_modules_are_followed_by_every_way_to_name_them(make):
    for line in (
        "import demo.core",
        "from . import core",
        "from .core import x",
        "from demo import core",
    ):
        assert imports(make, demo=line, demo__core="import third") == {"third": "demo/core.py"}


def test_modules_that_nothing_imports_are_not_looked_into(make):
    assert imports(make, demo="x = 1", demo__tools="import sympy") == {}


def test_a_package_on_the_way_is_imported_too(make):
    files = {
        "demo/__init__.py": b"from demo.a.b import c\n",
        "demo/a/__init__.py": b"import third\n",
    }
    files["demo/a/b.py"] = b""
    assert make.facts(make.wheel(NAME, files)).imports == (
        ForeignImport("third", "demo/a/__init__.py"),
    )


def test_modules_that_import_each_other_come_to_an_end(make):
    assert (
        imports(make, demo="from . import a", demo__a="from . import b", demo__b="from . import a")
        == {}
    )


def test_relative_names_that_lead_out_of_the_package_are_none(make):
    assert imports(make, demo="from .. import x\nfrom ...y import z\nfrom .... import q") == {}


def test_what_is_imported_for_type_checkers_is_distinguished(make):
    text = (
        "import typing\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import numpy as np\n    from typing_extensions import Self\n"
        "if typing.TYPE_CHECKING:\n    from pandas import Series\n"
    )
    found = make.facts(make.wheel(NAME, {"demo/__init__.py": text.encode()})).imports
    assert {(one.top, one.typing) for one in found} == {("numpy", True), ("pandas", True)}


def test_a_wheel_that_asks_for_anything_is_not_looked_into(make):
    files = {"demo/__init__.py": b"import numpy\n"}
    assert not make.facts(make.wheel(NAME, files, "Requires-Dist: packaging")).imports


def test_a_module_that_nobody_can_have_written_is_not_parsed(make):
    assert imports(make, demo="import numpy\n" + "#" * (1 << 20)) == {}


def test_modules_beyond_the_limit_are_counted(make):
    files = {
        "demo/__init__.py": b"from . import a, b\n",
        "demo/a.py": b"#" + b"x" * 9,
        "demo/b.py": b"",
    }
    found = make.facts(make.wheel(NAME, files), ReadLimits(0, 25))
    assert found.unparsed >= 1


# ---- the finding


def test_a_module_that_no_wheel_of_the_lock_brings_is_a_finding(make):
    demo = make.wheel(NAME, {"demo/__init__.py": b"import numpy\n"})
    (found,) = check(make.subject({NAME: demo}))
    assert found.code == "undeclared-dependency"
    assert found.packages == ("demo",)
    assert found.finding.where == "lockfiles/digits/pylock.cpu.toml: packages: demo"
    assert found.finding.message.startswith("demo/__init__.py of demo imports numpy")
    assert found.finding.severity == "error"
    assert "perhaps numpy" in found.finding.hint


def test_what_only_types_name_is_a_warning(make):
    demo = make.wheel(
        NAME, {"demo/__init__.py": b"import typing\nif typing.TYPE_CHECKING:\n    import numpy\n"}
    )
    (found,) = check(make.subject({NAME: demo}))
    assert found.finding.severity == "warning"
    assert "names types of numpy" in found.finding.message


@pytest.mark.parametrize(
    "path",
    ["numpy/__init__.py", "numpy.py", "numpy.cpython-311-x86_64-linux-gnu.so", "numpy.abi3.so",
     "numpy-2.0.data/purelib/numpy/x.py", "numpy/core/native.so"],
)  # fmt: skip
def test_another_wheel_of_the_lock_brings_it_in_any_form(make, path):
    demo = make.wheel(NAME, {"demo/__init__.py": b"import numpy\n"})
    other = make.wheel(OTHER, {path: b""})
    assert not list(check(make.subject({NAME: demo, OTHER: other})))
