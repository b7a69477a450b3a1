"""The example with bytecode in its image: the same predictions, and nothing else is another."""

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
SPEC = "examples/digits/model.toml"


@pytest.fixture
def compiled(digits, workspace):
    """A workspace whose spec asks for bytecode."""
    spec = workspace / SPEC
    text = spec.read_text()
    assert "compile_bytecode" not in text
    spec.write_text(text.replace("[environment]\n", "[environment]\ncompile_bytecode = true\n"))
    return digits.mpbuild._replace(workspace=workspace)


def test_bytecode_is_a_layer_more_and_predicts_the_same(digits, compiled):
    answer = compiled.build()
    names = {name.rpartition(":")[0] or name for name in answer.ran}
    assert names == {"bytecode", "layer:bytecode", "layer:spec and locks"}
    assert answer.target["hermetic"] is True
    before, after = digits.layers(digits.digest), digits.layers(answer.digest)
    assert after.keys() - before.keys() == {"bytecode"}
    assert {title for title in before if before[title] != after[title]} == {"spec and locks"}
    files = [digits.layers(digest, "pex") for digest in (digits.digest, answer.digest)]
    assert files[0].keys() == files[1].keys(), "a PEX is compiled where it runs"
    request = digits.request.read_bytes()
    plain, faster = (compiled("run", d, stdin=request) for d in (digits.digest, answer.digest))
    assert (plain.code, faster.code) == (0, 0), plain.err + faster.err
    assert faster.json == plain.json


@pytest.mark.soak
def test_compiled_again_it_is_the_same(digits, compiled, tmp_path):
    layout = tmp_path / "layout"
    digest = compiled.build("--output", layout).digest
    alone = compiled._replace(workspace=tmp_path, store=tmp_path / "store")
    answer = alone("reproduce", layout, "--rebuild", "--offline")
    assert answer.code == 0, answer.err
    assert answer.json["digest"] == digest
    assert answer.json["steps"] == {"checked": 4, "matched": 4}
