"""Trigger forms offer what a place has, at the moment when the form is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse
from starlette.testclient import TestClient

from konsil.files import write_bytes, write_json
from plugins.choices import CHOICES
from plugins.offering import DETAILS, Offering

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture(scope="module")
def forms() -> dict[str, dict[str, Any]]:
    """Every form, as Airflow's API tells it."""
    from airflow.dag_processing.dagbag import DagBag

    dags = DagBag(str(DAGS)).dags
    return {name: {key: dag.params.get_param(key).dump() for key in dag.params} for name, dag in dags.items()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def api(forms: dict[str, Any], home: Path) -> TestClient:
    """An API server with the middleware where Airflow puts it: within the compression."""
    app = FastAPI(root_path="/a")

    @app.get("/api/v2/dags/{dag_id}/details")
    def details(dag_id: str) -> JSONResponse:
        known = dag_id in forms
        content = {"dag_id": dag_id, "params": forms[dag_id]} if known else {"detail": "no such DAG"}
        return JSONResponse(content, 200 if known else 404)

    @app.get("/api/v2/dags/{dag_id}")
    def other(dag_id: str) -> JSONResponse:
        return details(dag_id)

    app.add_middleware(Offering)
    app.add_middleware(GZipMiddleware, minimum_size=100)
    return TestClient(app)


def form(api: TestClient, dag_id: str) -> dict[str, Any]:
    answer = api.get(f"/a/api/v2/dags/{dag_id}/details")
    assert answer.status_code == 200
    return dict(answer.json()["params"])


def test_every_choice_belongs_to_a_field_that_exists(forms: dict[str, Any]) -> None:
    assert [(dag, name) for dag, fields in CHOICES.items() for name in fields if name not in forms[dag]] == []
    for dag in forms:
        assert bool(DETAILS.search(f"/a/api/v2/dags/{dag}/details")) == (dag in CHOICES)


def test_cohorts_and_models_are_chosen_and_the_newest_is_proposed(api: TestClient, home: Path) -> None:
    write_json(home / "cohorts" / "ms-1" / "cohort.json", {"cases": [1]})
    write_json(home / "models" / "lines-1" / "model-card.json", {"title": "MS <b>lesions</b>"})
    fields = form(api, "predict")
    assert fields["cohort"]["schema"]["enum"] == ["ms-1"]
    assert fields["cohort"]["schema"]["values_display"] == {"ms-1": "ms-1 (1 case, adopted)"}
    assert fields["cohort"]["value"] == "ms-1"
    assert fields["model"]["schema"]["values_display"] == {"lines-1": "lines-1 (MS <b>lesions</b>)"}
    assert fields["model"]["value"] == "lines-1"
    assert fields["which"]["value"] == "result"


def test_a_cohort_frozen_a_moment_ago_is_there_at_the_next_look(api: TestClient, home: Path) -> None:
    assert form(api, "predict")["cohort"]["schema"]["enum"] == []
    write_json(home / "cohorts" / "ms-1" / "cohort.json", {"cases": []})
    assert form(api, "predict")["cohort"]["schema"]["enum"] == ["ms-1"]


def test_an_empty_list_says_what_has_to_come_first(api: TestClient) -> None:
    fields = form(api, "predict")
    assert fields["cohort"]["description"].startswith("No cohort is prepared here yet")
    assert fields["model"]["description"].startswith("No model is stored here yet")
    assert fields["model"]["description"].endswith("Named after the federation that made it.")
    assert fields["model"]["value"] is None


def test_the_centre_chooses_among_its_sites_and_models(
    api: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("konsil.trust.roster.Roster.load", lambda home: type("Joined", (), {"sites": ("B", "A")}))
    folder = home / "models" / "ms-1"
    write_json(folder / "model-card.json", {})
    write_json(folder / "recipe.json", {})
    write_bytes(folder / "model.safetensors", b"weights")
    fields = form(api, "run_federation")
    assert fields["sites"]["schema"]["examples"] == ["B", "A"]
    assert fields["sites"]["schema"]["type"] == ["null", "array"], "nothing has to be chosen"
    assert fields["sites"]["value"] is None
    assert fields["start_model"]["schema"]["enum"] == [None, "ms-1"]
    assert fields["start_model"]["schema"]["values_display"]["null"] == "none"
    assert fields["start_model"]["value"] is None, "no model is started from unasked"
    assert fields["workflow"]["schema"]["enum"] == [None]
    assert fields["strategy"]["schema"]["enum"][0] == "fedavg"


def test_a_new_cohort_keeps_a_name_of_its_own_beside_those_begun(api: TestClient, home: Path) -> None:
    assert "examples" not in form(api, "prepare_cohort")["cohort"]["schema"]
    write_json(home / "work" / "ms-1" / "scan.json", {})
    field = form(api, "prepare_cohort")["cohort"]
    assert field["schema"]["examples"] == ["ms-1"]
    assert "enum" not in field["schema"]
    assert field["value"] is None


def test_other_answers_are_left_alone(api: TestClient, forms: dict[str, Any], home: Path) -> None:
    write_json(home / "cohorts" / "ms-1" / "cohort.json", {"cases": []})
    assert form(api, "doctor") == forms["doctor"]
    assert api.get("/a/api/v2/dags/predict").json()["params"] == forms["predict"]
    assert api.get("/a/api/v2/dags/nothing/details").status_code == 404


def test_a_refusal_of_airflow_stays_a_refusal(home: Path) -> None:
    app = FastAPI()

    @app.get("/api/v2/dags/{dag_id}/details")
    def details(dag_id: str) -> JSONResponse:
        return JSONResponse({"params": {}}, 403)

    app.add_middleware(Offering)
    answer = TestClient(app).get("/api/v2/dags/predict/details")
    assert (answer.status_code, answer.json()) == (403, {"params": {}})


def test_the_form_opens_where_the_home_is_damaged(api: TestClient, forms: dict[str, Any], home: Path) -> None:
    (home / "cohorts").mkdir()
    (home / "cohorts" / "ms-1").symlink_to(home / "nowhere")
    fields = form(api, "predict")
    assert fields == json.loads(json.dumps(forms["predict"])), "typed, as without us"
