"""The store is away for minutes in the middle of a federation, in real time; everybody waits, and it goes on.

    python tests/e2e/outage.py --minutes 10

A centre and a site with Airflow, a second site by hand, the instant learner. The server's process is killed while round
3 is under way and started again after so many minutes. Told are the stints and failed attempts that this cost, and
how long after the server's return the round was done. AssertionError unless all rounds are done with every site and all
parties hold the same weights.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).with_name("instant")))

from konsil.learners import registry
from konsil.parties.opening import open_site
from konsil.stack import bucket
from konsil.stack.places import CENTRE
from konsil.stack.processes import find
from tests.e2e.village import Village, eventually, quietly

RUN, ROUNDS, PATIENCE_S = "outage-1", 5, 5.0


def outage(village: Village, seconds: float) -> None:
    """The federation with the store away in round 3."""
    village.start(RUN, rounds=ROUNDS, pause_s=1.0, patience_s=PATIENCE_S, site_patience_s=PATIENCE_S)
    for number in (1, 2):
        village.bring_update("B", RUN, number)
        village.wait_for_round(RUN, number)
    store = find(bucket.NAME, village.plan.folder)
    if store is None:
        raise RuntimeError("the store does not run")
    os.kill(store.pid, signal.SIGKILL)
    print(f"store killed; it is away for {seconds:.0f} s", flush=True)
    time.sleep(seconds)
    bucket.start_bucket(village.plan, say=quietly)
    back = time.monotonic()
    village.bring_update("B", RUN, 3)
    village.wait_for_round(RUN, 3, timeout_s=300)
    print(f"round 3 was done {time.monotonic() - back:.0f} s after the store was back", flush=True)
    for number in range(4, ROUNDS + 1):
        village.bring_update("B", RUN, number)
        village.wait_for_round(RUN, number)
    party = open_site(village.place("B").home, RUN)
    eventually(lambda: type(party.step()).__name__ == "Finish", "the end at B", timeout_s=300)
    village.wait_for_end(RUN)


def told(village: Village) -> None:
    """What it cost, and whether all is well."""
    for name in village.with_airflow:
        stints = village.stints(name, RUN)
        tasks = [village.task(name, stint, "train" if name != CENTRE else "aggregate") for stint, _ in stints]
        attempts = sum(task.attempt for task in tasks)
        print(f"{name}: {len(stints)} stints, all {sorted({state for _, state in stints})}, {attempts} attempts")
    weights = {village.model(name, RUN) for name in (CENTRE, *village.sites)}
    if len(weights) != 1 or village.rounds_done(RUN) != ROUNDS:
        raise AssertionError("the federation did not end as it should")
    print(f"all {ROUNDS} rounds, the same weights everywhere")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    chosen = parser.parse_args()
    registry.LEARNERS["instant"] = "instant_learner:Instant"
    with tempfile.TemporaryDirectory(prefix="konsil-outage-") as folder:
        village = Village(Path(folder), ["A", "B"], by_hand=("B",))
        try:
            village.up()
            outage(village, 60 * chosen.minutes)
            told(village)
        finally:
            village.down()


if __name__ == "__main__":
    main()
