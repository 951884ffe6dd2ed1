"""A stack is kept: copied while it works, moved to another host, brought to another version, taken away.

The tests go on from each other, on one machine. The other host is another compose project with a folder of its own, to
which the trial loses its site A; that site reaches the trial's store through the store's proxy, by its name, as before.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from konsil.demo.people import until
from konsil.stack.secrets import make
from konsil.stack.wishes import STORE_NAME, Wish
from tests.containers.engine import ROOT, STANDINS, compose, container, docker, inspected, left_of, wait_until_healthy
from tests.containers.trial import (
    PARTS,
    PATIENCE_S,
    SITES,
    SLOTS,
    Trial,
    call,
    ended,
    finish,
    patiently,
    start,
    timed,
    token_of,
)  # fmt: skip

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(len(SLOTS) < 2, reason="a federation needs two sites: KONSIL_STACK_SLOTS=a,b"),
]
MOVED, UPGRADED, ROUNDS = "moved", "upgraded", 12
FIRST, SECOND = "elsewhere", "restored"
"""The compose projects of A's stack, one after the other."""
SERVICES = [f"a-{part}" for part in PARTS]
BEFORE = "3.2.0"
"""The Airflow before the one of our images: its database is what an upgrade finds."""
REVISION = "select version_num from alembic_version"
HISTORY = "select dag_id, run_id, state from dag_run where state = 'success' order by 1, 2"


@dataclass(frozen=True)
class Moved(Trial):
    """The trial with its site A in a stack of its own, which lies in `at`."""

    at: Path

    @property
    def authority(self) -> Path:
        return self.at.parent / "authorities.pem"

    def password(self, place: str, account: str) -> str:
        return Trial(self.at if place == "a" else self.folder, self.plan).password(place, account)

    @property
    def cohort(self) -> str:
        """Hash of what A has frozen."""
        path = f"/data/home/cohorts/{self.plan.cohort}/cohort.json"
        return docker("exec", container("a-scheduler"), "sha256sum", path).stdout

    def ask(self, query: str) -> str:
        """The answer of A's database."""
        secret = f"PGPASSWORD={(self.at / 'a' / 'database').read_text()}"
        words = ["psql", "host=127.0.0.1 user=airflow dbname=airflow", "-Atc", query]
        return docker("exec", "--env", secret, container("a-db"), *words).stdout.strip()

    def runs(self) -> list[tuple[str, str, str]]:
        """What A's pages show of its past."""
        staff = self.person("a", "staff")
        return sorted((dag, *run) for dag in ("prepare_cohort", "join_federation") for run in staff.runs(dag))

    def up(self, project: str, *services: str) -> None:
        """A's services, in reach of the store."""
        compose(self.at, "up", "--no-start", profiles=["site"])
        reach_store(project)
        compose(self.at, "up", "--detach", *services, profiles=["site"])
        wait_until_healthy(services or SERVICES)


@pytest.fixture(scope="module")
def kept(prepared: Trial, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    """The trial, and a new folder for A's own stack beside it."""
    trial = Moved(prepared.folder, prepared.plan, tmp_path_factory.mktemp("elsewhere") / "konsil-stack")
    make(Wish("site", "localhost", (SITES["a"],), prepared.wish.worker), trial.at)
    set_line(trial.at, "COMPOSE_PROJECT_NAME", FIRST)
    set_line(trial.at, "KONSIL_A_INBOX", str(prepared.plan.inbox(SITES["a"])))
    both = (prepared.folder / "ca.pem", trial.at / "authority" / "authority.pem")
    trial.authority.write_text("\n".join(path.read_text() for path in both))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(trial.authority))
        try:
            yield trial
        finally:
            for project in (FIRST, SECOND):
                leave_store(project)
                clear(project)
            docker("image", "rm", "--force", "konsil/worker:next", "konsil/airflow:next", check=False)


def set_line(folder: Path, name: str, value: str) -> None:
    """What an operator does to stack.env with an editor."""
    env = folder / "stack.env"
    lines = [line for line in env.read_text().splitlines() if not line.startswith(f"{name}=")]
    env.write_text("\n".join([*lines, f"{name}={value}", ""]))


def clear(project: str) -> None:
    """Nothing is left of a project, also where a test failed."""
    kinds = {"ps --all": "rm --force --volumes", "network ls": "network rm", "volume ls": "volume rm"}
    for kind, removal in kinds.items():
        if found := left_of(project)[kind]:
            docker(*removal.split(), *found)


def reach_store(project: str) -> None:
    """The name of the centre's store leads to its proxy from the other host too."""
    words = ["network", "connect", "--alias", STORE_NAME, f"{project}_a-outbound", container("store-proxy")]
    docker(*words)


def leave_store(project: str) -> None:
    with suppress(IndexError):
        docker("network", "disconnect", "--force", f"{project}_a-outbound", container("store-proxy"), check=False)


def keep(verb: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """`konsil containers VERB` as a person at the host calls it."""
    command = [sys.executable, "-m", "konsil.cli", "containers", verb, *map(str, words)]
    environment = os.environ | STANDINS | {"PATH": f"/usr/bin:{os.environ['PATH']}"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=3600
    )  # fmt: skip


def kept_well(verb: str, *words: str | Path) -> str:
    end = keep(verb, *words)
    assert end.returncode == 0, end.stderr
    return end.stdout + end.stderr


def inside(*words: str, service: str = "a-scheduler") -> subprocess.CompletedProcess[str]:
    return docker("exec", container(service), *words, check=False)


def has_sent(site: str, run: str, number: int) -> bool:
    """Whether an update of that round lies in the site's bucket."""
    return (
        inside("test", "-e", f"/data/store/data/site-{site}/{run}/rounds/{number:04d}", service="minio").returncode == 0
    )


def lose_a() -> None:
    """The host of the site A is no more: neither its containers nor what they kept."""
    docker("rm", "--force", "--volumes", *(container(service) for service in SERVICES))
    docker("volume", "rm", "konsil_a-data", "konsil_a-db")


def test_a_home_is_copied_while_it_works_and_goes_on_elsewhere(kept: Moved, prepared: Trial, tmp_path: Path) -> None:
    cohort, file = kept.cohort, tmp_path / "a.tar"
    dag_run = start(prepared, MOVED, rounds=ROUNDS)
    until(lambda: has_sent("a", MOVED, 2) or None, what="an update of round 2", timeout_s=PATIENCE_S)
    begun = inspected("a-scheduler")["State"]["StartedAt"]
    with timed("backup_of_a_home"):
        kept_well("backup", file, "--home", "a", "--dir", prepared.folder)
    assert not ended(prepared, dag_run), "the federation goes on"
    assert inspected("a-scheduler")["State"]["StartedAt"] == begun
    assert not inside("sh", "-c", "ls /data/*.tar").stdout, "the copy does not stay in the volume"
    assert file.stat().st_mode & 0o777 == 0o600

    lose_a()
    kept_well("restore", file, "--home", "a", "--dir", kept.at)
    with timed("moved_site_up"):
        kept.up(FIRST)
    patiently(lambda: kept.person("a", "staff").trigger("join_federation", {"run": MOVED}))
    finish(kept, dag_run)
    assert kept.cohort == cohort
    models = {inside("sha256sum", f"/data/home/models/{MOVED}/model.safetensors", service=f"{place}-scheduler").stdout
              for place in kept.places}  # fmt: skip
    assert len(models) == 1
    assert models != {""}


def test_the_moved_site_is_sound_and_its_audit_log_says_where_it_was_restored(kept: Moved) -> None:
    end = inside("konsil", "doctor")
    assert end.returncode == 0, end.stdout
    assert inside("konsil", "audit", "verify", "--offline").returncode == 0
    log = inside("cat", "/data/home/audit.jsonl").stdout
    assert log.count('"event":"restored"') == 1
    told = inside("konsil", "audit", "verify")  # true or not: what A posted after the copy was made is not in its log
    assert told.returncode == 0 or "entries were removed from its end" in told.stderr or "rewritten" in told.stderr


def test_a_whole_stack_is_copied_and_goes_on(kept: Moved, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.getbasetemp() / "whole"
    with timed("backup_of_a_stack"):
        kept_well("backup", out, "--dir", kept.at)
    assert out.stat().st_mode & 0o777 == 0o700
    assert all(inspected(service)["State"]["Running"] for service in SERVICES)
    again = keep("backup", out, "--dir", kept.at)
    assert again.returncode == 1
    assert "not there yet" in again.stderr


def test_nothing_is_left_of_a_stack_that_is_uninstalled(kept: Moved) -> None:
    leave_store(FIRST)
    stranger = keep("uninstall", "--dir", kept.folder.parent / "no-stack", "--yes")
    assert stranger.returncode == 1
    assert "There is no stack in" in stranger.stderr
    kept_well("uninstall", "--dir", kept.at, "--yes")
    assert left_of(FIRST) == {"ps --all": [], "volume ls": [], "network ls": []}
    assert not kept.at.exists()
    assert left_of("konsil")["ps --all"], "the trial is another stack"


def test_a_whole_stack_comes_back_under_another_name(kept: Moved, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.getbasetemp() / "whole"
    with timed("restore_of_a_stack"):
        kept_well("restore", out, "--dir", kept.at, "--project", SECOND)
    again = keep("restore", out, "--dir", kept.at.parent / "another", "--project", SECOND)
    assert again.returncode == 1
    assert "nothing is written over" in again.stderr
    assert not (kept.at.parent / "another").exists()
    kept.up(SECOND, "a-db")
    assert "join_federation|" in kept.ask(HISTORY)


def test_an_upgrade_brings_the_database_up_to_date_and_asks_custodians_again(kept: Moved) -> None:
    head, history = kept.ask(REVISION), kept.ask(HISTORY)
    older = ["component", "task", "--", "airflow", "db", "downgrade", "--to-version", BEFORE, "--yes"]
    compose(kept.at, "run", "--rm", "--no-deps", "-T", "a-scheduler", *older, profiles=["site"])
    assert kept.ask(REVISION) != head
    for name in ("worker", "airflow"):
        build_next(name)
    set_line(kept.at, "KONSIL_AIRFLOW_IMAGE", "konsil/airflow:next")
    pinned = keep("upgrade", "--dir", kept.at)
    assert pinned.returncode == 1
    assert "by digest" in pinned.stderr
    with timed("upgrade"):
        kept_well("upgrade", "--worker", "konsil/worker:next", "--dir", kept.at)
    assert kept.ask(REVISION) == head
    assert kept.ask(HISTORY) == history
    for service, image in (("a-scheduler", "konsil/worker:next"), ("a-api", "konsil/airflow:next")):
        assert inspected(service)["Image"] == docker("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()
    assert {f"{dag}|{run}|{state}" for dag, run, state in kept.runs()} <= set(history.splitlines())
    page = call(kept, "a", f"/konsil/governance/{MOVED}/charter.html", token=token_of(kept, "a", "custodian"))[1]
    assert "This decision no longer counts" in page


def build_next(name: str) -> None:
    """The next version of one of our images: another layer, another label."""
    text = f"FROM konsil/{name}\nLABEL org.opencontainers.image.version=next\n"
    subprocess.run(["docker", "build", "--tag", f"konsil/{name}:next", "-"], input=text, text=True, check=True,
                   capture_output=True)  # fmt: skip


def test_a_centre_and_its_store_come_back_too(
    kept: Moved, prepared: Trial, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out, model = tmp_path_factory.getbasetemp() / "centre", f"/data/home/models/{MOVED}/model.safetensors"
    others = [service for service in prepared.services if service not in SERVICES]
    before = inside("sha256sum", model, service="centre-scheduler").stdout
    kept_well("backup", out, "--dir", prepared.folder, "--leave-stopped")
    assert not any(inspected(service)["State"]["Running"] for service in others)
    leave_store(SECOND)
    kept_well("uninstall", "--dir", prepared.folder, "--yes")
    kept_well("restore", out, "--dir", prepared.folder)
    compose(prepared.folder, "up", "--detach", *others, profiles=prepared.wish.profiles)
    reach_store(SECOND)
    wait_until_healthy(others)
    assert inside("sha256sum", model, service="centre-scheduler").stdout == before
    assert before


def test_an_upgraded_site_takes_part_in_the_next_federation(kept: Moved) -> None:
    cohort = kept.cohort
    with timed("federation_after_upgrade", rounds=2):
        finish(kept, start(kept, UPGRADED, rounds=2))
    assert kept.cohort == cohort
    assert inside("konsil", "audit", "verify", "--offline").returncode == 0
