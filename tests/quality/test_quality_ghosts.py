"""Ghosts and smears of a known share, planted into known places."""

import numpy as np
import pytest

from konsil.quality.ghosts import ghosts, streaks

SHAPE = (64, 80, 48)
RNG = np.random.default_rng(8)


def head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An even brain of 100 in empty air with noise of mean 10; the air keeps 4 voxels off."""
    brain, near = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    brain[24:40, 30:50, 10:38] = True
    near[20:44, 26:54, 6:42] = True
    return np.where(brain, 100.0, RNG.uniform(5, 15, SHAPE)), brain, ~near


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.25])
def test_a_ghost_of_share_g_measures_g_along_its_axis(axis: int, share: float) -> None:
    image, brain, air = head()
    ghost = share * np.roll(np.where(brain, 100.0, 0.0), SHAPE[axis] // 2, axis=axis)
    assert ghosts(image + ghost, brain, air)[axis] == pytest.approx(share, abs=0.003)


def test_a_ghost_along_one_axis_is_none_along_another() -> None:
    image, brain, air = head()
    image += 0.2 * np.roll(np.where(brain, 100.0, 0.0), SHAPE[1] // 2, axis=1)
    assert ghosts(image, brain, air)[0] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_smear_of_a_known_share_is_found_in_line_with_the_brain(axis: int) -> None:
    image, brain, air = head()
    lines = brain.any(axis=axis, keepdims=True) & ~brain
    smeared = image + 5.0 * lines
    assert streaks(smeared, brain, air)[axis] == pytest.approx(0.05, abs=0.003)
    assert streaks(image, brain, air)[axis] == pytest.approx(0, abs=0.003)


def test_without_air_or_brain_there_is_nothing_to_compare() -> None:
    image, brain, air = head()
    assert ghosts(image, brain, air & False) == (None, None, None)
    assert streaks(image, brain & False, air) == (None, None, None)
    assert streaks(np.where(brain, 0.0, image), brain, air) == (None, None, None)
