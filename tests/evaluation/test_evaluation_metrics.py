"""Overlap figures: formulas on masks small enough to count by hand, and what is not defined."""

from __future__ import annotations

import numpy as np
import pytest

from konsil.errors import BadInput
from konsil.evaluation.metrics import CaseMetrics, measure, summarise

LABELS = {"background": 0, "lesion": 1}


def masks(predicted: list[int], reference: list[int]) -> CaseMetrics:
    shape = (1, 1, len(predicted))
    return measure("sub-1_ses-1", np.reshape(predicted, shape), np.reshape(reference, shape), LABELS, voxel_mm3=500.0)


def test_figures_follow_the_formulas():
    found = masks([1, 1, 1, 0, 0], [0, 1, 1, 1, 1])  # 2 in common, 3 predicted, 4 drawn
    assert found.dice["lesion"] == pytest.approx(4 / 7)
    assert found.sensitivity["lesion"] == pytest.approx(2 / 4)
    assert found.precision["lesion"] == pytest.approx(2 / 3)
    assert (found.predicted_ml["lesion"], found.reference_ml["lesion"]) == (1.5, 2.0)


def test_two_empty_masks_have_no_figures_but_volumes():
    found = masks([0, 0], [0, 0])
    assert (found.dice["lesion"], found.sensitivity["lesion"], found.precision["lesion"]) == (None, None, None)
    assert found.predicted_ml["lesion"] == 0.0
    assert found.mean() is None


def test_a_false_lesion_in_a_healthy_brain_counts_against_the_model():
    found = masks([1, 0], [0, 0])
    assert found.dice["lesion"] == 0.0
    assert found.precision["lesion"] == 0.0
    assert found.sensitivity["lesion"] is None


def test_labels_are_measured_apart_and_the_background_not_at_all():
    found = measure("c", np.array([1, 2, 2]), np.array([1, 2, 1]), {"background": 0, "a": 1, "b": 2}, 1.0)
    assert set(found.dice) == {"a", "b"}
    assert found.dice["a"] == pytest.approx(2 / 3)
    assert found.mean() == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_masks_of_different_shape_are_refused():
    with pytest.raises(BadInput, match="shape"):
        measure("c", np.zeros((2, 2)), np.zeros((2, 3)), LABELS, 1.0)


def test_the_pseudonym_stays_unless_asked_for():
    found = masks([1], [1])
    assert "case" not in found.as_json()
    assert found.as_json(with_case=True)["case"] == "sub-1_ses-1"


def test_means_leave_out_what_is_not_defined():
    cases = [masks([1, 1], [1, 1]), masks([1, 0], [1, 1]), masks([0, 0], [0, 0])]
    summary = summarise(cases)
    assert summary["cases"] == 3
    assert summary["dice"]["cases"] == 2
    assert summary["dice"]["mean"] == pytest.approx((1 + 2 / 3) / 2)
    assert summary["dice"]["by_label"]["lesion"] == {"mean": summary["dice"]["mean"], "cases": 2}
    assert summarise([])["dice"]["mean"] is None
