"""Configurations of the script that trains a network by each rule."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_configurations_of_rules_differ_only_in_required_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts" / "studies")
    import rules

    for task in rules.TASKS.values():
        configs = {name: rules.configure(rule, ["data.root=DIR"]) for name, rule in rules.list_rules(task).items()}
        same = [configs[name] for name in ("bptt", "segment", "ottt", "sltt", "stllr", "decolle")]
        assert all(config.network == same[0].network for config in same)
        assert {config.optimiser.epochs for config in same} == {configs["bptt_batch"].optimiser.epochs}
        assert configs["eprop"].network == configs["bptt_first"].network
        assert configs["eprop"].network.channels == same[0].network.channels[:1]
