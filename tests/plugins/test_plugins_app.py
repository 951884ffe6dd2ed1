"""Nobody sees a report without Airflow's login, and what is served can do nothing."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

PATHS = ["/quality", "/quality/ms-1/cohort.html", "/federation", "/federation/run-1/report.html"]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from plugins.app import build

    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    reports = tmp_path / "cohorts" / "ms-1" / "derivatives" / "konsil" / "reports"
    reports.mkdir(parents=True)
    (reports / "cohort.html").write_text("<p>the report</p>")
    (tmp_path / "runs" / "run-1").mkdir(parents=True)
    (tmp_path / "runs" / "run-1" / "report.html").write_text("<p>the federation</p>")
    return build()


@pytest.fixture
def known(app: Any) -> TestClient:
    from airflow.api_fastapi.core_api.security import get_user

    app.dependency_overrides[get_user] = lambda: "somebody whom Airflow knows"
    return TestClient(app)


@pytest.mark.parametrize("path", PATHS)
def test_anonymous_is_refused_everywhere(app: Any, path: str) -> None:
    assert TestClient(app).get(path).status_code == 401


def test_every_route_is_in_the_list_above(app: Any) -> None:
    assert len(app.routes) == len(PATHS)
    for path in ("/docs", "/redoc", "/openapi.json", "/"):
        assert TestClient(app).get(path).status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_who_is_known_reads_without_scripts(known: TestClient, path: str) -> None:
    answer = known.get(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/quality/ms-1/nothing.html",
        "/quality/..%2f..%2fkeys/x.html",
        "/quality/ms-1/..%2fcohort.html",
        "/federation/x/report.html",
    ],
)
def test_everything_else_is_not_there(known: TestClient, path: str) -> None:
    assert known.get(path).status_code == 404


def test_the_plugin_names_relative_addresses() -> None:
    from plugins.reports import KonsilPlugin

    assert {view["name"] for view in KonsilPlugin.external_views} == {"Quality", "Federation"}
    assert not any(view["href"].startswith(("/", "http")) for view in KonsilPlugin.external_views)
    (mounted,) = KonsilPlugin.fastapi_apps
    assert mounted["url_prefix"] == "/konsil"
