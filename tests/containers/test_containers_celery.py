"""A site whose work is done by two Celery workers in containers prepares a cohort while one of them is killed.

Opt-in by KONSIL_STACK_CELERY=1, because two images are built for it beside the others (scripts/stack_test.sh).
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from konsil.stack.secrets import make
from konsil.stack.wishes import Wish
from tests.containers.engine import compose, container, docker, down, inspected, wait_until_healthy
from tests.containers.trial import PARTS, PATIENCE_S, SITES, Trial, file_of, prepare, sized, timed

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not os.environ.get("KONSIL_STACK_CELERY"), reason="KONSIL_STACK_CELERY=1 builds its images"),
]
FILES = ("docker-compose.yaml", "docker-compose.celery.yaml")
WORKERS = ("a-worker-1", "a-worker-2")
IMAGES = {
    "KONSIL_AIRFLOW_IMAGE": "konsil/airflow:celery",
    "KONSIL_BROKER_IMAGE": "konsil/redis",
}


@dataclass(frozen=True)
class Site(Trial):
    """One site by itself: images become a cohort without a centre."""

    @property
    def authority(self) -> Path:
        return self.folder / "authority" / "authority.pem"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("workers")
    plan = sized(folder / "demo")
    few = tuple(replace(one, cases=4, fault="") for one in plan.hospitals if one.site == SITES["a"])
    found = Site(folder / "konsil-stack", replace(plan, hospitals=few))
    worker = docker("image", "inspect", "--format", "{{.Id}}", "konsil/worker:celery").stdout.strip()
    make(Wish("site", "localhost", (SITES["a"],), worker), found.folder)
    found.plan.inbox(SITES["a"]).mkdir(parents=True)
    with (found.folder / "stack.env").open("a") as env:
        env.write(f"KONSIL_A_INBOX={found.plan.inbox(SITES['a'])}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(found.authority))
        for name, image in IMAGES.items():
            patch.setenv(name, image)
        try:
            compose(found.folder, "up", "--detach", profiles=["site"], files=FILES)
            wait_until_healthy([*(f"a-{part}" for part in PARTS), "a-broker", *WORKERS])
            yield found
        finally:
            down(found.folder, ["site"], FILES)


def test_the_broker_wants_its_password_and_is_reached_by_the_site_alone(site: Site) -> None:
    asked = docker("exec", container("a-broker"), "redis-cli", "ping", check=False)
    assert "NOAUTH" in asked.stdout + asked.stderr
    assert not inspected("a-broker")["HostConfig"]["PortBindings"]
    assert list(inspected("a-broker")["NetworkSettings"]["Networks"]) == ["konsil_a-inner"]


def test_a_cohort_is_prepared_by_two_workers_of_which_one_is_killed(site: Site) -> None:
    with timed("cohort_by_workers"), ThreadPoolExecutor(1) as pool:
        done = pool.submit(prepare, site, "a")
        killed = busy(done)
        docker("kill", container(killed))
        assert not inspected(killed)["State"]["Running"]
        done.result()
    cases = file_of("a", f"cohorts/{site.plan.cohort}/participants.tsv").strip().splitlines()[1:]
    assert len(cases) == site.plan.hospitals[0].cases
    (other,) = set(WORKERS) - {killed}
    assert tasks_of(other) > 0


def busy(done: "Future[None]") -> str:
    """A worker that is just doing a verb."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not done.done():
        assert "konsil.cli" not in processes("a-scheduler"), "the scheduler hands the work out"
        for worker in WORKERS:
            if "konsil.cli" in processes(worker):
                return worker
        time.sleep(0.5)
    done.result()
    raise AssertionError("no worker was seen at work")


def processes(service: str) -> str:
    return docker("top", container(service), "-eo", "pid,args").stdout


def tasks_of(worker: str) -> int:
    """How many tasks a worker has brought to an end, by its log."""
    said = docker("logs", container(worker), check=False)
    return (said.stdout + said.stderr).count("succeeded in")
