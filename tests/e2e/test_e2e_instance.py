"""One real Airflow instance of ours: up, used over REST, asked without a login, down without a trace."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import psutil
import pytest
import requests
from playwright.sync_api import Browser

from konsil.errors import BadInput, Refused
from konsil.files import write_bytes, write_json
from konsil.sdk.airflow import AirflowClient
from konsil.stack import supervisor
from konsil.stack.accounts import passwords
from konsil.stack.places import Place, Plan, make_plan
from konsil.stack.processes import find
from tests.plugins.test_plugins_app import PATHS

pytestmark = pytest.mark.e2e
OURS = [
    *(("GET", path) for path in PATHS),
    ("POST", "/quality/ms-1/review"),
    ("POST", "/federation/run-1/words"),
    ("POST", "/governance/policies/p/revoke"),
]
"""The routes of the tabs; a test of the plugin counts them."""


@dataclass(frozen=True)
class Site:
    """A running site and its staff's account."""

    plan: Plan
    place: Place
    client: AirflowClient
    metrics: socket.socket

    def told(self) -> set[str]:
        """Names of the metrics that arrived since the last call, as StatsD writes them: `name:value|kind`."""
        names = set()
        with suppress(BlockingIOError):
            while True:
                names |= {line.partition(":")[0] for line in self.metrics.recv(65536).decode().splitlines()}
        return names


@pytest.fixture(scope="module")
def metrics() -> Iterator[socket.socket]:
    """The hospital's receiver of StatsD."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        yield receiver


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, metrics: socket.socket) -> Iterator[Site]:
    plan = make_plan(tmp_path_factory.mktemp("stack"), ["A", "B"])
    (place,) = plan.only(["A"])
    wish = f"[metrics]\nstatsd_on = True\nstatsd_host = 127.0.0.1\nstatsd_port = {metrics.getsockname()[1]}\n"
    write_bytes(place.airflow_home / "airflow.cfg", wish.encode(), mode=0o600)
    try:
        supervisor.up(plan, say=lambda text: None, only=["A"])
        yield Site(plan, place, AirflowClient(place.url, "staff", passwords(place)["staff"]), metrics)
    finally:
        supervisor.down(plan, say=lambda text: None)
        assert supervisor.leftovers(plan) == []


def test_everything_of_the_site_runs_and_nothing_else(site: Site) -> None:
    alive = {name for name, works in supervisor.running(site.plan).items() if works}
    assert alive == {"bucket", "A.api-server", "A.scheduler", "A.dag-processor", "A.triggerer"}
    sentences = {state.place.name: state.sentence for state in supervisor.states(site.plan)}
    assert sentences == {"centre": "stopped", "A": "healthy", "B": "stopped"}


def test_a_second_up_finds_what_runs(site: Site) -> None:
    names = [name for name, works in supervisor.running(site.plan).items() if works]
    before = [find(name, site.plan.folder) for name in names]
    supervisor.up(site.plan, say=lambda text: None, only=["A"])
    assert [find(name, site.plan.folder) for name in names] == before


def test_a_worker_of_the_api_server_that_ends_is_replaced_by_another(site: Site) -> None:
    """As every twelve hours, when a fresh one takes over (decision 044); the parent goes on, and so do the logins."""
    site.client.runs("prepare_cohort")
    cookie, found = {"_token": site.client._token}, find("A.api-server", site.plan.folder)
    assert found is not None
    parent = psutil.Process(found.pid)
    (first,) = parent.children()
    first.terminate()
    first.wait(timeout=150)
    assert requests.get(f"{site.place.url}/konsil/quality", cookies=cookie, timeout=150).status_code == 200
    (second,) = parent.children()
    assert second.pid != first.pid
    assert not [door for door in parent.net_connections(kind="unix") if str(door.laddr).endswith("gunicorn.ctl")]


@pytest.mark.parametrize("path", ["quality", "federation", "quality/ms/cohort.html", "federation/run-1/report.html"])
def test_no_report_without_a_login(site: Site, path: str) -> None:
    assert requests.get(f"{site.place.url}/konsil/{path}", timeout=30).status_code == 401


PUBLIC = {
    "GET /api/v2/auth/login", "GET /api/v2/auth/logout", "GET /api/v2/monitor/health", "GET /api/v2/version",
}  # fmt: skip
"""What Airflow tells everybody: that it lives, what it is, and where to log in."""
UNDESCRIBED = """
import json
from airflow.api_fastapi.core_api.routes.ui import ui_router
print(json.dumps([[route.path, sorted(route.methods)] for route in ui_router.routes]))
"""


def test_no_route_answers_without_a_login(site: Site) -> None:
    """Every operation that the server describes, those of its own pages, and every route of our tabs."""
    routes = [*described(site), *undescribed(site), *((method, f"/konsil{path}") for method, path in OURS)]
    assert len(routes) > 150
    session = requests.Session()
    answered = set()
    for method, path in routes:
        address = f"{site.place.url}{re.sub(r'{[^}]*}', 'none', path)}"
        status = session.request(method, address, json={}, allow_redirects=False, timeout=120).status_code
        answered |= {f"{method} {path}"} if status not in (401, 403) else set()
    assert answered == PUBLIC


def described(site: Site) -> list[tuple[str, str]]:
    """(method, path) of Airflow's public REST API."""
    found = requests.get(f"{site.place.url}/openapi.json", timeout=120).json()["paths"]
    return [(method.upper(), path) for path, operations in found.items() for method in operations]


def undescribed(site: Site) -> list[tuple[str, str]]:
    """(method, path) of what Airflow's own pages ask."""
    command, own = [sys.executable, "-c", UNDESCRIBED], {"AIRFLOW_HOME": str(site.place.airflow_home)}
    said = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=True).stdout
    return [(method, path) for path, methods in json.loads(said.splitlines()[-1]) for method in methods]


def test_a_login_does_not_help_another_site(site: Site) -> None:
    """A browser sends the cookie along whoever asks; a page of another site, or a form, is known by its headers."""
    site.client.runs("prepare_cohort")
    cookie = {"_token": site.client._token}
    address = f"{site.place.url}/konsil/federation/none/words"
    for headers in ({}, {"X-Konsil-Word": "1", "Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-origin"}):
        answer = requests.post(address, json={"word": "leave"}, cookies=cookie, headers=headers, timeout=30)
        assert answer.status_code == 403
    ours = {"X-Konsil-Word": "1", "Sec-Fetch-Site": "same-origin"}
    assert requests.post(address, json={}, cookies=cookie, headers=ours, timeout=30).status_code == 404


def test_staff_see_the_list_of_cohorts(site: Site) -> None:
    login = {"username": "staff", "password": passwords(site.place)["staff"]}
    token = requests.post(f"{site.place.url}/auth/token", json=login, timeout=30).json()["access_token"]
    header = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{site.place.url}/konsil/quality", headers=header, timeout=30)
    assert answer.status_code == 200
    assert "No cohort has a report yet" in answer.text


def test_a_wrong_password_is_a_sentence(site: Site) -> None:
    with pytest.raises(Refused, match="password of staff"):
        AirflowClient(site.place.url, "staff", "guess").runs("prepare_cohort")


@pytest.mark.parametrize("name", ["No Name", "ms\n"])
def test_the_form_refuses_a_name_that_is_none(site: Site, name: str) -> None:
    with pytest.raises(BadInput, match="cohort"):
        site.client.trigger("prepare_cohort", {"cohort": name})


def test_an_empty_inbox_ends_in_a_sentence_in_the_log(site: Site) -> None:
    (site.place.home / "inbox").mkdir(parents=True, exist_ok=True)
    run = site.client.trigger("prepare_cohort", {"cohort": "ms-1"})
    deadline = time.monotonic() + 120
    while (scan := state_of(site, run, "scan")) not in ("up_for_retry", "failed"):
        assert time.monotonic() < deadline, f"scan is still {scan}"
        time.sleep(0.5)
    log = "\n".join(site.client.log("prepare_cohort", run, "scan"))
    assert f"KONSIL_HOME={site.place.home}" in log
    assert f"konsil.cli scan {site.place.home / 'inbox'} --cohort ms-1" in log
    assert "konsil: " in log
    assert "Traceback" not in log.split("Task failed")[0]


def test_a_question_has_a_button_to_the_report_while_it_waits_for_a_person(site: Site) -> None:
    """The inbox is empty, so the report that was there before is put in place of the one that would be written."""
    cohort = site.place.home / "cohorts" / "ms-2"
    image, page = "sub-a/ses-1/anat/sub-a_ses-1_T1w.nii.gz", "derivatives/konsil/reports/cohort.html"
    for path in (cohort / image, cohort / page):
        path.parent.mkdir(parents=True)
        path.write_text("the report")
    run = site.client.trigger("prepare_cohort", {"cohort": "ms-2"})
    assert site.client.wait("prepare_cohort", run, timeout_s=120) == "failed"
    report = next(task for task in site.client.tasks("prepare_cohort", run) if task.task_id == "report")
    site.client.set_state("prepare_cohort", run, report, "success")
    again = {"dag_run_id": run, "task_ids": ["sign_off"], "dry_run": False, "only_failed": False}
    site.client.call("POST", "dags/prepare_cohort/clearTaskInstances", again)
    deadline = time.monotonic() + 120
    while not site.client.questions("prepare_cohort", run):
        assert time.monotonic() < deadline, f"nobody is asked: {state_of(site, run, 'sign_off')}"
        time.sleep(0.5)
    links = site.client.call("GET", f"dags/prepare_cohort/dagRuns/{quote(run)}/taskInstances/sign_off/links")
    assert list(links["extra_links"]) == ["Quality report"]
    header = {"Authorization": f"Bearer {site.client._token}"}
    assert requests.get(links["extra_links"]["Quality report"], headers=header, timeout=30).text == "the report"


def test_the_browser_offers_what_the_site_has(site: Site, browser: Browser) -> None:
    home = site.place.home
    write_json(home / "cohorts" / "ms-3" / "cohort.json", {"cases": [1, 2]})
    for name in ("older-1", "newer-1"):
        write_json(home / "models" / name / "model-card.json", {"title": f"Title of {name}"})
    os.utime(home / "models" / "older-1", (1, 1))
    page = browser.new_page(viewport={"width": 1360, "height": 850})
    site.client.login()
    page.context.add_cookies([{"name": "_token", "value": site.client._token, "url": f"{site.place.url}/"}])
    page.goto(f"{site.place.url}/dags/predict")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_text("newer-1 (Title of newer-1)").wait_for(timeout=120_000)
    page.locator("#element_model").click()
    page.get_by_role("option", name="older-1 (Title of older-1)").wait_for(timeout=60_000)
    assert page.get_by_text("ms-3 (2 cases, adopted)").count() == 1
    cut = "[...document.querySelectorAll('[aria-label]')].map(e => e.lastElementChild).filter(e => e?.innerText)"
    assert page.get_by_label("Governance").count() == 1
    assert page.evaluate(f"{cut}.filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)") == []
    page.close()


def test_a_script_may_name_anything_and_is_refused_in_words(site: Site) -> None:
    run = site.client.trigger("predict", {"cohort": "nowhere", "model": "nothing-1"})
    assert site.client.wait("predict", run, timeout_s=180) == "failed"
    (task,) = [task for task in site.client.tasks("predict", run) if task.task_id == "predict"]
    assert task.attempt == 1, "what is not there now will not be there in ten seconds"
    assert "there is no model nothing-1 here" in "\n".join(site.client.log("predict", run, "predict"))


def test_airflow_tells_the_hospitals_monitoring_how_it_is(site: Site) -> None:
    """Tasks that ended, how long, and that all four components live; no run has a name of its own in it."""
    run = site.client.trigger("doctor", {})
    site.client.wait("doctor", run, timeout_s=180)
    wanted = {
        "airflow.scheduler_heartbeat",
        "airflow.triggerer_heartbeat",
        "airflow.dag_processor_heartbeat",
        "airflow.pool.open_slots.default_pool",
        "airflow.dag.doctor.examine.duration",
    }
    names, deadline = site.told(), time.monotonic() + 60
    while not wanted <= names:
        assert time.monotonic() < deadline, f"not told: {wanted - names}; told: {sorted(names)}"
        time.sleep(1)
        names |= site.told()
    assert [name for name in names if run in name] == []


def state_of(site: Site, run: str, task_id: str) -> str | None:
    """State of one task of *Prepare cohort*."""
    return next(task.state for task in site.client.tasks("prepare_cohort", run) if task.task_id == task_id)
