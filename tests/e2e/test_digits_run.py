"""One prediction, whatever names the package; wrong requests are told from failures."""

import json
import os
import shutil

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]


@pytest.fixture
def response(digits):
    """What the package answers to the example's request."""
    answer = digits.mpbuild("run", digits.digest, "--input", digits.request)
    assert answer.code == 0, answer.err
    return answer.json


def test_the_response_is_one_of_the_protocol_and_in_bounds(response):
    (output,) = response["outputs"]
    assert output["datatype"] == "FP32"
    assert len(output["data"]) == 30
    assert 0 <= min(output["data"]) <= max(output["data"]) <= 1
    rows = [output["data"][i : i + 10] for i in range(0, 30, 10)]
    assert [sum(value > 0 for value in row) for row in rows] == [3, 3, 3], "top_k is 3"


@pytest.mark.parametrize(
    "ref",
    ["//examples/digits", "examples/digits", "{layout}", "{layout}@{digest}", "{digest}"],
)
def test_every_name_of_the_package_predicts_the_same(digits, response, ref):
    ref = ref.format(layout=digits.layout, digest=digits.digest)
    answer = digits.mpbuild("run", ref, stdin=digits.request.read_bytes())
    assert answer.code == 0, answer.err
    assert answer.json == response


def test_a_layout_alone_is_enough(digits, response, tmp_path):
    """No workspace, no store that knows it, no network: only the layout, moved elsewhere."""
    layout = tmp_path / "moved here"
    shutil.copytree(digits.layout, layout)
    elsewhere = digits.mpbuild._replace(workspace=tmp_path, store=tmp_path / "store")
    answer = elsewhere("run", "moved here", stdin=digits.request.read_bytes())
    assert answer.code == 0, answer.err
    assert answer.json == response


def test_a_damaged_layout_is_refused_before_anything_runs(digits, tmp_path):
    layout = tmp_path / "layout"
    shutil.copytree(digits.layout, layout)
    digest = digits.layers(digits.digest)["code"]
    blob = layout / "blobs/sha256" / digest.removeprefix("sha256:")
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    os.chmod(blob, 0o644)  # noqa: PTH101
    blob.write_bytes(data)
    elsewhere = digits.mpbuild._replace(store=tmp_path / "store")
    answer = elsewhere("run", layout, stdin=digits.request.read_bytes())
    assert answer.code == 2
    assert {code for code, _ in answer.findings} <= {"content-mismatch", "layer-unsafe"}


WRONG = {
    "not JSON": b"junk",
    "not UTF-8": b'{"inputs": "\xff"}',
    "nothing": b"",
    "no inputs": b"{}",
    "another input": b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [0]}]}',
    "a wrong shape": (
        b'{"inputs": [{"name": "pixels", "shape": [1, 3], "datatype": "FP32", "data": [0, 1, 2]}]}'
    ),
}


@pytest.mark.parametrize("request_", WRONG.values(), ids=WRONG)
def test_a_wrong_request_exits_2_with_the_protocols_error(digits, request_):
    answer = digits.mpbuild("run", digits.digest, stdin=request_)
    assert answer.code == 2
    assert list(answer.json) == ["error"]
    assert answer.json["error"]


def test_a_value_out_of_bounds_is_named(digits):
    request = json.loads(digits.request.read_bytes())
    request["inputs"][0]["data"][1][7] = 17.0
    answer = digits.mpbuild("run", digits.digest, stdin=json.dumps(request).encode())
    assert answer.code == 2
    error = answer.json["error"]
    assert error == "inputs[0].data: element 71 is 17.0, above the maximum 16"


def test_an_accelerator_that_the_package_lacks_is_refused(digits):
    answer = digits.mpbuild("run", digits.digest, "--accelerator", "cuda")
    assert answer.code == 2
    assert answer.findings == [("spec-invalid", "the package has no image for cuda")]
