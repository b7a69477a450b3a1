"""The example model: its files fit one another. (Training it needs its locked environment.)"""

import ast
import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from mpbuild_runtime import contract, request
from mpbuild_runtime.errors import RequestError

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture
def digits() -> contract.Contract:
    return contract.parse(tomllib.loads((DIGITS / "model.toml").read_text()))


def test_the_example_request_fits_the_io_of_the_example(digits: contract.Contract) -> None:
    asked = request.decode((DIGITS / "request.json").read_bytes(), digits)
    assert asked.inputs["pixels"].shape == (3, 64)
    assert asked.parameters == {"top_k": 3}
    assert asked.outputs == ("probabilities",)


def test_ink_darker_than_the_scale_is_refused(digits: contract.Contract) -> None:
    data = (DIGITS / "request.json").read_bytes().replace(b" 16,", b" 17,")
    with pytest.raises(RequestError, match=r"inputs\[0\]\.data: element 3 is 17\.0, above .* 16"):
        request.decode(data, digits)


def test_the_entry_point_is_a_class_in_the_sources(digits: contract.Contract) -> None:
    module, _, name = digits.entry_point.partition(":")
    source = (DIGITS / "src" / module.replace(".", "/")).with_suffix(".py").read_text()
    assert f"class {name}:" in source


def test_every_accelerator_of_the_spec_has_a_provider() -> None:
    spec = tomllib.loads((DIGITS / "model.toml").read_text())
    source = ast.parse((DIGITS / "src/digits/model.py").read_text())
    (providers,) = (
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PROVIDERS"
    )
    assert providers.keys() == spec["accelerators"].keys()


def test_what_the_step_reads_is_there_and_what_the_weights_name_it_makes() -> None:
    spec = tomllib.loads((DIGITS / "model.toml").read_text())
    (step,) = spec["steps"]
    (weights,) = spec["core"]["weights"]
    assert all((DIGITS / path).is_file() for path in step["inputs"])
    assert weights["step"] == step["name"]
    assert weights["output"] in step["outputs"]


class Session:
    """What ONNX Runtime is asked to open."""

    def __init__(self, weights, options, providers, enable_fallback) -> None:
        self.providers, self.entries = providers, options.entries
        self.enable_fallback = enable_fallback


class SessionOptions:
    """The entries of a session's configuration."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch):
    """``opened(accelerator)``: what the example asks of ONNX Runtime there."""
    runtime = ModuleType("onnxruntime")
    runtime.InferenceSession, runtime.SessionOptions = Session, SessionOptions
    runtime.preload_dlls = lambda: None
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    spec = importlib.util.spec_from_file_location("digits_model", DIGITS / "src/digits/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda accelerator: module.Model({"classifier": Path("w")}, accelerator)._session


@pytest.mark.parametrize("accelerator", ["cuda", "rocm"])
def test_an_accelerator_computes_all_or_nothing(opened, accelerator: str) -> None:
    session = opened(accelerator)
    assert len(session.providers) == 1
    assert session.entries == {"session.disable_cpu_ep_fallback": "1"}
    assert session.enable_fallback is False


def test_the_processor_is_requested_by_name(opened) -> None:
    session = opened("cpu")
    assert session.providers == ["CPUExecutionProvider"]
    # ONNX Runtime refuses a session on the processor that may not use the processor.
    assert session.entries == {}
