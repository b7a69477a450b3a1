"""Weights that are fetched, files that travel with weights, and bytecode: their keys."""

from collections.abc import Callable

import pytest
from license_expression import get_spdx_licensing

from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.spec.expressions import COMMON
from mpbuild.spec.model import CoreFile
from mpbuild.spec.read import document, model_from_document, read_model
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
        (f"{FETCHED}\n{PATH}", "expected exactly one of"),
        (FETCHED.replace("https:", "http:"), "not a URL of weights"),
        (FETCHED.replace("files.example", "user:word@files.example"), "not a URL of weights"),
        (FETCHED.replace("v.bin", "v.bin?token=1"), "not a URL of weights"),
        (FETCHED.replace("https://files.example/v.bin", "oci://r.example/w"), "not a URL"),
        (FETCHED.replace("https://files.example/v.bin", "oci://r.example/w:"), "not a URL"),
        (FETCHED.replace("https://files.example/v.bin", "oci://r.example/w:-x"), "not a URL"),
        (FETCHED.replace("https://files.example/v.bin", "oci://r.example/w@sha256:0"), "not a URL"),
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


@pytest.mark.parametrize(
    "address",
    [
        f"oci://r.example:5000/a/b@sha256:{SHA}",
        f"oci://r.example:5000/a/b:v1.0_rc@sha256:{SHA}",
        "oci://r.example:5000/a/b:latest",
        "https://x.y/z",
    ],
)
def test_addresses_of_weights_are_of_two_kinds(
    model_text: str, findings_of_model: Read, address: str
) -> None:
    text = FETCHED.replace("https://files.example/v.bin", address)
    assert findings_of_model(model_text.replace(PATH_AND_SHA, text)) == ()


@pytest.mark.parametrize(
    ("address", "sha256", "size", "pinned"),
    [
        ("https://x.y/z", True, True, True),
        ("https://x.y/z", False, True, False),
        ("https://x.y/z", True, False, False),
        ("oci://x.y/z:v1", True, True, False),
        (f"oci://x.y/z@sha256:{SHA}", False, False, False),
        (f"oci://x.y/z@sha256:{SHA}", True, True, True),
        (f"oci://x.y/z:v1@sha256:{SHA}", True, True, True),
    ],
)
def test_weights_that_could_be_any_bytes_are_read_and_do_not_travel(
    model_text: str,
    workspace: Workspace,
    address: str,
    sha256: bool,
    size: bool,
    pinned: bool,
) -> None:
    keys = [f'url = "{address}"', f'sha256 = "{SHA}"' * sha256, "size = 7" * size]
    text = model_text.replace(PATH_AND_SHA, "\n".join(filter(None, keys)))
    model = read_model(text, file="model.toml", folder="m", workspace=workspace)
    assert [weight.pinned for weight in model.core.weights] == [True, pinned]
    if pinned:
        assert model_from_document(document(text), where="x", workspace=None) == model
        return
    with pytest.raises(InputError, match="are not pinned") as caught:
        model_from_document(document(text), where="spec.json", workspace=workspace)
    (finding,) = caught.value.findings
    assert (finding.code, finding.where) == ("spec-invalid", "spec.json")
    assert finding.message.startswith("core.weights[1]: the fetched weights 'vocabulary'")
    assert "mpbuild lock" in finding.hint


def test_a_file_and_weights_of_one_name_are_refused(
    model_text: str, findings_of_model: Read
) -> None:
    file = FILE.replace("labels", "vocabulary", 1)
    (finding,) = findings_of_model(model_text.replace("[io]\n", file, 1))
    assert finding.message == "core.files[0].name: 'vocabulary' is also the name of weights"


@pytest.mark.parametrize("name", sorted(COMMON))
def test_licences_that_are_known_without_the_list_stand_in_it(name: str) -> None:
    known = get_spdx_licensing()
    assert known.unknown_license_keys(known.parse(name, strict=True)) == []
