"""The outline of a mask against truths that are known: a ball, and synthetic heads."""

import numpy as np
import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.cohort.volume import Volume, read_volume
from konsil.errors import Missing
from konsil.phantom.patient import Patient
from konsil.quality import hd_bet
from konsil.quality.atlas import brain, lay
from konsil.quality.boundary import follow
from konsil.quality.masks import mask, read_placement

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def ball(radius_mm: float, x_mm: float = 0.0) -> np.ndarray:
    i, j, k = (np.indices((60, 60, 60)) - 29.5) * 2
    return np.asarray((i - x_mm) ** 2 + j**2 + k**2 < radius_mm**2)


@pytest.fixture(scope="module")
def head() -> Volume:
    """A brain of 40 mm with a dark hole and a lesion, dark bone up to 47 mm, bright scalp up to 54 mm, and a coil."""
    data = np.where(ball(54), 130.0, 0.0)
    data[ball(47)] = 8
    data[ball(40)] = 100
    data[ball(8)] = 20
    data[ball(5, 25.0)] = 170
    coil = np.linspace(0.7, 1.3, 60).reshape(-1, 1, 1)
    noise = np.random.default_rng(2).normal(0, 4, data.shape)
    return Volume((data * coil + noise).astype(np.float32), AFFINE)


def test_an_outline_that_lies_some_millimetres_off_moves_to_the_brain(head: Volume) -> None:
    laid = ball(43, 3.0)
    found = follow(head, laid.astype(np.float32), head)
    assert dice(laid, ball(40)) < 0.92
    assert dice(found, ball(40)) > 0.97


def test_holes_and_lesions_stay_in_and_the_scalp_stays_out(head: Volume) -> None:
    found = follow(head, ball(40).astype(np.float32), head)
    assert found[ball(8)].all()
    assert found[ball(5, 25.0)].all()
    assert not found[ball(54) & ~ball(48)].any()


def test_an_outline_outside_the_image_gives_an_empty_mask(head: Volume) -> None:
    assert not follow(head, np.zeros(head.data.shape, np.float32), head).any()


def test_the_outline_on_a_head_comes_closer_to_the_brain(prepared: CohortFolder, patient: Patient) -> None:
    case = Case("good", "1")
    for suffix, truth in (("T1w", patient.brain_t1w), ("FLAIR", patient.brain_flair)):
        image = read_volume(prepared.oriented(case, suffix), "it")
        laid = lay(brain(), read_placement(prepared, case, suffix), image) > 0.5
        drawn = read_volume(prepared.brain_mask(case, suffix), "it").data > 0
        assert dice(drawn, truth) > max(0.965, dice(laid, truth))


def test_masks_by_a_network_that_is_not_installed_are_refused_in_words(prepared: CohortFolder) -> None:
    before = prepared.brain_mask(Case("good", "1"), "T1w").read_bytes()
    with pytest.raises(Missing, match=r"HD-BET is not installed.*pip install"):
        mask(prepared, method="hd-bet")
    with pytest.raises(Missing, match="not installed"):
        hd_bet.require()
    done = CliRunner().invoke(
        assemble(), ["mask", prepared.name, "--brain-masks", "hd-bet"], env={"KONSIL_HOME": str(prepared.site.home)}
    )
    assert isinstance(done.exception, Missing)
    assert prepared.brain_mask(Case("good", "1"), "T1w").read_bytes() == before
    assert prepared.set_aside_cases() == {}
