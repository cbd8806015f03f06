"""Export a network to NIR and run the file in Norse: `python examples/export_network.py`.

NIR stores the equations of the neurons; snnTorch and SpikingJelly read it too. The suffix `.onnx` writes ONNX for
onnxruntime, without torch. See docs/guides/export.md.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import nir
import numpy as np
import torch
from norse.torch import from_nir

import dvspipe

CHECKPOINT = "nmnist-synthetic"  # or a run folder, a file, or hf://user/name


def run_nir(path: Path, spikes: torch.Tensor, dt: float) -> torch.Tensor:
    """Run a NIR file in Norse step by step on spikes [T, B, C, H, W]; return the logits [B, K]."""
    network, state, outputs = from_nir(nir.read(path), dt=dt), None, []
    for step in spikes:
        output, state = network(step, state)
        outputs.append(output)
    return torch.stack(outputs).mean(0)


def main() -> None:
    """Export an included classifier, and compare the outputs of the file with the outputs of the classifier."""
    network = dvspipe.Classifier.load(CHECKPOINT).network
    spikes = torch.from_numpy(np.random.default_rng(0).poisson(0.05, (10, 3, 2, 34, 34)).astype(np.float32))
    with TemporaryDirectory() as folder, torch.no_grad():
        expected = network(spikes)[0].mean(0)
        made = dvspipe.export(CHECKPOINT, Path(folder, "net.nir"))
        found = run_nir(made.path, spikes, made.dt)
    difference = float((found - expected).abs().max() / expected.abs().max())
    same = int((found.argmax(1) == expected.argmax(1)).sum())
    print(f"Norse: {same} of {len(found)} predictions are the same, outputs differ by at most {difference:.0e}")


if __name__ == "__main__":
    main()
