"""Slices are one volume, or a sentence says why not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from konsil.dicom.geometry import Frame, Limits, grid_of, same_grid
from konsil.errors import BadInput

ANY = Limits(slices=1, smallest_mm=0, largest_mm=1e9)
AXIAL = np.array([1.0, 0, 0, 0, 1, 0])


def stack(count: int = 30, step_mm: float = 5.0) -> list[Frame]:
    return [Frame(np.array([-80.0, -70.0, k * step_mm]), AXIAL, (1.0, 0.9), (200, 180)) for k in range(count)]


def changed(k: int, **changes: object) -> list[Frame]:
    frames = stack()
    frames[k] = Frame(**{**vars(frames[k]), **changes})  # type: ignore[arg-type]
    return frames


def test_a_stack_has_the_grid_that_its_headers_describe() -> None:
    grid = grid_of(stack())
    assert grid.shape == (180, 200, 30)
    np.testing.assert_allclose(grid.spacing_mm, (0.9, 1.0, 5.0))
    np.testing.assert_allclose(grid.affine @ [0, 0, 0, 1], [80, 70, 0, 1])
    np.testing.assert_allclose(grid.affine @ [1, 1, 1, 1], [79.1, 69, 5, 1])


@given(st.randoms())
def test_the_order_of_files_does_not_matter(random: object) -> None:
    frames = stack()
    random.shuffle(frames)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(grid_of(frames).affine, grid_of(stack()).affine)


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        ([], "no slices"),
        (stack(9), "too few slices; expected at least 10; got 9"),
        (stack(30, 2.0), "does not cover a head; expected 100 to 400 mm"),
        (stack(30, 20.0), "does not cover a head"),
        (
            stack()[:12] + stack()[13:],
            "slice of the series is missing; expected 29 slices 5 mm apart; got 1 missing after slice 12",
        ),
        (stack()[:12] + stack()[15:], "got 3 missing after slice 12"),
        (stack() + stack()[4:5], "two slices of the series lie at one place"),
        (changed(7, position=np.array([-80.0, -70, 37.0])), "not evenly spaced"),
        (changed(7, position=np.array([-78.0, -70, 35.0])), "sheared against each other"),
        (changed(7, orientation=np.array([1.0, 0, 0, 0, 0, -1])), "mixes orientations"),
        (changed(7, size=(200, 181)), "different sizes"),
        (changed(7, spacing_mm=(1.0, 0.8)), "mixes pixel spacings"),
    ],
)  # fmt: skip
def test_what_is_no_volume_is_refused_with_its_reason(frames: list[Frame], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        grid_of(frames)


def test_a_tilted_gantry_is_refused() -> None:
    tilted = [
        Frame(frame.position + np.array([0, 1.5 * k, 0]), *list(vars(frame).values())[1:])
        for k, frame in enumerate(stack())
    ]
    with pytest.raises(BadInput, match="sheared"):
        grid_of(tilted)


def test_rounding_in_headers_is_no_fault() -> None:
    rough = [
        Frame(np.round(frame.position + 0.04 * (k % 2), 2), *list(vars(frame).values())[1:])
        for k, frame in enumerate(stack())
    ]
    assert grid_of(rough).shape == (180, 200, 30)


FLIPS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda a: a,
    lambda a: a @ np.array([[-1, 0, 0, 179], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    lambda a: a @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 29], [0, 0, 0, 1]]),
]


@pytest.mark.parametrize("flip", FLIPS)
def test_a_grid_is_the_same_whatever_the_direction_of_its_axes(flip: Callable[[np.ndarray], np.ndarray]) -> None:
    grid = grid_of(stack())
    assert same_grid(grid, grid.shape, flip(grid.affine))


def test_a_shift_or_another_size_is_another_grid() -> None:
    grid = grid_of(stack())
    moved = grid.affine.copy()
    moved[2, 3] += 0.5
    assert not same_grid(grid, grid.shape, moved)
    assert not same_grid(grid, (180, 200, 31), grid.affine)
