"""Make dvspipe/people/pose_landmark_full.onnx from MediaPipe's pose_landmark_full.tflite.

pip install tensorflow-cpu tf2onnx
python -m tf2onnx.convert --tflite pose_landmark_full.tflite --opset 13 --output full.onnx
python scripts/weights/pose_network.py full.onnx dvspipe/people/pose_landmark_full.onnx

The outputs for the segmentation and for the heat map of joints are removed: without them, the network takes 40 % of the
time. Weights are stored in 16 bits, as in the original file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.utils import extract_model

INPUT = "input_1"
OUTPUTS = {"Identity": "points", "Identity_4": "metres", "Identity_1": "presence"}
"""Output of the original network, and its name in the new file."""


def shorten(model: onnx.ModelProto) -> None:
    """Store weights that 16 bits represent exactly as such; a cast turns them back when the file is loaded."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or not np.array_equal(values.astype(np.float16), values):
            continue

        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))

    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def rename_outputs(model: onnx.ModelProto) -> None:
    """Give the outputs names that say what they are."""
    for node in model.graph.node:
        node.output[:] = [OUTPUTS.get(name, name) for name in node.output]
        node.input[:] = [OUTPUTS.get(name, name) for name in node.input]
    for output in model.graph.output:
        output.name = OUTPUTS[output.name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("original", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part.onnx")
        extract_model(str(arguments.original), str(part), [INPUT], list(OUTPUTS))
        model = onnx.load(part)

    shorten(model)
    rename_outputs(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, arguments.out)


if __name__ == "__main__":
    main()
