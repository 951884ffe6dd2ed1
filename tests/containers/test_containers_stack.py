"""The stack of docker-compose.yaml, running: healthy, closed to strangers, and its sites reach one port of the centre.

`KONSIL_STACK_SLOTS=a` runs a centre and one site, which fits a small machine; the default is the whole trial.
"""

import json
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from konsil.stack.secrets import make
from konsil.stack.wishes import Wish
from tests.containers.engine import ROOT, STANDINS, compose, docker

pytestmark = pytest.mark.containers
SLOTS = os.environ.get("KONSIL_STACK_SLOTS", "a,b,c").split(",")
SITES = {"a": "A", "b": "B", "c": "C"}
PARTS = ("db", "api", "scheduler", "dag-processor", "triggerer", "proxy")
START_S = 1500
PORTS = {"centre": 8443, "a": 8444, "b": 8445, "c": 8446}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A trial that is up and healthy; at the end nothing of it is left."""
    folder = tmp_path_factory.mktemp("stack") / "konsil-stack"
    make(Wish("all-in-one", "localhost", tuple(SITES.values())), folder)
    services = [f"{place}-{part}" for place in ("centre", *SLOTS) for part in PARTS]
    try:
        compose(folder, "up", "--detach", "minio", *services)
        wait_until_healthy(folder, ["minio", *services])
        yield folder
    finally:
        if os.environ.get("KONSIL_STACK_LOGS"):
            Path(os.environ["KONSIL_STACK_LOGS"]).write_text(compose(folder, "logs", "--no-color", check=False))
        compose(folder, "down", "--volumes", "--timeout", "10", check=False)
        left = docker("ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=konsil").stdout
        assert not left, "containers are left"


def wait_until_healthy(folder: Path, services: list[str]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        states = {name: state(folder, name) for name in services}
        if all(found == "healthy" for found in states.values()):
            return
        sick = {name: found for name, found in states.items() if found != "healthy"}
        assert time.monotonic() < deadline, f"not healthy: {sick}"
        time.sleep(5)


def state(folder: Path, service: str) -> str:
    found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.service={service}").stdout.split()
    if not found:
        return "absent"
    shown = docker("inspect", "--format", "{{json .State}}", found[0]).stdout
    return str(json.loads(shown).get("Health", {}).get("Status"))


def call(place: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    """One request to the UI's port as a person's browser makes it."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # the certificate has a test of its own
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    prefix = "centre" if place == "centre" else f"site-{place}"
    url = f"https://127.0.0.1:{PORTS[place]}/{prefix}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=60, context=trust) as answer:  # noqa: S310 - https, above
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


def login(stack: Path, place: str, account: str) -> str:
    password = json.loads((stack / place / "place.json").read_text())["passwords"][account]
    code, answer = call(place, "/auth/token", {"username": account, "password": password})
    assert code == 201
    return str(answer["access_token"])


def test_every_place_knows_its_dags_and_no_others(stack: Path) -> None:
    for place in ("centre", *SLOTS):
        code, answer = call(place, "/api/v2/dags?limit=100", token=login(stack, place, "admin"))
        assert code == 200
        expected = {"run_federation", "aggregate_rounds", "extend_federation", "doctor"}
        if place != "centre":
            expected = {
                "prepare_cohort", "join_federation", "train_rounds", "extend_federation", "predict", "doctor",
            }  # fmt: skip
        assert {dag["dag_id"] for dag in answer["dags"]} == expected


@pytest.mark.parametrize(("account", "password"), [("admin", "admin"), ("airflow", "airflow"), ("admin", "")])
def test_no_default_login_works(stack: Path, account: str, password: str) -> None:
    for place in ("centre", *SLOTS):
        assert call(place, "/auth/token", {"username": account, "password": password})[0] in (400, 401, 422), (
            "400: no password at all"
        )


def test_without_a_login_nothing_is_told(stack: Path) -> None:
    for place in ("centre", *SLOTS):
        assert call(place, "/api/v2/dags")[0] == 401
        assert call(place, "/api/v2/dags", token="eyJhbGciOiJub25lIn0.e30.")[0] in (401, 403)


def reach(service: str, host: str, port: int) -> str:
    """What a connection from inside a service ends with: "" when it stands."""
    code = f"""
import socket
try: socket.create_connection(({host!r}, {port}), 3)
except OSError as error: print(type(error).__name__)
"""
    found = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.service={service}").stdout.split()[0]
    return docker("exec", found, "python", "-c", code).stdout.strip()


def test_a_site_reaches_one_port_of_the_centre_and_nobody_reaches_a_site(stack: Path) -> None:
    store = "store.konsil.internal"
    assert reach("a-scheduler", store, 9443) == ""
    for host, port in (("centre-api", 8080), ("centre-db", 5432), ("minio", 9000), ("store", 9000)):
        assert reach("a-scheduler", host, port), f"a site reaches {host}:{port}"
    address = docker(
        "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", container("a-scheduler")
    )
    for host in address.stdout.split():
        for port in (8080, 5432, 8793, 8794):
            assert reach("centre-scheduler", host, port)
    assert reach("a-dag-processor", store, 9443), "what does not need the store cannot reach it"


def container(service: str) -> str:
    return docker("ps", "--quiet", "--filter", f"label=com.docker.compose.service={service}").stdout.split()[0]


def test_no_service_is_root_or_has_capabilities(stack: Path) -> None:
    for place in ("centre", *SLOTS):
        for part in PARTS:
            name = container(f"{place}-{part}")
            assert docker("exec", name, "id", "-u").stdout.strip() != "0"
            status = docker("exec", name, "cat", "/proc/self/status").stdout
            assert "CapEff:\t0000000000000000" in status
            assert docker("exec", name, "touch", "/usr/x", check=False).returncode


def test_a_site_enrols_over_the_proxy_and_keys_of_others_open_nothing(stack: Path) -> None:
    pairs = [f"{slot}={SITES[slot]}" for slot in SLOTS]
    environment = os.environ | STANDINS | {"PATH": f"/usr/bin:{os.environ['PATH']}"}
    script = ["sh", str(ROOT / "scripts" / "enrol_trial.sh"), str(stack), *pairs]
    end = subprocess.run(script, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert end.returncode == 0, end.stderr[-2000:]
    for slot in SLOTS:
        assert f"{SITES[slot]} " in end.stdout


def test_a_killed_component_comes_back(stack: Path) -> None:
    """Killed from outside, as the kernel does when memory ends; `docker kill` would count as a person's wish."""
    before = json.loads(docker("inspect", "--format", "{{json .State}}", container("a-triggerer")).stdout)
    os.kill(int(before["Pid"]), signal.SIGKILL)
    deadline = time.monotonic() + 120
    while json.loads(docker("inspect", "--format", "{{json .State}}", container("a-triggerer")).stdout)["Pid"] in (
        0,
        before["Pid"],
    ):
        assert time.monotonic() < deadline
        time.sleep(1)
    wait_until_healthy(stack, ["a-triggerer"])
