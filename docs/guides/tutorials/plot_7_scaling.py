"""
7. Scaling out
==============

From one file to a hundred thousand: many files with one command, several processes, shares for many machines, failures,
and costs.
"""

# %%
# Many files
# ----------
#
# A folder in, a folder out. Each run skips finished files, so the same command completes an interrupted one. On the
# command line: ``dvspipe convert VIDEOS -o EVENTS --jobs 2``.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.video.writing import write_video

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
for number in range(8):
    walk = np.cumsum(rng.integers(-9, 10, (12, 24, 32)), axis=0)
    frames = dvspipe.frames_from_arrays(np.clip(120 + walk, 0, 255).astype(np.uint8), fps=30)
    (folder / "videos" / f"day{number % 2}").mkdir(parents=True, exist_ok=True)
    write_video(folder / "videos" / f"day{number % 2}" / f"clip{number}.webm", frames)

tasks = dvspipe.plan_conversions(folder / "videos", folder / "events")
for outcome in dvspipe.convert_many(tasks):
    print(outcome.item.target.relative_to(folder), outcome.error or f"{outcome.value.events} events")

# %%
# ``convert_many(tasks, jobs=16)`` uses sixteen processes, and ``jobs="ray"`` the cores of a Ray cluster. The results
# are bit-identical on all of them, because each file has its own random seed.
#
# When something fails
# --------------------
#
# A bad file does not stop the others. Here we add a file that is not a video, and run the same code again:

(folder / "videos" / "day0" / "broken.mp4").write_bytes(b"not a video")
tasks = dvspipe.plan_conversions(folder / "videos", folder / "events")
done = list(dvspipe.convert_many(tasks))
print(len(done), "file to do; the others are finished, and are skipped")
for outcome in done:
    print(str(outcome.error).replace(str(folder), "..."))

# %%
# Shares for many machines
# ------------------------
#
# Without Ray, machines only need to agree on who does what. ``--share 2/4`` takes the second of four
# shares, chosen by a digest of each file's name; in a SLURM array, the task's number sets it automatically. So no
# machine talks to another, and adding files does not move others. Shares are about equal in number:

paths = [Path(f"day{number % 30}/clip{number}.mp4") for number in range(2000)]
counts = [sum(path in dvspipe.Shard(number, 16) for path in paths) for number in range(1, 17)]
figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
axes.bar(range(1, 17), counts, color="#7570b3")
axes.axhline(2000 / 16, color="black", linewidth=0.8)
axes.set(xlabel="share", ylabel="files", title=f"2,000 files in 16 shares: {min(counts)} to {max(counts)}")
plt.show()

# %%
# The slowest share decides when all is done. With k files per share, the largest is about 1 + 2 / sqrt(k) times the
# mean: use hundreds of files per share, or more shares than machines.
#
# What it costs
# -------------
#
# Measure twenty files first. The curves below use the figures of
# :doc:`/guides/scale` for little motion: 0.2 s of CPU time per second of video at 346 x 260 pixels and 30 frames per
# second to convert it, and 1/45 s to classify it.

hours = np.array([1, 10, 100, 1000, 10_000])
cores = (2, 16, 64, 512)
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for count in cores:
    axes.loglog(hours, hours * (0.2 + 1 / 45) / count / 24, "o-", markersize=3, label=f"{count} cores")
axes.axhline(1, color="grey", linewidth=0.8)
axes.text(1, 1.15, "a day", color="grey")
axes.set(xlabel="hours of video", ylabel="days to convert and classify")
axes.legend()
plt.show()

# %%
# Training scales differently: ``torchrun`` divides each batch over GPUs. Gradients and batch norms cover the complete
# batch, so the result depends on the number of processes only by rounding.
#
# SLURM scripts are in ``scripts/``, and :doc:`/guides/slurm` says how to use them. The table of failures is in
# :doc:`/guides/scale`.
