"""Weights that are fetched, files that travel with weights, and bytecode: their keys."""

from collections.abc import Callable

import pytest
from license_expression import get_spdx_licensing

from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding
from mpbuild.spec.expressions import COMMON
from mpbuild.spec.model import CoreFile
from mpbuild.spec.read import read_model
from mpbuild.spec.workspace import Workspace

SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PATH = 'path = "weights/vocabulary.bin"'
FETCHED = f'url = "https://files.example/v.bin"\nsize = 7\nsha256 = "{SHA}"'
PATH_AND_SHA = f'{PATH}\nsha256 = "{SHA}"'
FILE = '[[core.files]]\nname = "labels"\nversion = "1.0.0"\npath = "labels.json"\n\n[io]\n'

Read = Callable[[str], list[Finding]]


def test_weights_are_fetched_by_address_digest_and_size(
    model_text: str, workspace: Workspace
) -> None:
    text = model_text.replace(PATH_AND_SHA, FETCHED)
    weight = read_model(text, file="model.toml", folder="m", workspace=workspace).core.weights[1]
    assert (weight.url, weight.size) == ("https://files.example/v.bin", 7)
    assert weight.sha256 == Digest.from_hex(SHA)


def test_a_file_travels_with_the_weights_and_bytecode_is_a_choice(
    model_text: str, workspace: Workspace
) -> None:
    text = model_text.replace("[io]\n", FILE, 1)
    text = text.replace("system =", "compile_bytecode = true\nsystem =", 1)
    model = read_model(text, file="model.toml", folder="m", workspace=workspace)
    (file,) = model.core.files
    assert isinstance(file, CoreFile)
    assert (file.name, file.path, file.sha256) == ("labels", "labels.json", None)
    assert model.environment.compile_bytecode


@pytest.mark.parametrize(
    ("fetched", "message"),
    [
        (FETCHED.replace("size = 7\n", ""), "expected exactly one of"),
        (FETCHED.replace(f'\nsha256 = "{SHA}"', ""), "expected exactly one of"),
        (f"{FETCHED}\n{PATH}", "expected exactly one of"),
        (FETCHED.replace("https:", "http:"), "not an address of weights"),
        (FETCHED.replace("files.example", "user:word@files.example"), "not an address of weights"),
        (FETCHED.replace("v.bin", "v.bin?token=1"), "not an address of weights"),
        (FETCHED.replace("https://files.example/v.bin", "oci://r.example/w:latest"), "not an addr"),
        (FETCHED.replace("size = 7", 'size = "7"'), "expected a size in bytes"),
        (FETCHED.replace("size = 7", "size = -1"), "not a size in bytes"),
    ],
)
def test_a_wrong_way_to_fetch_is_refused(
    model_text: str, findings_of_model: Read, fetched: str, message: str
) -> None:
    findings = findings_of_model(model_text.replace(PATH_AND_SHA, fetched))
    assert {finding.code for finding in findings} == {"spec-invalid"}
    assert message in findings[0].message
    assert findings[0].message.startswith("core.weights[1]")


@pytest.mark.parametrize("address", [f"oci://r.example:5000/a/b@sha256:{SHA}", "https://x.y/z"])
def test_addresses_of_weights_are_of_two_kinds(
    model_text: str, findings_of_model: Read, address: str
) -> None:
    text = FETCHED.replace("https://files.example/v.bin", address)
    assert findings_of_model(model_text.replace(PATH_AND_SHA, text)) == ()


def test_a_file_and_weights_of_one_name_are_refused(
    model_text: str, findings_of_model: Read
) -> None:
    file = FILE.replace("labels", "vocabulary", 1)
    (finding,) = findings_of_model(model_text.replace("[io]\n", file, 1))
    assert finding.message == "core.files[0].name: 'vocabulary' is the name of weights, too"


@pytest.mark.parametrize("name", sorted(COMMON))
def test_licences_that_are_known_without_the_list_stand_in_it(name: str) -> None:
    known = get_spdx_licensing()
    assert known.unknown_license_keys(known.parse(name, strict=True)) == []
