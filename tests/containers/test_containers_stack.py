"""The stack of docker-compose.yaml, running: healthy, confined, and its sites reach one port of the centre."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

import pytest

from tests.containers.engine import ROOT, addresses, container, docker, inspected, reached, wait_until_healthy
from tests.containers.trial import PARTS, SLOTS, Trial, call, token_of

pytestmark = pytest.mark.containers
STORE = "store.konsil.internal:9443"


def test_every_place_knows_its_dags_and_no_others(stack: Trial) -> None:
    for place in stack.places:
        code, answer = call(stack, place, "/api/v2/dags?limit=100", token=token_of(stack, place, "admin"))
        assert code == 200
        expected = {"run_federation", "aggregate_rounds", "extend_federation", "doctor"}
        if place != "centre":
            expected = {
                "prepare_cohort", "join_federation", "train_rounds", "extend_federation", "predict", "doctor",
            }  # fmt: skip
        assert {dag["dag_id"] for dag in answer["dags"]} == expected


def listening(services: Iterable[str], ports: Iterable[int]) -> list[str]:
    """Every address of these services with every one of these ports."""
    hosts = [host for service in services for host in addresses(service)]
    return [f"{host}:{port}" for host in hosts for port in ports]


def test_a_site_reaches_one_port_of_the_centre_and_nobody_reaches_a_site(stack: Trial) -> None:
    hidden = ["centre-api:8080", "centre-db:5432", "minio:9000", "store:9000", "centre-proxy:8443"]
    hidden += listening((f"centre-{part}" for part in PARTS), (8080, 8443, 5432, 8793, 8794))
    hidden += listening(["store-proxy"], (8443, 8080, 80))
    for service in ("a-scheduler", "a-triggerer", "a-api"):
        assert reached(service, [STORE, *hidden]) == [STORE]
    assert reached("a-dag-processor", [STORE]) == [], "what does not need the store cannot reach it"
    of_a_site = listening((f"a-{part}" for part in PARTS), (8080, 8443, 5432, 8793, 8794))
    assert reached("centre-scheduler", of_a_site) == []


def test_the_stores_proxy_shares_a_network_with_sites_and_finds_nobody_there(stack: Trial) -> None:
    for place in listening((f"a-{part}" for part in ("api", "scheduler", "triggerer")), (8080, 8793, 8794)):
        words = ["curl", "--silent", "--max-time", "2", f"http://{place}/"]
        end = docker("exec", container("store-proxy"), *words, check=False)
        assert end.returncode in (7, 28), "7: refused; 28: no way there"


@pytest.mark.skipif(len(SLOTS) < 2, reason="one site has no neighbour")
def test_sites_do_not_see_each_other(stack: Trial) -> None:
    assert reached("a-scheduler", listening((f"b-{part}" for part in PARTS), (8080, 8443, 5432, 8793, 8794))) == []


def test_no_service_is_root_or_has_capabilities(stack: Trial) -> None:
    for service in stack.services:
        name = container(service)
        assert docker("exec", name, "id", "-u").stdout.strip() != "0"
        status = docker("exec", name, "cat", "/proc/self/status").stdout
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert docker("exec", name, "touch", "/usr/x", check=False).returncode
        host = inspected(service)["HostConfig"]
        assert (host["Privileged"], host["ReadonlyRootfs"], host["RestartPolicy"]["Name"]) == (
            False, True, "unless-stopped",
        )  # fmt: skip
        assert host["Memory"] > 0
        assert not [bind for bind in host["Binds"] or () if "docker.sock" in bind]


def test_the_image_that_runs_is_the_one_that_approvals_are_told(stack: Trial) -> None:
    for place in stack.places:
        ran = inspected(f"{place}-scheduler")["Image"]
        mark = json.loads(docker("exec", container(f"{place}-api"), "cat", "/data/home/learners/nnunet.json").stdout)
        assert mark["image"] == ran
        assert mark["versions"]["nnunetv2"]


def test_a_site_enrols_over_the_proxy(enrolled: Trial) -> None:
    for slot in SLOTS:
        end = docker("exec", container(f"{slot}-scheduler"), "konsil", "doctor", check=False)
        assert "store" in end.stdout.lower(), end.stdout + end.stderr


def test_the_guide_agrees_with_the_stack_that_runs(stack: Trial) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "check_it_guide.py"), "--running"]
    end = subprocess.run(script, capture_output=True, text=True, check=False, timeout=600)
    assert end.returncode == 0, end.stderr


def test_a_killed_component_comes_back(stack: Trial) -> None:
    """Killed from outside, as the kernel does when memory ends; `docker kill` would count as a person's wish."""
    before = int(inspected("a-triggerer")["State"]["Pid"])
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while inspected("a-triggerer")["State"]["Pid"] in (0, before):
        assert time.monotonic() < deadline
        time.sleep(1)
    wait_until_healthy(["a-triggerer"])
