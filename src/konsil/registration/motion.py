"""Rigid movements, and the climb to the one that a criterion likes best.

A movement is searched as six numbers in mm: three shifts, and a rotation vector times LEVER_MM, so that a step of 1 in
any of them moves the brain's surface by about 1 mm. The rotation turns about the brain's centre. The derivative of a
turned point R u by the rotation vector w is -[R u]x J(w) with J the left Jacobian of SO(3) (Sola et al.,
arXiv:1812.01537, eq. 143 and 145).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

LEVER_MM = 60.0  # distance of the brain's surface from its centre
STEPS = 40
SETTLED = 1e-7  # relative gain below which a climb ends

Matrix = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]


class Criterion(Protocol):
    """How well two images agree at a movement: more is better."""

    @property
    def points(self) -> Floats:
        """(3, N), RAS mm in the fixed image."""

    def evaluate(self, movement: Matrix) -> tuple[float, Floats]:
        """The agreement and its slope by each moved point, (3, N), per mm in the moving image."""


def cross_matrix(vector: Floats) -> Matrix:
    """[v]x, the 3 x 3 matrix with [v]x u = v x u."""
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=np.float64)


def rotation_of(vector: Floats) -> Matrix:
    """The 3 x 3 rotation by |vector| radians about the vector (Rodrigues' formula)."""
    angle, K = float(np.linalg.norm(vector)), cross_matrix(vector)
    if angle < 1e-8:
        return np.eye(3) + K
    return np.asarray(np.eye(3) + np.sin(angle) / angle * K + (1 - np.cos(angle)) / angle**2 * K @ K)


def left_jacobian(vector: Floats) -> Matrix:
    """How a small change of the rotation vector turns what is turned already; 3 x 3."""
    angle, K = float(np.linalg.norm(vector)), cross_matrix(vector)
    if angle < 1e-6:
        return np.eye(3) + K / 2
    return np.asarray(np.eye(3) + (1 - np.cos(angle)) / angle**2 * K + (angle - np.sin(angle)) / angle**3 * K @ K)


def movement_of(six: Floats, centre: Floats) -> Matrix:
    """The 4 x 4 movement: turn by six[:3] / LEVER_MM radians about `centre` (mm), then shift by six[3:] mm."""
    M = np.eye(4)
    M[:3, :3] = rotation_of(six[:3] / LEVER_MM)
    M[:3, 3] = centre + six[3:] - M[:3, :3] @ centre
    return M


def inverse_of(movement: Matrix) -> Matrix:
    """The movement back: R' = R^T, t' = -R^T t; exact for rigid movements."""
    back = np.eye(4)
    back[:3, :3] = movement[:3, :3].T
    back[:3, 3] = -movement[:3, :3].T @ movement[:3, 3]
    return back


def climb(criterion: Criterion, start: Matrix, centre: Floats) -> tuple[Matrix, float]:
    """The best movement near `start` (4 x 4, fixed to moving RAS mm) and its agreement; `centre` in the fixed image.

    L-BFGS with exact slopes (Byrd et al., SIAM J Sci Comput 1995).
    """
    from scipy.optimize import minimize

    pivot = start[:3, :3] @ centre + start[:3, 3]
    arms = start[:3, :3] @ criterion.points + (start[:3, 3] - pivot)[:, None]

    def descend(six: Floats) -> tuple[float, Floats]:
        value, slopes = criterion.evaluate(movement_of(six, pivot) @ start)
        vector = six[:3] / LEVER_MM
        torque = np.cross(rotation_of(vector) @ arms, slopes, axis=0).sum(axis=1)
        return -100 * value, -100 * np.concatenate([left_jacobian(vector).T @ torque / LEVER_MM, slopes.sum(axis=1)])

    options = {"maxiter": STEPS, "ftol": SETTLED, "gtol": 1e-5}
    found = minimize(descend, np.zeros(6), jac=True, method="L-BFGS-B", options=options)
    return movement_of(found.x, pivot) @ start, -float(found.fun) / 100
