"""Three simulated sites share 19 real hippocampi and learn to find them: real weights, keys and messages."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.files import read_json

pytestmark = pytest.mark.realdata

LABELS = {"background": 0, "anterior": 1, "posterior": 2}
NETWORK = {"patch_size": [32, 40, 32], "features_per_stage": [8, 16, 32], "n_conv_per_stage": 1, "batch_size": 2}
SETTINGS = {
    "batches_per_epoch": 30, "validation_batches": 2, "learning_rate": 0.1, "momentum": 0.9, "augmentation": "none",
    "device": "cpu", "network": NETWORK,
}  # fmt: skip
CHARTER = {
    "format": "konsil.charter/1",
    "run": "hippocampus",
    "sites": ["A", "B", "C"],
    "rounds": 8,
    "learner": {"name": "nnunet", "settings": SETTINGS},
    "data": {"name": "hippocampus", "channels": ["T1w"], "labels": LABELS},
    "compare_with_local": False,
}


def cohort(data: Path, home: Path, names: list[str]) -> Path:
    """A frozen cohort of these pairs at one site."""
    folder = data / "seg" / "msd_task04_hippocampus"
    pairs = [
        Pair(f"H{number}", {"T1w": folder / "images" / name}, folder / "labels" / name)
        for number, name in enumerate(names)
    ]
    root = SiteFolder(home).cohort("hippocampus").path
    adopt(pairs, name="hippocampus", channels=["T1w"], labels=LABELS, root=root, seed=0)
    return root


def test_a_federation_learns_real_hippocampi(data: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (data / "seg" / "msd_task04_hippocampus" / "labels").glob("*.nii.gz"))
    assert len(names) == 19
    shares = {"A": names[:7], "B": names[7:13], "C": names[13:]}
    places = {site: cohort(data, tmp_path / site, share) for site, share in shares.items()}
    (tmp_path / "charter.json").write_text(json.dumps(CHARTER))
    command = [sys.executable, "-m", "konsil.cli", "simulate", str(tmp_path / "charter.json")]
    command += ["--out", str(tmp_path / "out"), "--result", str(tmp_path / "result.json")]
    command += [word for site, path in places.items() for word in ("--cohort", f"{site}={path}")]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    result = read_json(tmp_path / "result.json")
    assert result["round"] == 8
    assert statistics.mean(result["dice"]["federated"].values()) >= 0.75
    assert Path(result["report"]).stat().st_size > 5_000
