"""Run neurons over a recording of any length, window by window, with their state kept between windows."""

from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from norse.torch import LIFBoxParameters

from dvspipe import BinConfig, Events, encode_stream, iterate, write
from dvspipe.networks import LIFBox

STEPS = 50  # steps of 10 ms per window


def make_recording() -> Events:
    """Return 4 s of noise with a bright spot that flickers in the third second."""
    rng = np.random.default_rng(0)
    t = rng.integers(0, 4_000_000, 20_000)
    x, y = rng.integers(0, 32, t.size), rng.integers(0, 24, t.size)
    spot = (t // 1_000_000 == 2) & (rng.random(t.size) < 0.5)
    x[spot], y[spot] = 8 + x[spot] % 4, 10 + y[spot] % 4
    order = np.argsort(t)
    return Events(t[order], x[order], y[order], t[order] % 2, (32, 24))


def main() -> None:
    """Print the output spikes of each window."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "long.h5")
        write(path, make_recording())
        steps = encode_stream(iterate(path), BinConfig(step_us=10_000))  # read and encoded in bounded memory
        parameters = LIFBoxParameters(tau_mem_inv=torch.tensor(1 / 0.05), v_th=torch.tensor(2 / 3))
        neurons, state = LIFBox(parameters, dt=0.01), None
        with torch.no_grad():
            start_s = 0.0
            while window := [*islice(steps, STEPS)]:
                counts = torch.from_numpy(np.stack(window))  # [T, C, H, W]
                spikes, state = neurons(counts.sum(1, keepdim=True), state)  # [T, 1, H, W]: sum of ON and OFF
                total = spikes.sum((0, 1))
                row, column = divmod(int(total.argmax()), total.shape[1])
                most = f"most at column {column}, row {row}" if total.any() else "silent"
                print(f"{start_s:.1f} s: {int(total.sum())} spikes, {most}")
                start_s += STEPS * 0.01


if __name__ == "__main__":
    main()
