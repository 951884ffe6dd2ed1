"""A federation under secure aggregation through real Airflow: the centre sees sums alone, and one site drops out.

The form of *Run federation* switches it on; centre and site A run as DAGs, B, C and D take part from this process. In
round 2, D has its part in the masks and sends nothing: the deadline passes, and the others open the sum without it. In
round 3 it is back, and sends first, for nobody waits for a site that was missing. The weights are compared with the
plain means, computed here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from konsil.federation.charter import read_charter
from konsil.files import read_json
from konsil.learners import registry
from konsil.parties.opening import open_site
from konsil.stack.places import CENTRE
from tests.e2e.village import LEARNER, Village, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.demo]  # three minutes, mostly waiting for a deadline
RUN, ROUNDS, CASES = "secure-1", 3, 2
DEADLINE_S, WARM_S, SLOW_S = 120.0, 600.0, 300.0  # A stays warm, so that only D is late
THERE = {1: "ABCD", 2: "ABC", 3: "DABC"}


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Village]:
    made = Village(tmp_path_factory.mktemp("secure"), list("ABCD"), by_hand=list("BCD"))
    registry.LEARNERS["instant"] = "instant_learner:Instant"
    sys.path.insert(0, str(LEARNER))
    try:
        made.up()
        yield made
    finally:
        made.down()
        sys.path.remove(str(LEARNER))
        del registry.LEARNERS["instant"]


def together(village: Village, place: str, sites: Sequence[str]) -> None:
    """Let the sites without Airflow bring a message each."""
    for site in sites:
        if site in village.by_hand:
            village.bring(site, RUN, place, SLOW_S)


def plain_means() -> np.ndarray:
    """The last model without any masks: float64 means of the sites' float32 weights, all with as many cases."""
    from instant_learner import SIZE, drawn

    weights = np.random.default_rng(1).normal(size=SIZE).astype(np.float32)
    for number, sites in THERE.items():
        sent = [drawn(weights, [number, *site.lower().encode()]).astype(np.float64) for site in sites]
        weights = np.mean(sent, axis=0).astype(np.float32)
    return weights


def test_all_rounds_are_done_and_a_dropout_is_survived(village: Village) -> None:
    rules = {"secure_aggregation": {}, "deadlines": {"round_s": DEADLINE_S}}
    rules["quorum"] = {"sites": 3, "share_of_cases": 0.5, "required": []}
    village.start(RUN, rounds=ROUNDS, patience_s=WARM_S, site_patience_s=WARM_S, **rules)
    for number, sites in THERE.items():
        together(village, f"rounds/{number:04d}/updates/*", sites)
        together(village, f"rounds/{number:04d}/reveals/*", sites)
        village.wait_for_round(RUN, number, SLOW_S)
    for site in "BCD":
        together(village, f"evaluation/{ROUNDS:04d}/*", site)
    for site in "BCD":
        party = open_site(village.place(site).home, RUN)
        eventually(lambda party=party: type(party.step()).__name__ == "Finish", f"the end at {site}", SLOW_S)  # type: ignore[misc]
    village.wait_for_end(RUN, SLOW_S)


def test_the_charter_that_the_sites_accepted_asked_for_it(village: Village) -> None:
    charter = read_charter(village.place(CENTRE).home / "runs" / RUN / "charter.json")
    assert charter.secure_aggregation is not None


def test_the_weights_are_the_plain_means_within_the_quantisation(village: Village) -> None:
    models = {village.model(name, RUN) for name in (CENTRE, *"ABCD")}
    assert len(models) == 1
    scale = 2.0**30 / (4 * CASES * 8.0)
    found = np.frombuffer(models.pop(), np.float32)
    assert np.abs(found - plain_means()).max() <= ROUNDS * (0.5 / (CASES * scale) + np.spacing(np.float32(4)))


def test_who_was_missing_is_told_and_what_was_sent_was_masked(village: Village) -> None:
    summary = read_json(village.place(CENTRE).home / "runs" / RUN / "summary.json")
    assert {site: told["missed"] for site, told in summary["participation"].items()} == {
        "A": [], "B": [], "C": [], "D": [2]
    }  # fmt: skip
    for site in "ABCD":
        (sent,) = village.manifests(site, RUN, "rounds/0001/updates/*")
        table = json.loads(sent.read_text().splitlines()[2])["tensors"]
        assert dict(zip(table["names"], table["dtypes"], strict=True))["w"] == "U32"
