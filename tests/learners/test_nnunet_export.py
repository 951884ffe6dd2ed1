"""What leaves Konsil works without it: nnU-Net's own commands, each in its own process, on an exported model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.errors import BadInput
from konsil.files import read_json, sha256_of, write_json
from konsil.learners.nnunet.predict import predict
from konsil.learners.registry import export_model

LEARNING = {"batches_per_epoch": 12, "validation_batches": 0, "augmentation": "default"}


@pytest.fixture
def model(make_cohort, make_learner, tmp_path: Path):
    """A cohort and the folder of a model that has learned a little, with flips, as nnU-Net trains by itself."""
    home, cohort = make_cohort("A", splits=("train", "train", "test"))
    learner = make_learner(home, rounds=1, **LEARNING)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    trained = learner.train(cohort, recipe, learner.initial(recipe), 1).tensors
    learner.save(recipe, trained, tmp_path / "model")
    return cohort, tmp_path / "model"


def nnunet(command: str, *arguments: object, results: Path) -> None:
    """Run one of nnU-Net's commands as a person would who has never heard of Konsil."""
    ours = ("nnUNet_", "KONSIL_", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env |= {name: str(results.parent / name) for name in ("nnUNet_raw", "nnUNet_preprocessed")}
    env |= {"nnUNet_results": str(results), "OMP_NUM_THREADS": "1"}
    program = Path(sys.executable).with_name(command)
    ended = subprocess.run([program, *map(str, arguments)], env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


def test_nnunets_own_commands_install_the_zip_and_predict_the_same_mask(model, tmp_path: Path):
    cohort, folder = model
    result = tmp_path / "result.json"
    arguments = ["export-model", str(folder), str(tmp_path / "model.zip"), "--result", str(result)]
    done = CliRunner().invoke(assemble(), arguments)
    assert done.exit_code == 0, done.output
    assert "nnUNetv2_install_pretrained_model_from_zip" in done.stdout
    results = tmp_path / "elsewhere" / "nnUNet_results"
    results.mkdir(parents=True)
    nnunet("nnUNetv2_install_pretrained_model_from_zip", tmp_path / "model.zip", results=results)
    case = cohort.split("test")[0]
    (tmp_path / "in").mkdir()
    for number, channel in enumerate(("T1w", "FLAIR")):
        shutil.copy(cohort.root / case.images[channel], tmp_path / "in" / f"case_{number:04d}.nii.gz")
    words = read_json(result)
    options = ["-d", words["dataset"], "-c", words["configuration"], "-tr", words["trainer"], "-p", words["plans"]]
    options += ["-f", words["fold"], "-device", "cpu", "-npp", 1, "-nps", 1]
    nnunet("nnUNetv2_predict", "-i", tmp_path / "in", "-o", tmp_path / "out", *options, results=results)
    images = {channel: cohort.root / path for channel, path in case.images.items()}
    predict(folder, [images], [tmp_path / "ours.nii.gz"])
    ours, theirs = nib.load(tmp_path / "ours.nii.gz"), nib.load(tmp_path / "out" / "case.nii.gz")
    assert voxels(tmp_path / "ours.nii.gz").any()
    assert np.array_equal(voxels(tmp_path / "ours.nii.gz"), voxels(tmp_path / "out" / "case.nii.gz"))
    assert np.allclose(ours.affine, theirs.affine)


def test_a_folder_is_what_the_zip_holds_and_the_same_model_gives_the_same_zip(model, tmp_path: Path):
    _, folder = model
    write_json(folder / "model-card.json", {"sentence": "Finished."})
    words = export_model(folder, tmp_path / "nnUNet_results")
    for name in ("one.zip", "two.zip"):
        export_model(folder, tmp_path / name)
    assert sha256_of(tmp_path / "one.zip") == sha256_of(tmp_path / "two.zip")
    shutil.unpack_archive(tmp_path / "one.zip", tmp_path / "unpacked")
    inside = sorted(path.relative_to(tmp_path / "unpacked") for path in (tmp_path / "unpacked").rglob("*.*"))
    assert inside == sorted(
        p.relative_to(tmp_path / "nnUNet_results") for p in (tmp_path / "nnUNet_results").rglob("*.*")
    )
    place = tmp_path / "nnUNet_results" / words["dataset"] / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert {"plans.json", "dataset.json", "model-card.json", "fold_all"} <= {path.name for path in place.iterdir()}


def test_nothing_is_overwritten_and_nothing_unfit_is_handed_on(model, tmp_path: Path):
    _, folder = model
    (tmp_path / "there.zip").write_bytes(b"mine")
    with pytest.raises(BadInput, match=r"there\.zip"):
        export_model(folder, tmp_path / "there.zip")
    assert (tmp_path / "there.zip").read_bytes() == b"mine"
    write_json(folder / "model-card.json", {"lacks": ["encoder.norm.weight"]})
    with pytest.raises(BadInput, match="not for use"):
        export_model(folder, tmp_path / "new.zip")
    assert not (tmp_path / "new.zip").exists()
