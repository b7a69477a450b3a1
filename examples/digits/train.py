"""Train the digit classifier and write it as ONNX: the same bytes every time.

The pictures travel inside the scikit-learn wheel, so the lock pins the data too. A forest compares
and counts: it takes no BLAS, whose last bits differ by processor and thread count.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

DIGITS = 10
# A power of two: each tree votes with 1/64, which float32 adds without rounding, in any order.
TREES = 64
PIXELS_A_SPLIT = 16
HELD_OUT = 5  # every fifth picture
REQUIRED_ACCURACY = 0.95
# Left to itself, onnx writes its newest, which the runtimes learn to read later.
OPSET, IR_VERSION = 17, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out

    pixels, digits = load_digits(return_X_y=True)
    held_out = np.arange(len(digits)) % HELD_OUT == 0
    forest = RandomForestClassifier(TREES, max_features=PIXELS_A_SPLIT, random_state=0, n_jobs=1)
    forest.fit(pixels[~held_out], digits[~held_out])

    # What ships is judged, not what it was made from.
    model = to_onnx(forest).SerializeToString(deterministic=True)
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"pixels": pixels[held_out].astype(np.float32)})
    if not np.array_equal(probabilities, forest.predict_proba(pixels[held_out])):
        raise SystemExit("the graph's answers are not those of the forest")
    accuracy = np.mean(probabilities.argmax(axis=1) == digits[held_out])
    print(f"accuracy {accuracy:.4f} on {held_out.sum()} of {len(digits)} pictures, held out")
    if accuracy < REQUIRED_ACCURACY:
        raise SystemExit(f"the accuracy is below the required {REQUIRED_ACCURACY}")
    out.write_bytes(model)


def to_onnx(forest: RandomForestClassifier) -> ModelProto:
    """The forest as a graph: make all comparisons at once, then go down all trees side by side.

    ONNX has an operator for whole forests, but ONNX Runtime has it for the processor only; these
    it has for every accelerator. A column is a picture: rows are gathered fastest, and CUDA adds
    them up without cuDNN.
    """
    depth = max(tree.get_depth() for tree in forest.estimators_)
    nodes = [f"node_{level}" for level in range(1, depth + 1)]
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["pixels"], ["columns"]),
            helper.make_node("Gather", ["columns", "pixel"], ["grey"]),
            helper.make_node("LessOrEqual", ["grey", "threshold"], ["is_left"]),
            helper.make_node("Where", ["is_left", "left", "right"], ["next"]),
            helper.make_node("Gather", ["next", "root"], [nodes[0]]),
            *(
                helper.make_node("GatherElements", ["next", node], [below])
                for node, below in itertools.pairwise(nodes)
            ),
            helper.make_node("Gather", ["vote", nodes[-1]], ["votes"]),
            helper.make_node("ReduceMean", ["votes"], ["probabilities"], axes=[0], keepdims=0),
        ],
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, forest.n_features_in_])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, DIGITS])],
        [numpy_helper.from_array(table, name) for name, table in tables(forest).items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def tables(forest: RandomForestClassifier) -> dict[str, NDArray[np.generic]]:
    """The nodes of all trees, numbered through: what each compares, and which comes next.

    The trees grow until each leaf holds one digit, so they share ten leaves: nodes 0 to 9. A leaf
    is its own child, whatever it compares: who gets there early stays.
    """
    leaves = np.arange(DIGITS)
    pixel, threshold = [np.zeros(DIGITS)], [np.zeros(DIGITS)]
    left, right = [leaves], [leaves]
    root, count = [], DIGITS
    for tree in (estimator.tree_ for estimator in forest.estimators_):
        splits = tree.feature >= 0
        digit = tree.value[:, 0].argmax(axis=1)
        number = np.where(splits, count + np.cumsum(splits) - 1, digit)
        root.append(number[0])
        pixel.append(tree.feature[splits])
        threshold.append(tree.threshold[splits])
        left.append(number[tree.children_left[splits]])
        right.append(number[tree.children_right[splits]])
        count += splits.sum()
    return {
        "root": np.array(root, np.int32),
        "pixel": np.concatenate(pixel).astype(np.int32),
        # Halfway between two whole grey values: exact in float32.
        "threshold": np.concatenate(threshold).astype(np.float32)[:, np.newaxis],
        "left": np.concatenate(left).astype(np.int32)[:, np.newaxis],
        "right": np.concatenate(right).astype(np.int32)[:, np.newaxis],
        "vote": np.eye(DIGITS, dtype=np.float32),
    }


if __name__ == "__main__":
    main()
