"""The whole demo at its real size: `make test-all` only."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from konsil.files import read_json


@pytest.mark.demo
def test_the_federated_model_is_better_at_the_other_sites_than_the_local_ones(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "konsil.cli", "demo", "run", "--dir", str(tmp_path / "demo")]
    subprocess.run(command, check=True, timeout=3600)
    summary = read_json(tmp_path / "demo" / "summary.json")
    federated, local = summary["dice"]["federated"], summary["dice"]["local"]
    assert statistics.mean(federated.values()) > 0.6
    elsewhere = [
        (federated[tested], dice) for trained, row in local.items() for tested, dice in row.items() if tested != trained
    ]
    assert len(elsewhere) == 6
    assert statistics.mean(ours - theirs for ours, theirs in elsewhere) > 0
    assert all(Path(path).is_file() for path in summary["reports"])
