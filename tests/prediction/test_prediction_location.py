"""Ventricles and cortex of a person who is not the atlas: the atlas widened or moved, so that both are known.

How often whole heads are named right, bench/locations.py tells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from konsil.cohort.volume import Volume
from konsil.prediction.cortex import find_cortex
from konsil.prediction.location import Head, distances, find_lesions
from konsil.prediction.ventricles import REACH_MM, find_ventricles, fluids, levels, tissue
from konsil.quality.atlas import Placement, brain, lay

HERE = Placement(np.eye(4), 1.0)
FLUID, WHITE, GREY, LESION = 20.0, 100.0, 125.0, 190.0  # on the FLAIR
MM = 2.0


class Person:
    """A head on the atlas's 2 mm grid: tissue shares, the FLAIR they give, and a T1w."""

    def __init__(self, widened: int = 0, moved: int = 0) -> None:
        self.affine = brain().affine
        self.grid = Volume(np.zeros(brain().data.shape, np.float32), self.affine)
        self.brain = brain().data > 0.5
        lateral, other = (lay(one, HERE, self.grid) > 0.5 for one in fluids())
        self.atlas, self.other = lateral, other
        self.ventricles = ndimage.binary_dilation(lateral, iterations=widened) & ~other if widened else lateral
        self.grey = np.roll(lay(tissue("gm"), HERE, self.grid), moved, axis=0) > 0.6
        self.lesions = np.zeros_like(lateral)
        self.draw()

    def draw(self) -> None:
        """The images, with a little noise."""
        fluid = (self.ventricles | self.other) & ~self.lesions
        noise = np.random.default_rng(1).normal(0, 3, self.brain.shape).astype(np.float32)
        layers = [self.lesions, fluid, self.grey]
        flair = np.select(layers, [LESION, FLUID, GREY], WHITE) * self.brain + noise
        t1w = np.select(layers, [70.0, 25.0, 70.0], 100.0) * self.brain + noise
        self.flair, self.t1w = (Volume(one.astype(np.float32), self.affine) for one in (flair, t1w))

    def head(self, *, with_t1w: bool = True) -> Head:
        return Head(self.flair, Volume(self.brain, self.affine), HERE, self.t1w if with_t1w else None)


def dice(one: Any, other: Any) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_ventricles_wider_than_the_atlass_are_followed_and_other_fluid_is_not():
    person = Person(widened=3)
    found = find_ventricles(person.flair, person.brain, HERE)
    assert dice(person.atlas, person.ventricles) < 0.6  # by the atlas alone
    assert dice(found, person.ventricles & person.brain) > 0.85
    assert not (found & person.other).any()


def test_fluid_far_from_the_atlass_ventricles_is_not_followed():
    person = Person()
    channel = np.zeros_like(person.brain)
    seeds = np.argwhere(person.atlas)
    x, y, z = seeds[seeds[:, 2].argmax()]
    channel[x, y, z : z + 20] = True  # 40 mm upwards
    person.ventricles = person.ventricles | channel
    person.draw()
    found = np.argwhere(find_ventricles(person.flair, person.brain, HERE) & channel)[:, 2].max()
    assert (found - z) * MM == pytest.approx(REACH_MM, abs=MM)


def test_many_bright_lesions_around_them_do_not_move_the_border():
    """Two fifths of the white matter nearby are lesions: the middle between dark and bright would lie above it."""
    expected = np.array([FLUID] * 70 + [WHITE] * 30)
    for lesions in (0, 40):
        white = np.array([WHITE] * (100 - lesions) + [LESION] * lesions)
        assert levels(expected, white) == (FLUID, WHITE)


def test_where_no_fluid_is_seen_the_atlas_stands():
    """Ventricles thinner than a voxel are still there."""
    person = Person()
    person.ventricles = person.other = np.zeros_like(person.brain)
    person.draw()
    assert np.array_equal(find_ventricles(person.flair, person.brain, HERE), person.atlas & person.brain)
    assert not find_ventricles(person.flair, np.zeros_like(person.brain), HERE).any()


def test_cortex_is_where_the_t1w_is_grey_and_not_where_the_atlas_would_have_it():
    person = Person(moved=2)
    far = np.full(person.brain.shape, 99.0, np.float32)
    none = np.zeros_like(person.brain)
    own, atlas = (
        find_cortex(person.flair, person.brain, HERE, far, t1w=t1w, lesions=none) for t1w in (person.t1w, None)
    )
    truth = person.grey & person.brain
    assert dice(own, truth) > dice(atlas, truth) + 0.1, (dice(own, truth), dice(atlas, truth))


def test_a_lesion_deep_in_white_matter_is_no_cortex_though_the_t1w_shows_it_as_grey():
    person = Person()
    deep = person.brain & ~person.grey & ~person.atlas & ~person.other
    far = ndimage.distance_transform_edt(deep) * (lay(tissue("wm"), HERE, person.grid) > 0.99)
    far *= ndimage.distance_transform_edt(~person.atlas) * MM > 12
    centre = np.unravel_index(far.argmax(), far.shape)
    assert far[centre] * MM > 6
    person.lesions[centre] = True
    person.lesions = ndimage.binary_dilation(person.lesions)
    person.draw()
    mask = Volume(person.lesions.astype(np.uint8), person.affine)
    (lesion,) = find_lesions(mask, {"background": 0, "lesion": 1}, person.head())
    assert lesion.location == "deep white matter"


@pytest.mark.parametrize("with_t1w", [True, False])
def test_a_lesion_at_a_wide_ventricle_is_periventricular_with_and_without_a_t1w(with_t1w: bool):
    person = Person(widened=3)
    wall = ndimage.binary_dilation(person.ventricles) & ~person.ventricles & ~person.other & person.brain & ~person.grey
    far = np.where(wall, ndimage.distance_transform_edt(~person.atlas) * MM, 0)
    person.lesions[np.unravel_index(far.argmax(), far.shape)] = True
    person.draw()
    to_ventricle, _ = distances(person.head(with_t1w=with_t1w), person.lesions)
    assert to_ventricle[person.lesions].min() <= 1.5 * MM
    mask = Volume(person.lesions.astype(np.uint8), person.affine)
    (lesion,) = find_lesions(mask, {"background": 0, "lesion": 1}, person.head(with_t1w=with_t1w))
    assert lesion.location == "periventricular"
