"""The example on Debian 13 and Python 3.13: the same sources, the same answer."""

from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
TARGET = "//examples/digits-trixie"


class Built(NamedTuple):
    """The package, and the folder with its layout."""

    digest: str
    layout: Path


@pytest.fixture(scope="module")
def trixie(digits, tmp_path_factory):
    """Fetched and built into the store of the example on Debian 12."""
    fetched = digits.mpbuild("fetch", TARGET)
    assert fetched.code == 0, fetched.err
    layout = tmp_path_factory.mktemp("trixie") / "layout"
    answer = digits.mpbuild("build", TARGET, "--offline", "--output", layout)
    return Built(answer.digest, layout)


def predicted(digits, ref):
    answer = digits.mpbuild("run", ref, "--input", digits.request)
    assert answer.code == 0, answer.err
    return answer.json["outputs"]


def test_it_answers_as_on_debian_12(digits, trixie):
    assert predicted(digits, trixie.digest) == predicted(digits, digits.digest)


def test_the_models_own_layers_are_those_of_debian_12_and_the_base_is_not(digits, trixie):
    twelve, thirteen = digits.layers(digits.digest), digits.layers(trixie.digest)
    for title in ("code", "mpbuild runtime"):
        assert twelve[title] == thirteen[title]
    bases = [
        digest
        for layers in (twelve, thirteen)
        for title, digest in layers.items()
        if title.startswith("base: ")
    ]
    assert len(set(bases)) == 2


def test_all_of_it_is_derived_again_from_leaves_and_inputs(digits, trixie):
    answer = digits.mpbuild("reproduce", f"{trixie.layout}@{trixie.digest}", "--offline")
    assert answer.code == 0, answer.err
    assert answer.findings == []
