"""Training in two processes, started with torchrun as by a user."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import write_bar_parts
from small_training import ONLINE, config_for, same_weights, weights_of

from dvspipe import train
from dvspipe.results import RunFolder
from dvspipe.training import TrainConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="kills a process found in /proc"),
]
RULES: dict[str, Any] = {
    "mlp": {"network": "mlp"},
    "segments": {"network": "mlp", "segment": 2},
    "ottt": ONLINE | {"rule": "ottt", "dropout": 0},
}
SEVERAL = """
import functools, os, shlex, sys
import torch.distributed as dist
from dvspipe.cli.app import main

init = dist.init_process_group
*others, last = map(shlex.split, sys.argv[1:])
for number, command in enumerate(others):
    sys.argv = ["dvspipe", *command]
    main()
    meet = f"file://{os.getcwd()}/meet-{number}"  # processes can meet only once in the store of torchrun
    dist.init_process_group = functools.partial(init, init_method=meet, rank=int(os.environ["RANK"]), world_size=2)
sys.argv = ["dvspipe", *last]
main()
"""
"""Run several commands in one process: starting torch takes longer than training these networks."""


def start(*commands: str, cwd: Path) -> subprocess.Popen[str]:
    """Start torchrun with two processes, each of which runs all commands."""
    (cwd / "several.py").write_text(SEVERAL)
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "several.py", *commands],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def first_loss(folder: Path) -> float:
    return float(next(csv.DictReader((folder / "results.csv").read_text().splitlines()))["train_loss"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of trainings in two processes: of each rule, and one that is killed and resumed."""
    here = tmp_path_factory.mktemp("trained")
    bars = write_bar_parts(here / "bars")
    for name, over in {**RULES, "bptt": {}}.items():
        config = config_for(bars, **{"epochs": 2, "batch": 9} | over)
        (here / f"{name}.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    longer = "train bptt.yaml epochs=5"
    with start(f"{longer} --out killed", cwd=here) as running:
        while not RunFolder(here / "killed").state.exists():
            assert running.poll() is None, running.communicate()[1]
            time.sleep(0.02)
        os.kill(children_of(running.pid)[-1], signal.SIGKILL)
        running.communicate()
    assert running.returncode != 0
    assert len(RunFolder(here / "killed").epochs.read_text().splitlines()) < 5
    commands = [f"train {name}.yaml --out {name}" for name in RULES]
    with start(*commands, f"{longer} --out undisturbed", f"{longer} --resume --out killed", cwd=here) as running:
        printed, errors = running.communicate()
    assert running.returncode == 0, errors
    assert printed.count("test accuracy") == len(RULES) + 2
    return here


@pytest.mark.parametrize("rule", RULES)
def test_two_processes_train_the_same_weights_as_one(rule: str, trained: Path, tmp_path: Path) -> None:
    """Without batch norm: each process normalises its part of a batch, as in torch's DistributedDataParallel."""
    train(TrainConfig.read(trained / f"{rule}.yaml"), out=tmp_path)
    ours, theirs = weights_of(trained / rule), weights_of(tmp_path)
    for key, tensor in theirs.items():
        torch.testing.assert_close(ours[key], tensor, rtol=2e-2, atol=2e-3, msg=key)
    assert first_loss(trained / rule) == pytest.approx(first_loss(tmp_path), rel=1e-3)


def test_distributed_training_resumes_after_kill(trained: Path) -> None:
    assert same_weights(trained / "killed", trained / "undisturbed")
