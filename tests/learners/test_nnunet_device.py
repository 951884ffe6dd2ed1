"""What a training runs on. The card is played by a patched torch here; test_nnunet_gpu.py asks a real one."""

from __future__ import annotations

import multiprocessing
import sysconfig
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from konsil.errors import BadMessage, BadSetting, Unavailable
from konsil.learners.nnunet import device, gpu_memory, keepsake, network, predict, session
from konsil.learners.nnunet.recipe import check_for, seal
from konsil.learners.nnunet.settings import parse_settings


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device.tools_are_there.cache_clear()


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def site(make_cohort, make_learner) -> Any:
    home, cohort = make_cohort("A")
    learner = make_learner(home)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    return home, cohort, recipe, learner.initial(recipe)


@pytest.mark.usefixtures("no_card")
def test_a_gpu_that_is_not_there_is_asked_for_in_vain():
    assert device.chosen("auto").type == "cpu"
    with pytest.raises(BadSetting, match="torch finds none"):
        device.chosen("cuda")


@pytest.mark.usefixtures("card")
def test_on_a_card_the_defaults_are_nnunets(tmp_path: Path):
    assert device.chosen("auto").type == device.chosen("cuda").type == "cuda"
    assert device.chosen("cpu").type == "cpu"
    found = device.variables(parse_settings({}), tmp_path)
    assert (found["nnUNet_n_proc_DA"], found["nnUNet_compile"]) == ("12", "True")
    assert Path(found["TORCHINDUCTOR_CACHE_DIR"]).is_relative_to(tmp_path)


def test_a_cpu_neither_compiles_nor_augments_in_processes(tmp_path: Path):
    found = device.variables(parse_settings({"device": "cpu"}), tmp_path)
    assert found == {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "False"}


@pytest.mark.usefixtures("card")
def test_without_a_compiler_training_goes_on_and_says_so(tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert device.variables(parse_settings({}), tmp_path)["nnUNet_compile"] == "False"
    assert "lacks Python's header files" in caplog.text
    device.tools_are_there.cache_clear()


@pytest.mark.usefixtures("card")
def test_determinism_has_no_workers(tmp_path: Path):
    assert device.workers(parse_settings({"deterministic": True})) == 0
    with pytest.raises(BadSetting, match="augmentation_workers"):
        parse_settings({"deterministic": True, "augmentation_workers": 2})


def test_determinism_is_switched_off_again_by_a_charter_without_it():
    device.set_up(torch.device("cpu"), parse_settings({"deterministic": True}))
    assert torch.are_deterministic_algorithms_enabled()
    device.set_up(torch.device("cpu"), parse_settings({}))
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_full_card_is_a_sentence_and_the_next_try_starts_anew(site, make_learner, monkeypatch):
    home, cohort, recipe, weights = site
    learner = make_learner(home)

    def full(trainer: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(session, "run_epoch", full)
        with pytest.raises(Unavailable, match="memory is full"):
            learner.train(cohort, recipe, weights, 1)
    assert not list((home / "runs").rglob("*.safetensors"))
    assert learner.train(cohort, recipe, weights, 1).steps == 3


@pytest.fixture
def image(site) -> Any:
    """A predictor's whole work: recipe, network, and an image of shape (channels, z, y, x) of several patches."""
    _, _, recipe, _ = site
    return (
        recipe,
        network.build(recipe),
        torch.from_numpy(np.random.default_rng(2).normal(size=(2, 20, 24, 20))).float(),
    )


def test_patches_cut_where_they_are_used_add_up_to_nnunets_own_logits(image, monkeypatch):
    recipe, built, voxels = image
    ours = predict.predictor(recipe, built).predict_logits_from_preprocessed_data(voxels)
    monkeypatch.setattr(predict, "Predictor", nnUNetPredictor)
    theirs = predict.predictor(recipe, built).predict_logits_from_preprocessed_data(voxels)
    assert ours.shape == (2, 20, 24, 20)
    assert torch.equal(ours, theirs)


def test_a_patch_that_finds_no_room_is_an_error_and_not_a_silence(image, monkeypatch):
    """nnU-Net's own predictor waits for ever here: the thread that hands it the patches has died."""
    recipe, built, voxels = image

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "clone", full)
    with pytest.raises(torch.OutOfMemoryError):
        predict.predictor(recipe, built).predict_logits_from_preprocessed_data(voxels)


@pytest.mark.parametrize(
    ("said", "free", "full"),
    [
        ("CUDA error: out of memory", None, True),
        ("backend='inductor' raised: RuntimeError: Triton Error [CUDA]: out of memory", None, True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", None, True),
        ("FIND was unable to find an engine to execute this computation", 20 << 20, True),
        ("FIND was unable to find an engine to execute this computation", 20 << 30, False),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", 20 << 30, False),
        ("CUDA error: device-side assert triggered", 0, False),
    ],
)
def test_how_a_full_card_speaks(monkeypatch, said: str, free: int | None, full: bool):
    """What names no reason counts only where the card has little left."""
    monkeypatch.setattr(gpu_memory, "free_bytes", lambda: free)
    assert gpu_memory.is_full(RuntimeError(said)) is full


@pytest.mark.parametrize("end", ["the process ends", "the learner is dropped"])
def test_workers_are_ended_before_they_are_missed(make_cohort, make_learner, monkeypatch, end: str):
    """Else the thread that waits for their batches ends in a traceback that looks like a failed training."""
    asked: list[Any] = []
    monkeypatch.setattr(session.atexit, "register", lambda *call: asked.append(call))
    home, cohort = make_cohort("W", seed=3)
    learner = make_learner(home, augmentation_workers=1)
    recipe = learner.plan({"W": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    before = set(multiprocessing.active_children())
    learner.train(cohort, recipe, learner.initial(recipe), 1)
    workers = set(multiprocessing.active_children()) - before
    assert workers
    if end == "the learner is dropped":
        del learner
    else:
        ours = [function for function, *_ in asked if isinstance(function, weakref.finalize)]
        assert ours
        for function in ours:
            function()
    for worker in workers:
        worker.join(10)  # they were told to end; on a busy machine that takes a moment
    assert not workers & set(multiprocessing.active_children())


@pytest.fixture
def scale_gradients(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`scale_gradients(init_scale)`: train on a CPU with a gradient scaler that doubles its scale at every step."""
    start, kind = session.start, torch.GradScaler

    def with_scaler(home: Path, recipe: Any, extra_rounds: int) -> Any:
        trainer = start(home, recipe, extra_rounds)
        trainer.grad_scaler = torch.GradScaler("cpu")
        return trainer

    def begin_with(scale: float) -> None:
        monkeypatch.setattr(session, "start", with_scaler)
        monkeypatch.setattr(torch, "GradScaler", lambda place: kind(place, init_scale=scale, growth_interval=1))

    return begin_with


def test_steps_that_the_gradient_scaler_skipped_are_not_counted(site, make_learner, scale_gradients):
    home, cohort, recipe, weights = site
    scale_gradients(float("inf"))
    update = make_learner(home).train(cohort, recipe, weights, 1)
    assert update.steps == 0
    assert all(np.array_equal(update.tensors[name], weights[name]) for name in weights)


def test_the_gradient_scaler_is_part_of_what_is_kept(site, make_learner, scale_gradients):
    """Round 1 once more in a warm session, or round 2 in a cold one: the scale it had, not what came after."""
    home, cohort, recipe, weights = site
    scale_gradients(2.0**10)
    learner = make_learner(home)

    def scale_after(number: int) -> float:
        folder = home / "runs" / "tiny-run" / "nnunet" / "federated"
        kept = keepsake.load(folder, recipe["sha256"], before=number + 1)
        assert kept is not None
        return float(kept.scaler["scale"])

    first = learner.train(cohort, recipe, weights, 1)
    assert (first.steps, scale_after(1)) == (3, 2.0**13)
    learner.train(cohort, recipe, weights, 1)
    assert scale_after(1) == 2.0**13
    learner.train(cohort, recipe, first.tensors, 2)
    make_learner(home).train(cohort, recipe, first.tensors, 2)
    assert scale_after(2) == 2.0**16


def test_a_recipe_of_a_version_that_did_not_know_a_setting_is_still_the_charters(site, make_learner):
    home, _, recipe, _ = site
    konsil = recipe["plans"]["konsil"]
    older = {key: value for key, value in konsil["settings"].items() if key not in ("compiled", "deterministic")}
    body = {key: value for key, value in recipe.items() if key not in ("sha256", "format")}
    learner = make_learner(home)
    expected = {"data": learner.data, "settings": learner.settings, "rounds": 2, "seed": 7, "run": "tiny-run"}
    check_for(seal({**body, "plans": {**recipe["plans"], "konsil": {**konsil, "settings": older}}}), **expected)
    other = {**older, "learning_rate": 0.5}
    with pytest.raises(BadMessage, match="settings differ"):
        check_for(seal({**body, "plans": {**recipe["plans"], "konsil": {**konsil, "settings": other}}}), **expected)
