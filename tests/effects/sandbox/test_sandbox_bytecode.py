"""Bytecode, made and used in a sandbox by the Python of the environment."""

import importlib.util
import marshal
import os
import sys
from pathlib import Path

import msgspec
import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import AnswerError
from mpbuild.derive.layers import derive_layer as derive_layers
from mpbuild.derive.layers.layer_plan import BYTECODE, LayerPlan
from mpbuild.effects.sandbox.host_executor import HostExecutor
from mpbuild.effects.sandbox.sandbox import SandboxSpec
from mpbuild.effects.sandbox.step_executor import StepExecutor
from mpbuild.effects.store.unpacker import Unpacker
from mpbuild_rules import bytecode

PYTHON = "{}.{}".format(*sys.version_info)
TAG = sys.implementation.cache_tag
LIBRARY = f"usr/lib/python{PYTHON}"
SITE = f"opt/venv/lib/python{PYTHON}/site-packages"
MINUTE_MS = 60_000


@pytest.fixture
def environment(layers, tmp_path) -> tuple[Path, ...]:
    """The layers of an environment: Python, and one with a virtual environment and wheels."""
    wheels = tmp_path / "wheels"
    (wheels / "opt/venv/bin").mkdir(parents=True)
    (wheels / "opt/venv/bin/python").symlink_to("/usr/bin/python3")
    (wheels / "opt/venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    for path, source in {
        f"{LIBRARY}/added.py": "from json import loads\n",
        f"{SITE}/demo/__init__.py": "import added\nanswer = added.loads('42')\n",
        f"{SITE}/demo/template.py": "{{ no Python }}",
        f"{SITE}/demo/{'deep/' * 30}__init__.py": "",
        f"{SITE}/ümlaut/ä.py": "",
    }.items():
        place = wheels / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(source)
    return (*layers, wheels)


@pytest.fixture
def action(store, environment):
    """The action that compiles ``environment``."""
    diff_ids = tuple(Digest.of(str(folder).encode()) for folder in environment)
    for diff_id, folder in zip(diff_ids, environment, strict=True):
        store.tree(diff_id).symlink_to(folder)
    return msgspec.structs.replace(bytecode.rule("cpu", PYTHON, ()).action, root=diff_ids)


@pytest.mark.sandbox
@pytest.mark.skipif(PYTHON not in ("3.11", "3.13"), reason=f"no base has Python {PYTHON}")
def test_an_environment_starts_from_its_own_bytecode(sandbox, store, action, environment, tmp_path):
    executor = StepExecutor(sandbox, store)
    output = executor.run(action, MINUTE_MS).outputs["bytecode.tar"]
    assert _on_one_processor(executor, action) == output

    plan = LayerPlan(
        rule=BYTECODE,
        title="bytecode",
        inputs={"bytecode.tar": output.digest},
        parameters={"python": PYTHON},
    )
    tree = tmp_path / "bytecode"
    with store.mapped(output.digest) as data:
        assert derive_layers.derive(plan, {"bytecode.tar": data}).layer.diff_id == output.digest
        with Unpacker(tree) as unpacker:
            for _ in derive_layers.unpack(plan, {"bytecode.tar": data}, unpacker):
                pass

    compiled = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*.pyc")}
    # The standard library of this machine may have bytecode already.
    assert {path for path in compiled if path.startswith(SITE) or "added" in path} == {
        f"{LIBRARY}/__pycache__/added.{TAG}.pyc",
        f"{SITE}/demo/__pycache__/__init__.{TAG}.pyc",
        f"{SITE}/demo/{'deep/' * 30}__pycache__/__init__.{TAG}.pyc",
        f"{SITE}/ümlaut/__pycache__/ä.{TAG}.pyc",
    }
    for path, file in compiled.items():
        _check(path, file.read_bytes(), environment)

    done = sandbox.run(
        SandboxSpec(
            layers=(*environment, tree),
            command=("python", "-v", "-c", "import demo; print(demo.answer)"),
            environment=action.environment,
        )
    )
    log = done.log.decode()
    assert done.succeeded, log
    for path in (f"{LIBRARY}/__pycache__/added", f"{SITE}/demo/__pycache__/__init__"):
        assert f"code object from '/{path}.{TAG}.pyc'" in log
    assert "\n42\n" in log


def _on_one_processor(executor, action):
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        return executor.run(action, MINUTE_MS).outputs["bytecode.tar"]
    finally:
        os.sched_setaffinity(0, processors)


def _check(path, pyc, environment):
    """Asserts that it is the bytecode of the source next to it, for this Python."""
    folder, _, name = path.partition("/__pycache__/")
    module = f"{folder}/{name.removesuffix(f'.{TAG}.pyc')}.py"
    (source,) = (place / module for place in environment if (place / module).is_file())
    assert pyc[:8] == importlib.util.MAGIC_NUMBER + b"\1\0\0\0"
    assert pyc[8:16] == importlib.util.source_hash(source.read_bytes())
    assert marshal.loads(pyc[16:]).co_filename == f"/{module}"


def test_without_a_sandbox_no_bytecode_of_the_host_gets_in(store, action, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / f"bin/python{PYTHON}").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(AnswerError, match="bytecode is made by /opt/venv/bin/python of an image"):
        HostExecutor(store).run(action, MINUTE_MS)
