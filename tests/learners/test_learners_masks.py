"""A trained model at work: figures on held-out cases, masks for a cohort, and nnU-Net's own command on our folder."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.folder import SiteFolder
from konsil.errors import BadInput, Missing
from konsil.files import read_json
from konsil.learners import masks
from konsil.learners.nnunet.predict import open_model, predict

LEARNING = {"batches_per_epoch": 12, "validation_batches": 0, "tile_size": [20, 20, 20]}


@pytest.fixture
def trained(make_cohort, make_learner, tmp_path: Path):
    """A model that has learned the balls a little: cohort, learner, recipe, tensors and its folder."""
    home, cohort = make_cohort("A", splits=("train", "train", "train", "validation", "test", "test"))
    learner = make_learner(home, **LEARNING)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    tensors = learner.initial(recipe)
    for number in (1, 2):
        tensors = learner.train(cohort, recipe, tensors, number).tensors
    folder = tmp_path / "models" / "balls-1"
    learner.save(recipe, tensors, folder)
    return cohort, learner, recipe, tensors, folder


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


def test_figures_on_held_out_cases_are_those_of_the_masks(trained):
    cohort, learner, recipe, tensors, folder = trained
    figures = learner.evaluate(cohort, recipe, tensors, "test")
    assert [one.case for one in figures] == [case.case for case in cohort.split("test")]
    assert all(one.dice["lesion"] > 0.6 for one in figures)
    judged, aside = masks.evaluate(cohort, folder, "test")
    assert (judged, aside) == (figures, {})


def test_masks_lie_on_the_grid_of_their_images_with_a_table_of_lesions(trained):
    cohort, _, _, _, folder = trained
    place = SiteFolder(cohort.root.parent.parent).cohort("balls")
    outcome = masks.apply(place, folder)
    assert outcome.exit_code == 0
    assert len(outcome.done) == 6
    case = cohort.split("test")[0]
    anat = cohort.root / "derivatives" / "konsil" / f"sub-{case.subject}" / "ses-01" / "anat"
    mask = nib.load(anat / f"{case.case}_space-FLAIR_label-L_desc-balls1_mask.nii.gz")
    image = nib.load(cohort.root / case.images["FLAIR"])
    assert mask.shape == image.shape
    assert np.allclose(mask.affine, image.affine)
    assert mask.get_data_dtype() == np.uint8
    row = read_json(cohort.root / "derivatives" / "konsil" / "desc-balls1_lesions.json")["cases"][case.case]["lesion"]
    assert row["total_ml"] == pytest.approx(float(np.asanyarray(mask.dataobj).sum()) / 1000)
    assert row["count"] >= 1


def test_a_second_run_does_nothing_and_a_new_model_does_it_again(trained, monkeypatch):
    cohort, learner, recipe, tensors, folder = trained
    place = SiteFolder(cohort.root.parent.parent).cohort("balls")
    masks.apply(place, folder)
    from konsil.learners.nnunet import predict as module

    monkeypatch.setattr(module.Segmenter, "segment", lambda *_: pytest.fail("it was done already"))
    assert len(masks.apply(place, folder).done) == 6
    first = next(iter(tensors))
    learner.save(recipe, {**tensors, first: tensors[first] + 1}, folder)
    with pytest.raises(pytest.fail.Exception):
        masks.apply(place, folder)


def test_a_bad_case_is_set_aside_and_the_others_go_on(trained):
    cohort, _, _, _, folder = trained
    place = SiteFolder(cohort.root.parent.parent).cohort("balls")
    names = [case.case for case in cohort.cases[:2]]
    outcome = masks.apply(place, folder, [*names, "sub-Nobody_ses-01"])
    assert outcome.done == tuple(names)
    assert "is not there" in outcome.set_aside["sub-Nobody_ses-01"]
    assert outcome.exit_code == 2


def test_channels_on_different_grids_are_refused(trained, tmp_path: Path):
    cohort, _, _, _, folder = trained
    case = cohort.split("test")[0]
    images = {channel: cohort.root / path for channel, path in case.images.items()}
    shifted = tmp_path / "shifted.nii.gz"
    affine = np.eye(4)
    affine[0, 3] = 5
    nib.save(nib.Nifti1Image(voxels(images["T1w"]), affine), shifted)
    with pytest.raises(BadInput, match="not on the grid"):
        open_model(folder).segment({**images, "T1w": shifted})
    with pytest.raises(BadInput, match="a channel is missing"):
        open_model(folder).segment({"T1w": images["T1w"]})


def test_nnunet_itself_predicts_the_same_from_our_folder(trained, tmp_path: Path):
    cohort, _, _, _, folder = trained
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    case = cohort.split("test")[0]
    images = {channel: cohort.root / path for channel, path in case.images.items()}
    predict(folder, [images], [tmp_path / "ours.nii.gz"])
    theirs = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    theirs.initialize_from_trained_model_folder(str(folder), use_folds=("all",))
    files = [[str(images["T1w"]), str(images["FLAIR"])]]
    theirs.predict_from_files_sequential(files, [str(tmp_path / "theirs")], overwrite=True)
    assert voxels(tmp_path / "ours.nii.gz").any()
    assert np.array_equal(voxels(tmp_path / "ours.nii.gz"), voxels(tmp_path / "theirs.nii.gz"))


def test_the_verbs_say_what_they_did(trained, tmp_path: Path):
    cohort, _, _, _, folder = trained
    run = CliRunner()
    where, result = str(cohort.root), tmp_path / "result.json"
    first = cohort.cases[0].case
    done = run.invoke(assemble(), ["predict", where, "--model", str(folder), "--case", first, "--result", str(result)])
    assert (done.exit_code, json.loads(result.read_text())) == (0, {"done": [first], "set_aside": {}})
    done = run.invoke(assemble(), ["evaluate", where, "--model", str(folder), "--result", str(result)])
    assert done.exit_code == 0
    assert "mean Dice" in done.stdout
    assert json.loads(result.read_text())["summary"]["dice"]["mean"] > 0.6


def test_an_empty_cohort_is_refused(trained, tmp_path: Path):
    folder = trained[-1]
    with pytest.raises(Missing, match="no case"):
        masks.apply(SiteFolder(tmp_path).cohort("empty"), folder)
