"""Every TOML table that the documents show is one that mpbuild accepts."""

import re
from pathlib import Path

import pytest

from mpbuild.spec.read import read_model, read_workspace
from mpbuild.spec.workspace import Workspace

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^\[+([a-z_]+)", re.MULTILINE)


def tables():
    for path in sorted(ROOT.glob("docs/*.md")):
        text = path.read_text()
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            yield pytest.param(block[1], id=f"{path.name}:{line}")


@pytest.mark.parametrize("text", list(tables()))
def test_a_table_of_the_documents_is_accepted(text, smallest_workspace, smallest_model):
    if set(TABLE.findall(text)) <= set(Workspace.__struct_fields__):
        read_workspace(f"{smallest_workspace}\n{text}", file="mpbuild.toml")
        return
    workspace = read_workspace(smallest_workspace, file="mpbuild.toml")
    model = f"{smallest_model}\n[accelerators.cpu]\n{text}"
    read_model(model, file="model.toml", folder="a", workspace=workspace)
