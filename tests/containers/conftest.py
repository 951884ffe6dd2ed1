"""The trial that all tests of the running stack share: brought up once, enrolled once, prepared once.

`KONSIL_STACK_AT=FOLDER` leaves the trial running and goes on with it the next time, for whoever works on these tests.
"""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from konsil.stack.secrets import make
from tests.containers.engine import ROOT, STANDINS, compose, docker, down, wait_until_healthy
from tests.containers.trial import SITES, SLOTS, Trial, prepare, record, sized, timed


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A trial that is up and healthy, pinned to the worker's image; at the end nothing of it is left."""
    kept = os.environ.get("KONSIL_STACK_AT")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("stack")
    trial = Trial(folder / "konsil-stack", sized(folder / "demo"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(trial.folder / "ca.pem"))
        try:
            with timed("up", services=len(trial.services), sites=len(SLOTS)):
                bring_up(trial)
            yield trial
        finally:
            keep_logs(trial)
            if not kept:
                with timed("down"):
                    down(trial.folder, trial.wish.profiles)


def bring_up(trial: Trial) -> None:
    """Secrets, an inbox for every site, and all services healthy."""
    if not trial.folder.exists():
        make(trial.wish, trial.folder)
        with (trial.folder / "stack.env").open("a") as env:
            for slot in SLOTS:
                trial.plan.inbox(SITES[slot]).mkdir(parents=True)
                env.write(f"KONSIL_{slot.upper()}_INBOX={trial.plan.inbox(SITES[slot])}\n")
    compose(trial.folder, "up", "--detach", profiles=trial.wish.profiles)
    wait_until_healthy(trial.services)


def keep_logs(trial: Trial) -> None:
    """Where KONSIL_STACK_LOGS names a file: what all services said, and what they used."""
    used = docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", check=False).stdout
    record("memory", dict(line.split(" ", 1) for line in used.splitlines() if " " in line))
    if os.environ.get("KONSIL_STACK_LOGS"):
        said = compose(trial.folder, "logs", "--no-color", profiles=trial.wish.profiles, check=False)
        Path(os.environ["KONSIL_STACK_LOGS"]).write_text(said)


@pytest.fixture(scope="session")
def enrolled(stack: Trial) -> Trial:
    """The trial with every site enrolled by the script that people are told to use."""
    if stack.has("a", "pass.json"):
        return stack
    pairs = [f"{slot}={SITES[slot]}" for slot in SLOTS]
    environment = os.environ | STANDINS | {"PATH": f"/usr/bin:{os.environ['PATH']}"}
    script = ["sh", str(ROOT / "scripts" / "enrol_trial.sh"), str(stack.folder), *pairs]
    with timed("enrolment"):
        end = subprocess.run(script, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    assert end.returncode == 0, end.stderr[-2000:]
    assert all(f"{SITES[slot]} " in end.stdout for slot in SLOTS)
    return stack


@pytest.fixture(scope="session")
def prepared(enrolled: Trial) -> Trial:
    """The trial with a frozen cohort at every site."""
    if all(enrolled.has(slot, f"cohorts/{enrolled.plan.cohort}/cohort.json") for slot in SLOTS):
        return enrolled
    patients = sum(one.cases for one in enrolled.plan.hospitals)
    with timed("cohorts", patients=patients), ThreadPoolExecutor(len(SLOTS)) as pool:
        list(pool.map(lambda slot: prepare(enrolled, slot), SLOTS))
    return enrolled
