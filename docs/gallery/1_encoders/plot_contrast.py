"""
Contrast coding
===============

Encode an image by its local contrast, like ganglion cells of the retina: a difference of Gaussians with ON and OFF
channels. Larger contrasts spike earlier.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import Contrast

rows, columns = np.indices((48, 64))
image = np.clip(0.2 + 0.6 * ((columns - 32) ** 2 + (rows - 24) ** 2 < 250) + columns / 320, 0, 1)
spikes = Contrast(steps=20).encode(image)  # uint8 [T, 2, H, W]
first = np.where(spikes.any(0), spikes.argmax(0), np.nan)  # step of each pixel's spike

figure, panels = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
panels[0].imshow(image, cmap="gray", vmin=0, vmax=1)
for axes, times, name in zip(panels[1:], first, ("OFF: darker than surround", "ON: brighter"), strict=True):
    shown = axes.imshow(times, cmap="viridis_r", vmin=0, vmax=20)
    axes.set_title(name)
figure.colorbar(shown, ax=panels, label="spike time in steps")
panels[0].set_title("image")
for axes in panels:
    axes.set(xticks=[], yticks=[])
plt.show()
