"""The shipped model does what it was stored to do, says more where more is wrong, and knows when it knows nothing."""

import numpy as np
import pytest

from konsil.cohort.volume import Volume
from konsil.phantom.faults import ARTIFACTS
from konsil.phantom.patient import Patient, make_patient
from konsil.phantom.volume import record
from konsil.quality.artifact_score import artifact_probability, averaged, read_models, score_image
from konsil.quality.atlas import Placement, place_atlas

SUFFIXES = ("T1w", "FLAIR")


@pytest.fixture(scope="module")
def scene() -> tuple[Patient, Placement]:
    """A patient that the model was not trained on, and where the atlas lies on the T1w."""
    patient = make_patient(3, "B", resolution_mm=2.0)
    return patient, place_atlas(Volume(patient.t1w.array, patient.t1w.affine))


def probability(scene: tuple[Patient, Placement], fault: str, severity: float) -> float:
    patient, placement = scene
    chance = np.random.default_rng(3)
    image = record(chance, ARTIFACTS[fault](np.random.default_rng(2), patient.t1w_signal, severity))
    volume = Volume(image.array, image.affine)
    found = score_image(volume, placement, "T1w")
    assert found is not None
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_model_gives_the_values_it_was_stored_with(suffix: str) -> None:
    checks = read_models()["models"][suffix]["checks"]
    assert len(checks) >= 4
    for check in checks:
        assert artifact_probability(check["features"], suffix) == pytest.approx(check["probability"], abs=2e-3)


def test_the_stored_values_are_not_all_the_same() -> None:
    values = [check["probability"] for suffix in SUFFIXES for check in read_models()["models"][suffix]["checks"]]
    assert max(values) - min(values) > 0.5


@pytest.mark.parametrize("fault", ["motion", "ghosting"])
def test_the_probability_grows_with_the_severity(scene: tuple[Patient, Placement], fault: str) -> None:
    mild, middling, severe = (probability(scene, fault, severity) for severity in (0.01, 0.3, 1.5))
    assert mild < 0.7
    assert mild < middling <= severe + 0.02
    assert severe > 0.9


def test_missing_features_count_as_clean() -> None:
    model = read_models()["models"]["T1w"]
    clean = dict(zip(model["features"], [None] * len(model["features"]), strict=True))
    worst = max(model["checks"], key=lambda check: check["probability"])["features"]
    some = {name: value for index, (name, value) in enumerate(worst.items()) if index % 3}
    assert artifact_probability(clean, "T1w") is None
    assert 0 <= (artifact_probability(some, "T1w") or -1) <= (artifact_probability(worst, "T1w") or -1)


def test_what_is_no_number_is_missing() -> None:
    features = dict(read_models()["models"]["T1w"]["checks"][0]["features"])
    without = artifact_probability(features | {"spike_score": None}, "T1w")
    assert artifact_probability(features | {"spike_score": float("nan")}, "T1w") == without


def test_an_unknown_image_has_no_score() -> None:
    assert artifact_probability(read_models()["models"]["T1w"]["checks"][0]["features"], "T2w") is None


def test_the_models_numbers_fit_together() -> None:
    for model in read_models()["models"].values():
        count = len(model["features"])
        assert len(model["medians"]) == len(model["spreads"]) == len(model["scales"]) == count
        assert len(model["weights"]) == 2 * count
        assert min(model["weights"]) >= 0
        assert min(model["spreads"]) > 0


def test_averaging_brings_voxels_to_2_mm_and_keeps_places() -> None:
    fine = Volume(np.arange(8 * 6 * 4, dtype=np.int16).reshape(8, 6, 4), np.diag([1.0, 1, 2, 1]))
    coarse = averaged(fine)
    assert coarse.data.shape == (4, 3, 4)
    assert coarse.data[0, 0, 0] == fine.data[:2, :2, 0].mean()
    assert np.allclose(coarse.affine @ [0, 0, 0, 1], [0.5, 0.5, 0, 1])
    assert averaged(coarse) is coarse
