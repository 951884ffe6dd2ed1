"""The demo's federation through the stack: from DICOM to the released model, and with every service killed in turn."""

import json
import time

import pytest

from tests.containers.engine import container, docker, inspected, wait_until_healthy
from tests.containers.trial import (
    PARTS,
    SITES,
    SLOTS,
    Trial,
    call,
    ended,
    file_of,
    finish,
    patiently,
    record,
    start,
    timed,
    token_of,
)

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(len(SLOTS) < 2, reason="a federation needs two sites: KONSIL_STACK_SLOTS=a,b"),
]
KILLED = ["minio", "store-proxy", *(f"{place}-{part}" for place in ("centre", "a") for part in PARTS)]
"""The sites are built alike: one of them stands for all."""
ROUNDS = 24
"""Of a federation in which services are killed: long enough for some of them."""


@pytest.fixture(scope="module")
def federated(prepared: Trial) -> Trial:
    """The trial after a whole federation."""
    if prepared.has("centre", f"runs/{prepared.plan.run}/summary.json"):
        return prepared
    with timed("federation", rounds=prepared.plan.rounds, sites=len(SLOTS)):
        finish(prepared, start(prepared, prepared.plan.run))
    return prepared


def test_the_demos_federation_runs_through_the_stack(federated: Trial) -> None:
    plan = federated.plan
    summary = json.loads(file_of("centre", f"runs/{plan.run}/summary.json"))
    assert len(summary["rounds"]) == plan.rounds
    sites = {SITES[slot] for slot in SLOTS}
    assert set(summary["dice"]["federated"]) == sites
    assert all(value is None or 0 <= value <= 1 for value in summary["dice"]["federated"].values())
    record("dice", summary["dice"])
    weights = f"/data/home/models/{plan.run}/model.safetensors"
    held = [container(f"{place}-scheduler") for place in federated.places]
    models = {docker("exec", name, "sha256sum", weights).stdout for name in held}
    assert len(models) == 1, "centre and sites hold the same weights"


def test_the_tabs_of_a_site_tell_of_it_and_of_a_valid_approval(federated: Trial) -> None:
    token = token_of(federated, "a", "custodian")
    for path in ("governance", f"governance/{federated.plan.run}/charter.html", "federation", "quality"):
        code, page = call(federated, "a", f"/konsil/{path}", token=token)
        assert code == 200
        assert "does not answer" not in page
        assert "no longer counts" not in page
    code, page = call(federated, "a", f"/konsil/governance/{federated.plan.run}/charter.html", token=token)
    mark = json.loads(file_of("a", "learners/nnunet.json"))
    assert f"code {mark['code'][:12]}" in page
    assert "Not compared" not in page
    assert "was not compared" not in page


def test_every_service_may_be_killed_during_a_federation(federated: Trial) -> None:
    """`docker kill` of one after the other while a federation runs, which completes; if it ends before all were killed,
    the next one begins. The engine takes the kill for a person's wish, so a person starts the service again."""
    left, number, took = list(KILLED), 0, {}
    while left:
        number += 1
        dag_run = start(federated, f"killed-{number}", rounds=ROUNDS)
        while left and not ended(federated, dag_run):
            service = left.pop(0)
            took[service] = killed(service, federated)
        finish(federated, dag_run)
        summary = json.loads(file_of("centre", f"runs/killed-{number}/summary.json"))
        assert len(summary["rounds"]) == ROUNDS
        assert number < 10, f"not killed yet: {', '.join(left)}"
    record("killed", {"seconds_until_healthy": took, "federations": number})


def killed(service: str, trial: Trial) -> float:
    """Kill a service as `docker kill` does and start it again; gives the seconds until its whole place is healthy."""
    begun = time.monotonic()
    docker("kill", container(service))
    assert not inspected(service)["State"]["Running"]
    time.sleep(5)
    docker("start", container(service))
    place = service.partition("-")[0]
    mates = [name for name in trial.services if name.startswith(f"{place}-")] or [service]
    wait_until_healthy(mates)
    patiently(lambda: trial.person("centre", "operator").runs("run_federation"))
    return round(time.monotonic() - begun, 1)
