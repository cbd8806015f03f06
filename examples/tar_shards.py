"""Write event files into a tar shard, and read them with WebDataset (pip install webdataset)."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import webdataset

from dvspipe import Events, write


def make_recording(number: int) -> Events:
    """Return 0.1 s of noise on a sensor of 32x24 pixels."""
    rng = np.random.default_rng(number)
    t = np.sort(rng.integers(0, 100_000, 500))
    return Events(t, rng.integers(0, 32, 500), rng.integers(0, 24, 500), rng.integers(0, 2, 500), (32, 24))


def main() -> None:
    """Print the class and the number of events of each recording in the shard."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder, name, f"{number}.h5") for number, name in enumerate(("left", "right"))]
        for number, path in enumerate(paths):
            write(path, make_recording(number))

        # A recording is two members of the archive with the same name: its events, and its class.
        shard = Path(folder, "train-000000.tar")
        with webdataset.TarWriter(str(shard)) as tar:
            for number, path in enumerate(paths):
                tar.write({"__key__": f"{number:06d}", "h5": path.read_bytes(), "cls": path.parent.name.encode()})

        # A URL, because WebDataset reads the drive of a Windows path as a scheme.
        for sample in webdataset.WebDataset(shard.as_uri(), shardshuffle=False):
            with h5py.File(io.BytesIO(sample["h5"])) as file:
                print(f"{sample['cls'].decode()}: {len(file['events/t'])} events")


if __name__ == "__main__":
    main()
