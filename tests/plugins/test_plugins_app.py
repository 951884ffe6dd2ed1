"""Nobody sees a report without Airflow's login, and what is served can do no more than our own script."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from konsil.cohort.cases import Case
from konsil.cohort.folder import SiteFolder
from konsil.files import write_bytes
from konsil.quality.pages import script_source

CASE = Case("1", "1")
PATHS = [
    "/quality",
    "/quality/ms-1/cohort.html",
    "/quality/ms-1/review",
    "/viewer/viewer.js",
    "/viewer/ms-1/sub-1_ses-1.html",
    "/viewer/ms-1/sub-1_ses-1/images",
    "/viewer/ms-1/sub-1_ses-1/FLAIR.nii.gz",
    "/federation",
    "/federation/run-1/report.html",
    "/federation/run-1/now.html",
    "/federation/run-1/now",
    "/assets/run.js",
    "/governance",
    "/governance/audit.html",
    "/governance/run-1/charter.html",
]

PAGES = ("html", "quality", "federation", "governance")
OURS = {
    "quality/ms-1/cohort.html": script_source(),
    "viewer/ms-1/sub-1_ses-1.html": "'self'",
    "federation/run-1/now.html": "'self'",
    "governance": "'self'",
    "governance/audit.html": "'self'",
    "governance/run-1/charter.html": "'self'",
}


class Manager:
    """Lets everybody answer questions, but the sign-off only its reviewers."""

    def is_authorized_dag(self, **asked: Any) -> bool:
        return True

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: str) -> bool:
        return user in assigned_users


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from plugins import access, reviews
    from plugins.app import build

    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    monkeypatch.setattr(reviews, "get_auth_manager", Manager)
    monkeypatch.setattr(access, "get_auth_manager", Manager)
    folder = SiteFolder(tmp_path).cohort("ms-1")
    write_bytes(folder.reports / "cohort.html", b"<p>the report</p>")
    write_bytes(folder.oriented(CASE, "FLAIR"), b"an image")
    write_bytes(tmp_path / "runs" / "run-1" / "report.html", b"<p>the federation</p>")
    write_bytes(tmp_path / "keys" / "secret.nii.gz", b"secret")
    return build()


@pytest.fixture
def known(app: Any) -> TestClient:
    from airflow.api_fastapi.core_api.security import get_user

    app.dependency_overrides[get_user] = lambda: "somebody whom Airflow knows"
    return TestClient(app)


@pytest.mark.parametrize("path", PATHS)
def test_anonymous_is_refused_everywhere(app: Any, path: str) -> None:
    assert TestClient(app).get(path).status_code == 401


def test_anonymous_decides_nothing(app: Any) -> None:
    asked = {"case": str(CASE), "decision": "accept"}
    answer = TestClient(app).post("/quality/ms-1/review", json=asked, headers={"X-Konsil-Review": "1"})
    assert answer.status_code == 401
    for path in ("/federation/run-1/words", "/governance/policies/p/revoke"):
        answer = TestClient(app).post(path, json={"word": "abort"}, headers={"X-Konsil-Word": "1"})
        assert answer.status_code == 401


def test_every_route_is_in_the_list_above(app: Any) -> None:
    """Three routes more than paths, those that change something: a decision, a word to a run, the end of a policy."""
    assert len(app.routes) == len(PATHS) + 3
    for path in ("/docs", "/redoc", "/openapi.json", "/"):
        assert TestClient(app).get(path).status_code == 404


@pytest.mark.parametrize("path", [path for path in PATHS if path.endswith(PAGES)])
def test_who_is_known_reads_pages_that_load_nothing_of_others(known: TestClient, path: str) -> None:
    answer = known.get(path)
    assert answer.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy.get("script-src", "") == OURS.get(path[1:], "")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_an_image_is_streamed_as_it_lies_on_the_disk(known: TestClient) -> None:
    answer = known.get("/viewer/ms-1/sub-1_ses-1/FLAIR.nii.gz")
    assert answer.content == b"an image"
    assert answer.headers["Content-Type"] == "application/gzip"
    assert answer.headers["Cache-Control"] == "no-store"
    assert known.get("/viewer/ms-1/sub-1_ses-1/images").json() == {"images": ["FLAIR"]}


def test_the_scripts_of_the_viewer_are_served_and_nothing_else_beside_them(known: TestClient) -> None:
    assert "Niivue" in known.get("/viewer/niivue-0.69.0.js").text
    assert known.get("/viewer/viewer.js").headers["Content-Type"].startswith("text/javascript")
    assert known.get("/viewer/viewer.html").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/quality/ms-1/nothing.html",
        "/quality/..%2f..%2fkeys/x.html",
        "/quality/ms-1/..%2fcohort.html",
        "/quality/ms-2/review",
        "/quality/..%2fms-1/review",
        "/viewer/ms-1/sub-2_ses-1.html",
        "/viewer/ms-1/sub-1_ses-1/T1w.nii.gz",
        "/viewer/ms-1/sub-1_ses-1/..%2f..%2f..%2fkeys%2fsecret.nii.gz",
        "/viewer/..%2fkeys/secret/secret.nii.gz",
        "/viewer/..%2fpages.js",
        "/federation/x/report.html",
    ],
)
def test_everything_else_is_not_there(known: TestClient, path: str) -> None:
    assert known.get(path).status_code == 404


def test_the_plugin_names_relative_addresses() -> None:
    from plugins.reports import KonsilPlugin

    assert {view["name"] for view in KonsilPlugin.external_views} == {"Quality", "Federation", "Governance"}
    assert not any(view["href"].startswith(("/", "http")) for view in KonsilPlugin.external_views)
    (mounted,) = KonsilPlugin.fastapi_apps
    assert mounted["url_prefix"] == "/konsil"
