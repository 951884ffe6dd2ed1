"""How good the rounds were, by the sites' own validation patients: the best round, and whether it is time to stop.

The figure of a round is the mean of one validation metric over the updates that went into its global model, weighted by
training cases; the centre writes these means into the facts of the global model, so that everybody can judge. A site
measures after its own training of the round, so the figure says how good the models were that were averaged, and is a
stand-in for the average itself. Test patients are never asked.
"""

from __future__ import annotations

import math

from konsil.federation.charter import Charter
from konsil.federation.holdings import Holdings
from konsil.federation.slot import Kind
from konsil.types import Json

METRICS = ("dice", "pseudo_dice", "validation_loss")
"""What counts where the charter names no metric: the first of these that the first round with any of them has."""


def figures(holdings: Holdings, charter: Charter) -> dict[int, float]:
    """Round → figure, higher is better (a loss has its sign changed); rounds without one are left out."""
    tables = {number: _table(holdings, number) for number in range(1, 1 + (holdings.latest_global() or 0))}
    name = metric(holdings, charter)
    sign = -1.0 if name.endswith("loss") else 1.0
    return {number: sign * table[name] for number, table in tables.items() if name and name in table}


def metric(holdings: Holdings, charter: Charter) -> str:
    """The metric that counts; "" while no round has any."""
    if charter.best_round.metric:
        return charter.best_round.metric
    for number in range(1, 1 + (holdings.latest_global() or 0)):
        table = _table(holdings, number)
        for name in METRICS:
            if name in table:
                return name
    return ""


def best_of(found: dict[int, float]) -> int | None:
    """The round with the best figure, the earliest of equals; None if no round has one."""
    return max(found, key=lambda number: (found[number], -number), default=None)


def released_round(holdings: Holdings, charter: Charter, last: int) -> int:
    """The round whose model is the run's result: the last, or the best where the charter says so."""
    if charter.best_round.release == "last":
        return last
    return best_of({number: value for number, value in figures(holdings, charter).items() if number <= last}) or last


def stopped_early(holdings: Holdings, charter: Charter, *, after: int) -> int | None:
    """The first round after which `patience` rounds brought no gain, counted from round `after` on; None = none.

    A round gains if its figure is better than the best so far by more than `least_gain`. A round without a figure is a
    round without a gain; before the first figure nothing is counted.
    """
    rule, found = charter.early_stop, figures(holdings, charter)
    if rule is None:
        return None
    best, gained = -math.inf, None
    for number in range(after + 1, 1 + (holdings.latest_global() or 0)):
        if found.get(number, -math.inf) > best + rule.least_gain:
            best, gained = found[number], number
        elif gained is not None and number - gained >= rule.patience:
            return number
    return None


def _table(holdings: Holdings, number: int) -> Json:
    """The means of a global model that are finite numbers."""
    note = holdings.note(Kind.global_, round=number)
    means = note.facts.get("metrics") if note else None
    items = means.items() if isinstance(means, dict) else ()
    return {name: value for name, value in items if type(value) in (int, float) and math.isfinite(value)}
