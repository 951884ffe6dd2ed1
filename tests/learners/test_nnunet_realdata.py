"""nnU-Net on images that nobody here made: real hippocampi that it learns, real MS brains at full 1 mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.evaluation.metrics import summarise
from konsil.learners.registry import create

pytestmark = pytest.mark.realdata

HIPPOCAMPUS = {"name": "hippocampus", "channels": ["T1w"], "labels": {"background": 0, "anterior": 1, "posterior": 2}}
MS = {"name": "ms", "channels": ["T1w", "FLAIR"], "labels": {"background": 0, "lesion": 1}}
SMALL = {
    "learning_rate": 0.1,
    "momentum": 0.9,
    "augmentation": "none",
    "device": "cpu",
    "network": {
        "patch_size": [32, 40, 32],
        "features_per_stage": [8, 16, 32],
        "n_conv_per_stage": 1,
        "batch_size": 2,
    },
}


def test_one_site_learns_real_hippocampi(data: Path, tmp_path: Path):
    folder = data / "seg" / "msd_task04_hippocampus"
    names = sorted(path.name for path in (folder / "images").glob("*.nii.gz"))
    names = [name for name in names if (folder / "labels" / name).is_file()][:6]
    splits = ("train", "train", "train", "train", "validation", "test")
    pairs = [
        Pair(f"H{i}", {"T1w": folder / "images" / name}, folder / "labels" / name, split=split)
        for i, (name, split) in enumerate(zip(names, splits, strict=True))
    ]
    root = SiteFolder(tmp_path).cohort("hippocampus").path
    cohort = adopt(
        pairs, name="hippocampus", channels=["T1w"], labels=HIPPOCAMPUS["labels"], root=root, seed=0, link=True
    )
    settings = {**SMALL, "batches_per_epoch": 40, "validation_batches": 0}
    learner = create("nnunet", settings, rounds=4, seed=0, home=tmp_path, run="hippocampus", data=HIPPOCAMPUS)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    tensors = learner.baseline(cohort, recipe, learner.initial(recipe))
    dice = summarise(learner.evaluate(cohort, recipe, tensors, "test"))["dice"]["mean"]
    assert dice > 0.5


def test_three_real_ms_brains_train_a_round_together_at_1_mm(data: Path, tmp_path: Path):
    """Three sites, one patient each: fingerprint, plan, preprocessing, an averaged round; only the net is small."""
    mslesseg, ljubljana = data / "ms" / "mslesseg" / "train", data / "ms" / "ljubljana_cs_mni" / "patient26"
    tail = "_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"
    drawn = "GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI.nii.gz"
    files = {
        name: tuple(mslesseg / name / "T1" / f"{name}_T1_{kind}.nii.gz" for kind in ("T1", "FLAIR", "MASK"))
        for name in ("P18", "P39")
    } | {"patient26": (ljubljana / f"T1{tail}", ljubljana / f"FLAIR{tail}", ljubljana / drawn)}
    settings = {**SMALL, "batches_per_epoch": 1, "validation_batches": 0}
    sites = {}
    for name, (t1w, flair, mask) in files.items():
        pair = Pair(name, {"T1w": t1w, "FLAIR": flair}, mask, split="train")
        root = SiteFolder(tmp_path / name).cohort("ms").path
        cohort = adopt([pair], name="ms", channels=MS["channels"], labels=MS["labels"], root=root, seed=0)
        learner = create("nnunet", settings, rounds=1, seed=0, home=tmp_path / name, run="ms-1", data=MS)
        sites[name] = (cohort, learner)
    centre = create("nnunet", settings, rounds=1, seed=0, home=tmp_path / "centre", run="ms-1", data=MS)
    recipe = centre.plan({name: learner.fingerprint(cohort) for name, (cohort, learner) in sites.items()})
    assert recipe["plans"]["configurations"]["3d_fullres"]["spacing"] == [1.0, 1.0, 1.0]
    first = centre.initial(recipe)
    updates = []
    for cohort, learner in sites.values():
        learner.prepare(cohort, recipe)
        updates.append(learner.train(cohort, recipe, first, 1))
    mean = {name: np.mean([update.tensors[name] for update in updates], axis=0) for name in first}
    assert all(np.isfinite(array).all() for array in mean.values())
    assert all(
        not np.array_equal(
            updates[0].tensors["encoder.stages.0.0.convs.0.conv.weight"],
            u.tensors["encoder.stages.0.0.convs.0.conv.weight"],
        )
        for u in updates[1:]
    )
