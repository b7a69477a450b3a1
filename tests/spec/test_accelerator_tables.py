"""[accelerators]: each has its own table, and nothing of another's."""

from collections.abc import Callable
from typing import Any

import pytest

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import Finding
from mpbuild.spec.environment import AcceleratorEnvironment, CudaEnvironment, RocmEnvironment
from mpbuild.spec.read import read_model
from mpbuild.spec.schema import json_schema
from mpbuild.spec.workspace import Workspace

Read = Callable[[str], tuple[Finding, ...]]

ALL = """
[accelerators.cuda]
dependencies = ["onnxruntime-gpu[cuda,cudnn]>=1.20"]
requires = { driver = ">=525.60.13", compute_capability = ">=7.5", memory = "2GiB" }
never_loaded = ["package/plugins/libplugin.so"]

[accelerators.rocm]
requires = { gfx = ["gfx90a", "gfx1100"], libraries = ["libamdhip64.so.7"] }
"""


def test_every_accelerator_has_its_own_table(model_text: str, workspace: Workspace) -> None:
    model = read_model(model_text + ALL, file="model.toml", folder="a", workspace=workspace)
    cpu, cuda, rocm = (model.accelerators[name] for name in Accelerator)
    assert type(cpu) is AcceleratorEnvironment
    assert isinstance(cuda, CudaEnvironment)
    assert isinstance(rocm, RocmEnvironment)
    assert cuda.requires.driver == DottedVersion("525.60.13")
    assert cuda.requires.compute_capability == DottedVersion("7.5")
    assert cuda.requires.memory == 2 << 30
    assert cuda.never_loaded == ("package/plugins/libplugin.so",)
    assert rocm.requires.gfx == ("gfx90a", "gfx1100")
    assert rocm.requires.libraries == ("libamdhip64.so.7",)


@pytest.mark.parametrize("name", ["cuda", "rocm"])
def test_requirements_may_be_left_out(name: str, model_text: str, findings_of_model: Read) -> None:
    assert findings_of_model(f"{model_text}\n[accelerators.{name}]\n") == ()


WRONG = [
    ("cpu", "requires = {}", "unknown key accelerators.cpu.requires", "dependencies, never_"),
    ("cuda", 'requires.gfx = ["gfx90a"]', "unknown key accelerators.cuda.requires.gfx", "driver"),
    ("rocm", 'requires.driver = ">=1"', "unknown key accelerators.rocm.requires.driver", "gfx"),
    ("cuda", 'require.driver = ">=1"', "accelerators.cuda.require; did you mean requires?", ""),
    ("cuda", 'requires.driver = "580"', "not a minimum driver version: '580'", ">=580"),
    ("cuda", "requires.driver = 580", "expected a minimum driver version, found 580", ""),
    ("cuda", 'requires.driver = ">=580.1.2.3"', "not a minimum driver version", ""),
    ("cuda", 'requires.driver = ">580"', "not a minimum driver version", ""),
    ("cuda", 'requires.compute_capability = ">=8"', "not a minimum compute capability", ">=7.5"),
    ("cuda", 'requires.memory = "2 GB"', "requires.memory: not a positive size", "GiB"),
    ("cuda", 'requires.memory = "0GiB"', "requires.memory: not a positive size", "GiB"),
    ("rocm", 'requires.gfx = ["90a"]', "requires.gfx[0]: not an AMD processor", "gfx90a"),
    ("rocm", 'requires.gfx = ["gfx90a", "gfx90a"]', "gfx[1]: duplicate 'gfx90a'", ""),
    ("rocm", 'requires.libraries = ["/lib/a.so"]', "not a shared object name", "libamdhip"),
    ("rocm", 'requires.libraries = ["liba"]', "not a shared object name", "its version"),
    (
        "cuda",
        'never_loaded = ["/a.so"]',
        "never_loaded[0]: '/a.so' is absolute",
        "inside the wheel",
    ),
    ("cuda", 'never_loaded = ["../a.so"]', "never_loaded[0]: '../a.so'", "inside the wheel"),
]


@pytest.mark.parametrize(("name", "line", "message", "hint"), WRONG)
def test_a_wrong_requirement_is_reported(
    name: str, line: str, message: str, hint: str, model_text: str, findings_of_model: Read
) -> None:
    table = "[accelerators.cpu]"
    if name == "cpu":
        text = model_text.replace(table, f"{table}\n{line}")
    else:
        text = f"{model_text}\n[accelerators.{name}]\n{line}\n"
    (finding,) = findings_of_model(text)
    assert finding.code == "spec-invalid"
    assert message in finding.message
    assert hint in finding.hint


def test_an_accelerator_that_nobody_knows_gets_the_nearest(
    model_text: str, findings_of_model: Read
) -> None:
    (finding,) = findings_of_model(f"{model_text}\n[accelerators.cudaa]\n")
    assert finding.message == "accelerators.cudaa: 'cudaa' is not one of cpu, cuda, rocm"
    assert finding.hint == "did you mean cuda?"


def test_the_schema_knows_which_key_belongs_to_which() -> None:
    tables: dict[str, Any] = json_schema("model")["properties"]["accelerators"]["properties"]
    required = {
        name: set(table["properties"]["requires"]["properties"])
        for name, table in tables.items()
        if "requires" in table["properties"]
    }
    assert list(tables) == ["cpu", "cuda", "rocm"]
    assert required == {
        "cuda": {"driver", "compute_capability", "memory", "libraries"},
        "rocm": {"gfx", "memory", "libraries"},
    }
