"""Krum and multi-Krum: take the update, or the few updates, that lie nearest to their neighbours.

Blanchard, El Mhamdi, Guerraoui, Stainer: Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent.
NeurIPS 2017, section 4. Where up to f of n ≥ 2f + 3 sites may send anything:

    s(i) = Σ ‖w_i − w_j‖²  over the n − f − 2 updates w_j nearest to w_i

Krum is the update with the smallest score; multi-Krum the mean (1/m) Σ of the m best. Every site counts the same. Equal
scores: the first in charter order. Distances are over all floating tensors together, summed in float64.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.errors import BadMessage
from konsil.federation.strategies.contribution import Contribution, Specs, Strategy
from konsil.federation.strategies.staging import Staged, staged
from konsil.types import Tensors

Table = npt.NDArray[np.float64]


class Krum(Strategy):
    """Mean of the `keep` updates with the best scores, tolerating `faulty` sites; keep = 1 is Krum, None all but f."""

    def __init__(self, faulty: int, keep: int | None = 1, folder: Path | None = None) -> None:
        super().__init__()
        self.faulty, self.keep, self.folder = faulty, keep, folder

    def combine(self, contributions: list[Contribution], specs: Specs) -> Tensors:
        """One model; `remarks` then names the sites that were not chosen. Raises Unusable, BadMessage."""
        count = len(contributions)
        keep = count - self.faulty if self.keep is None else self.keep
        if count < 2 * self.faulty + 3 or keep + self.faulty > count:
            expected = f"n >= 2f + 3 = {2 * self.faulty + 3} and n >= keep + f = {keep + self.faulty}"
            raise BadMessage("These updates are too few for Krum", expected=expected, got=str(count))
        with staged(contributions, specs, self.folder) as updates:
            whole = {name: updates.agreed(name) for name, spec in specs.items() if not spec.is_averaged}
            found = scores(distances(updates), self.faulty)
            chosen = sorted(int(place) for place in np.argsort(found, kind="stable")[:keep])
            means = {name: whole[name] if name in whole else _mean(updates, name, chosen) for name in specs}
        self._note(updates.sites, chosen, found)
        return means

    def _note(self, sites: list[str], chosen: list[int], found: Table) -> None:
        worst = np.sqrt(found[chosen].max())
        for place, site in enumerate(sites):
            if place not in chosen:
                self.remarks[site] = (
                    f"was not chosen by Krum: root of its score {np.sqrt(found[place]):.6g}, of those chosen at most "
                    f"{worst:.6g}"
                )


def distances(updates: Staged) -> Table:
    """Squared Euclidean distances between all updates, (sites, sites), over the floating tensors."""
    count = len(updates.sites)
    table = np.zeros((count, count))
    for name, spec in updates.specs.items():
        if not spec.is_averaged:
            continue
        for _, rows in updates.blocks(name):
            exact = rows.astype(np.float64)
            for i in range(count - 1):
                with np.errstate(over="ignore"):  # infinitely far away is a fine answer
                    table[i, i + 1 :] += np.square(exact[i + 1 :] - exact[i]).sum(axis=1)
    return table + table.T


def scores(table: Table, faulty: int) -> Table:
    """s(i) of every site from the squared distances: the sum to its n − f − 2 nearest others."""
    count = len(table)
    others = np.sort(table[~np.eye(count, dtype=bool)].reshape(count, count - 1), axis=1)
    return np.asarray(others[:, : count - faulty - 2].sum(axis=1))


def _mean(updates: Staged, name: str, chosen: list[int]) -> npt.NDArray[Any]:
    """The mean of the chosen updates, in charter order."""
    spec = updates.specs[name]
    flat = np.empty(spec.size, spec.dtype)
    for part, rows in updates.blocks(name):
        total = np.zeros(rows.shape[1])
        for place in chosen:
            total += rows[place]
        flat[part] = total / len(chosen)
    return flat.reshape(spec.shape)
