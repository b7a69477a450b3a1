"""The example's weights: a forest made of operators that every accelerator computes."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
# ONNX Runtime's providers for CUDA and MIGraphX were both asked, and took them all.
EVERYWHERE = {"Gather", "GatherElements", "LessOrEqual", "ReduceMean", "Transpose", "Where"}


def test_the_graph_is_made_of_operators_that_every_accelerator_has() -> None:
    made = {
        ast.literal_eval(call.args[0])
        for call in ast.walk(ast.parse((DIGITS / "train.py").read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "helper.make_node"
    }
    assert made == EVERYWHERE


@pytest.fixture(scope="module")
def train():
    for package in ("onnx", "onnxruntime", "sklearn"):
        pytest.importorskip(package, reason=f"training needs {package}")
    spec = importlib.util.spec_from_file_location("digits_train", DIGITS / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def forest(train):
    pixels, digits = train.load_digits(return_X_y=True)
    return train.RandomForestClassifier(8, random_state=1, n_jobs=1).fit(pixels, digits)


@pytest.fixture(scope="module")
def answer(train, forest):
    model = train.to_onnx(forest).SerializeToString(deterministic=True)
    session = train.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run(pixels):
        (probabilities,) = session.run(["probabilities"], {"pixels": pixels})
        return probabilities

    return run


def test_the_graph_answers_as_the_forest_does_bit_for_bit(train, forest, answer) -> None:
    drawn = train.load_digits().data
    noise = np.random.default_rng(0).uniform(0, 16, (500, 64))
    # As often as not, a picture of halves is neither above nor below a threshold, but on it.
    halves = np.random.default_rng(0).integers(0, 33, (500, 64)) / 2
    pixels = np.concatenate([drawn, noise, halves]).astype(np.float32)
    probabilities = answer(pixels)
    assert probabilities.dtype == np.float32
    assert np.array_equal(probabilities, forest.predict_proba(pixels))


def test_no_pictures_get_no_answers(answer) -> None:
    assert answer(np.empty((0, 64), np.float32)).shape == (0, 10)


def test_every_picture_is_answered_by_itself(answer) -> None:
    pixels = np.random.default_rng(2).uniform(0, 16, (20, 64)).astype(np.float32)
    alone = [answer(pixels[row : row + 1]) for row in range(len(pixels))]
    assert np.array_equal(np.concatenate(alone), answer(pixels))


def test_thresholds_lose_nothing_in_float32(train, forest) -> None:
    exact = np.concatenate(
        [
            estimator.tree_.threshold[estimator.tree_.feature >= 0]
            for estimator in forest.estimators_
        ]
    )
    kept = train.tables(forest)["threshold"][train.DIGITS :, 0]
    assert np.array_equal(kept, exact)


def test_the_same_forest_gives_the_same_bytes(train, forest) -> None:
    pixels, digits = train.load_digits(return_X_y=True)
    again = train.RandomForestClassifier(8, random_state=1, n_jobs=1).fit(pixels, digits)
    first, second = (
        train.to_onnx(made).SerializeToString(deterministic=True) for made in (forest, again)
    )
    assert first == second
