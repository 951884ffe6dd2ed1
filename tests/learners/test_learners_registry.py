"""Making a learner: light, by name, and strict about settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from konsil.errors import BadInput, BadSetting, Missing
from konsil.files import write_json
from konsil.learners.nnunet.settings import parse_settings
from konsil.learners.registry import create, open_model

DATA = {"name": "ms", "channels": ["T1w", "FLAIR"], "labels": {"background": 0, "lesion": 1}}


def make(name: str = "nnunet", data: dict[str, Any] = DATA, **settings: Any) -> object:
    return create(name, settings, rounds=2, seed=0, home=Path("nowhere"), run="a-run", data=data)


def test_an_unknown_learner_is_refused_with_the_known_ones():
    with pytest.raises(BadSetting, match="nnunet"):
        make("monai-of-the-future")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"learnig_rate": 0.1}, "learnig_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"configuration": "3d_cascade_fullres"}, "configuration"),
        ({"tile_size": [48, 48, 48]}, "multiple of 32"),
        ({"network": {"patch_size": [32, 32, 36], "features_per_stage": [8, 16, 32, 64]}}, "multiple of 8"),
        ({"network": {"patch_size": [32, 32, 32], "features_per_stage": [8, 16, 32], "depth": 3}}, "network.depth"),
    ],
)
def test_unusable_settings_are_refused_by_name(settings: dict[str, Any], word: str):
    with pytest.raises(BadSetting, match=word):
        make(**settings)


def test_labels_with_a_gap_are_refused():
    with pytest.raises(BadSetting, match="without a gap"):
        make(data={**DATA, "labels": {"background": 0, "lesion": 2}})


def test_the_defaults_are_the_papers():
    found = parse_settings({})
    assert (found.configuration, found.local_epochs, found.batches_per_epoch) == ("3d_fullres", 1, 250)
    assert (found.learning_rate, found.weight_decay, found.momentum) == (0.01, 3e-5, 0.99)
    assert (found.oversample_foreground, found.validation_batches, found.augmentation) == (0.33, 50, "default")


def test_making_a_learner_loads_neither_torch_nor_nnunet():
    script = (
        "import sys; from pathlib import Path; from konsil.learners.registry import create;"
        f"create('nnunet', {{}}, rounds=1, seed=0, home=Path('x'), run='r', data={DATA!r});"
        "sys.exit(any(name in sys.modules for name in ('torch', 'nnunetv2')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path):
    with pytest.raises(Missing, match="not a model folder"):
        open_model(tmp_path)
    write_json(tmp_path / "recipe.json", {"format": "something/9"})
    with pytest.raises(BadInput, match="unknown kind"):
        open_model(tmp_path)


def test_a_model_that_is_not_there_is_told_with_those_that_are(tmp_path: Path):
    with pytest.raises(Missing, match=r"no model ms-9 here.*No model is stored here yet"):
        open_model(tmp_path / "ms-9")
    write_json(tmp_path / "ms-1" / "recipe.json", {})
    with pytest.raises(Missing, match=r"no model ms-9 here.*Models here: ms-1"):
        open_model(tmp_path / "ms-9")
