"""Every trace on arrays whose answer is known."""

import numpy as np
import pytest

from konsil.cohort.volume import Volume
from konsil.quality.regions import Regions
from konsil.quality.traces import (
    NAMES,
    air_level,
    detail,
    edge_strength,
    face_signal,
    hole_ml,
    line_jitter,
    shading,
    shadow_ratio,
    traces,
)

SHAPE = (40, 48, 44)
CHANCE = np.random.default_rng(5)
MIDDLE = tuple(slice(size // 2 - 8, size // 2 + 8) for size in SHAPE)
SPACING = np.full(3, 2.0)


def block(inside: float = 1.0, noise: float = 0.02) -> np.ndarray:
    """A bright block in noise."""
    data = np.abs(CHANCE.normal(0, noise, SHAPE))
    data[MIDDLE] += inside
    return data.astype(np.float32)


def mask(*sides: slice) -> np.ndarray:
    inside = np.zeros(SHAPE, bool)
    inside[sides or MIDDLE] = True
    return inside


def power(data: np.ndarray) -> np.ndarray:
    return np.square(np.abs(np.fft.fftn(data)))


def regions() -> Regions:
    brain = mask()
    air = ~mask(*(slice(side.start - 2, side.stop + 2) for side in MIDDLE))
    return Regions(brain=brain, matter=brain, parenchyma=brain, fluid=np.zeros(SHAPE, bool), air=air)


def test_lines_that_alternate_in_strength_jitter() -> None:
    data = CHANCE.normal(1, 0.1, SHAPE)
    lines = np.fft.fft(data, axis=1)
    lines[:, ::2] *= 1.2
    # ln of energy differs by 2 ln 1.2 from line to line, its second difference by twice that.
    assert line_jitter(power(np.fft.ifft(lines, axis=1).real)) == pytest.approx(4 * np.log(1.2), abs=0.1)
    assert line_jitter(power(data)) < 0.15


def test_blur_takes_energy_from_fine_structure() -> None:
    from scipy import ndimage

    data = np.zeros((64, 64, 64))
    data[8:-8, 8:-8, 8:-8] = CHANCE.uniform(0.5, 1.5, (48, 48, 48))
    sharp, soft = (detail(power(image), SPACING) for image in (data, ndimage.gaussian_filter(data, 1.5)))
    assert sharp is not None
    assert soft is not None
    assert sharp > soft + 1


def test_nothing_has_no_detail() -> None:
    assert detail(np.zeros(SHAPE), SPACING) is None


def test_a_ghost_along_one_axis_throws_its_shadow_there() -> None:
    data = block()
    assert shadow_ratio(data, regions().brain, regions().air) == pytest.approx(1, abs=0.1)
    ghosted = data + 0.2 * np.roll(data, SHAPE[1] // 2, axis=1)
    assert (shadow_ratio(ghosted, regions().brain, regions().air) or 0) > 1.5


def test_a_head_that_touches_a_side_is_bright_there() -> None:
    data = block()
    assert (face_signal(data, mask()) or 1) < 0.2
    data[:, -2:, 20:30] = 0.7
    assert face_signal(data, mask()) == pytest.approx(0.7, abs=0.05)
    assert face_signal(data, np.zeros(SHAPE, bool)) is None


def test_a_hole_has_its_volume_and_thin_gaps_have_none() -> None:
    data = block()
    data[18, MIDDLE[1], MIDDLE[2]] = 0  # a gap of one voxel
    assert hole_ml(data, mask(), 0.008) == 0
    data[20:26, 20:26, 20:26] = 0
    assert hole_ml(data, mask(), 0.008) == pytest.approx(6**3 * 0.008)


def test_shading_is_the_spread_over_the_brain() -> None:
    wide = np.ones(SHAPE, bool)
    ramp = np.broadcast_to(np.linspace(0.5, 1.5, SHAPE[0])[:, None, None], SHAPE).astype(np.float32)
    assert shading(np.ones(SHAPE, np.float32), wide, SPACING) == pytest.approx(0, abs=1e-5)
    assert 0.5 < shading(ramp, wide, SPACING) < 0.9


def test_edges_lose_their_strength_in_a_blur() -> None:
    from scipy import ndimage

    stripes = np.broadcast_to((np.arange(SHAPE[0]) // 6 % 2)[:, None, None], SHAPE).astype(np.float32)
    wide = np.ones(SHAPE, bool)
    sharp, soft = (edge_strength(image, wide, SPACING) for image in (stripes, ndimage.gaussian_filter(stripes, 1.5)))
    assert 0 < soft < 0.9 * sharp


def test_the_air_is_as_bright_as_its_brightest_hundredth() -> None:
    assert air_level(block(noise=0.1), regions().air) == pytest.approx(0.1 * 2.576, rel=0.05)
    assert air_level(block(), np.zeros(SHAPE, bool)) is None


def test_all_traces_have_their_names_and_no_unit() -> None:
    one, other = (traces(Volume(factor * block(), np.diag([2.0, 2, 2, 1])), regions()) for factor in (1.0, 300.0))
    assert tuple(one) == NAMES
    assert all(
        value == pytest.approx(other[name], rel=0.2, abs=0.03) for name, value in one.items() if value is not None
    )


def test_masked_air_leaves_no_traces() -> None:
    data = np.where(regions().air, 0, block())
    found = traces(Volume(data, np.diag([2.0, 2, 2, 1])), regions())
    assert found["shadow_ratio"] is None
    assert found["air_level"] is None
    assert found["detail"] is not None


def test_without_parenchyma_there_are_no_traces() -> None:
    nothing = Regions(*(np.zeros(SHAPE, bool) for _ in range(5)))
    assert set(traces(Volume(block(), np.diag([2.0, 2, 2, 1])), nothing).values()) == {None}
