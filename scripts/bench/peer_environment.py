"""Create the environment of peer libraries to compare with: `python scripts/bench/peer_environment.py`.

It is a virtual environment in the user's cache. It also sees all packages of this Python: torch, numpy and dvspipe are
the same in both. None of them is replaced; a library that needs other versions is skipped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from importlib.metadata import distributions
from pathlib import Path

# Package: module to import as a test of its presence. mfc-codec is missing: its licence allows only evaluation, so who
# measures it installs it, with `PYTHON -m pip install mfc-codec`.
PEERS = {
    "eventcv": "eventcv",
    "evt3": "evt3",
    "evutils": "evutils",
    "expelliarmus": "expelliarmus",
    "faery": "faery",
    "norse": "norse",
    "snntorch": "snntorch",
    "spikingjelly": "spikingjelly",
    "tensorboard": "tensorboard",  # imported by SpikingJelly's STDP
}


def make_environment() -> str:
    """Create or complete the environment with every library that can be installed; return its Python."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dvspipe-peers" / f"python{sysconfig.get_python_version()}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        print(f"creating the environment of peer libraries in {folder}", flush=True)
        venv.create(folder, with_pip=True)

    packages = Path(_print(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    own = sysconfig.get_path("purelib")
    (packages / "dvspipe.pth").write_text(f"import site; site.addsitedir({own!r})\n", encoding="utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.writelines(f"{package.name}=={package.version}\n" for package in distributions())
        constraints.flush()
        for package, module in PEERS.items():
            if not has_module(str(python), module):
                _install(python, package, constraints.name)

    return str(python)


def has_module(python: str, *modules: str) -> bool:
    """Return whether a Python can import all of the modules."""
    command = [python, "-c", f"import {', '.join(modules)}"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def _install(python: Path, package: str, constraints: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--constraint", constraints, package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next(iter(reversed(done.stderr.strip().splitlines())), f"exit status {done.returncode}")
        print(f"{package}: skipped: {reason}", flush=True)


def _print(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(make_environment())
