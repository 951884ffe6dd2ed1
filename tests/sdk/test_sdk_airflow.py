"""The client against a small server that answers as Airflow 3.3 does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from konsil.errors import BadInput, KonsilError, Missing, Refused, Unavailable
from konsil.sdk.airflow import AirflowClient

Answer = tuple[int, Any]


@dataclass
class Airflow:
    """Scripted answers by "METHOD path"; a list is given one after the other. Keeps what was asked."""

    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, Any, str]] = field(default_factory=list)
    url: str = ""

    silent: set[str] = field(default_factory=set)
    """Requests that wait once for longer than a client does."""

    def next(self, key: str) -> Answer:
        if key in self.silent:
            self.silent.remove(key)
            time.sleep(1.0)
        found = self.answers.get(key, (404, {"detail": f"no {key}"}))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    script = Airflow({"POST /auth/token": (201, {"access_token": "t1"})})

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = json.loads(body) if body else None
            key = f"{self.command} {self.path.removeprefix('/site-a')}"
            script.asked.append((key, content, self.headers.get("Authorization", "")))
            status, answer = script.next(key)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            if status == 503:
                self.send_header("Retry-After", "0")
            self.end_headers()
            with suppress(BrokenPipeError):  # who has waited too long is gone
                self.wfile.write(text)

        do_GET = do_POST = do_PATCH = reply  # noqa: N815 (names of the base class)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        script.url = f"http://127.0.0.1:{server.server_port}/site-a"
        yield script
        server.shutdown()
        thread.join()


@pytest.fixture
def client(airflow: Airflow) -> AirflowClient:
    return AirflowClient(airflow.url, "staff", "secret-word")


RUN = "GET /api/v2/dags/prepare_cohort/dagRuns/r1"


def test_trigger_sends_the_form_and_gives_the_name(airflow: Airflow, client: AirflowClient) -> None:
    airflow.answers["POST /api/v2/dags/prepare_cohort/dagRuns"] = (200, {"dag_run_id": "r1"})
    assert client.trigger("prepare_cohort", {"cohort": "ms"}) == "r1"
    _, content, token = airflow.asked[-1]
    assert content == {"logical_date": None, "conf": {"cohort": "ms"}}
    assert token == "Bearer t1"


def test_a_token_that_ran_out_is_replaced_once(airflow: Airflow, client: AirflowClient) -> None:
    airflow.answers["POST /auth/token"] = [(201, {"access_token": "old"}), (201, {"access_token": "new"})]
    airflow.answers[RUN] = [(401, {"detail": "expired"}), (200, {"state": "success"})]
    assert client.state("prepare_cohort", "r1") == "success"
    assert airflow.asked[-1][2] == "Bearer new"


def test_follow_gives_each_state_once_and_ends(airflow: Airflow, client: AirflowClient) -> None:
    states = ["queued", "running", "running", "running", "failed"]
    airflow.answers[RUN] = [(200, {"state": state}) for state in states]
    assert list(client.follow("prepare_cohort", "r1", poll_s=0)) == ["queued", "running", "failed"]


LISTS = {
    "runs": ("dags/d/dagRuns?limit=1000&order_by=run_after", "dag_runs"),
    "forms": ("dags/d/dagRuns?limit=1000&order_by=-run_after", "dag_runs"),
    "tasks": ("dags/d/dagRuns/r1/taskInstances?limit=1000", "task_instances"),
    "questions": ("dags/d/dagRuns/r1/hitlDetails?response_received=false&limit=1000", "hitl_details"),
}
TASK = {"task_id": "qc", "state": "success", "try_number": 1, "duration": 1.0}


@pytest.mark.parametrize("method", LISTS)
def test_a_list_is_read_to_its_end_although_a_page_holds_100(
    airflow: Airflow, client: AirflowClient, method: str
) -> None:
    """Airflow's `api.maximum_page_limit`, whatever `limit` says."""
    path, key = LISTS[method]
    entries: dict[str, list[Any]] = {
        "dag_runs": [{"dag_run_id": f"r{n}", "state": "success", "conf": {"n": n}} for n in range(250)],
        "task_instances": [{**TASK, "map_index": n} for n in range(250)],
        "hitl_details": [{**QUESTION, "subject": f"Sign off {n}"} for n in range(250)],
    }
    for offset in (0, 100, 200):
        page = {key: entries[key][offset : offset + 100], "total_entries": 250}
        airflow.answers[f"GET /api/v2/{path}{f'&offset={offset}' if offset else ''}"] = (200, page)
    found = getattr(client, method)(*(("d",) if key == "dag_runs" else ("d", "r1")))
    last = {"runs": ("r249", "success"), "forms": ("r249", {"n": 249})}.get(method)
    assert len(found) == 250
    assert last is None or last == list(found.items() if isinstance(found, dict) else found)[-1]


def test_a_list_that_shrinks_while_it_is_read_has_an_end(airflow: Airflow, client: AirflowClient) -> None:
    path, key = LISTS["runs"]
    runs = [{"dag_run_id": f"r{n}", "state": "success"} for n in range(100)]
    airflow.answers[f"GET /api/v2/{path}"] = (200, {key: runs, "total_entries": 101})
    airflow.answers[f"GET /api/v2/{path}&offset=100"] = (200, {key: [], "total_entries": 100})
    assert len(client.runs("d")) == 100


def test_the_newest_run_is_asked_for_alone(airflow: Airflow, client: AirflowClient) -> None:
    path = "GET /api/v2/dags/d/dagRuns?limit=1&order_by=-run_after"
    airflow.answers[path] = (200, {"dag_runs": [{"dag_run_id": "r249", "state": "failed"}], "total_entries": 250})
    assert client.newest("d") == ("r249", "failed")
    airflow.answers[path] = (200, {"dag_runs": [], "total_entries": 0})
    assert client.newest("d") is None


def test_waiting_has_an_end(airflow: Airflow, client: AirflowClient) -> None:
    airflow.answers[RUN] = (200, {"state": "running"})
    with pytest.raises(Unavailable, match="did not end within 0 s; got state running"):
        client.wait("prepare_cohort", "r1", poll_s=0, timeout_s=0)


QUESTION = {
    "task_instance": {"dag_id": "prepare_cohort", "dag_run_id": "r1", "task_id": "sign_off", "map_index": -1},
    "subject": "Sign off",
    "body": None,
    "options": ["Approve", "Reject"],
    "created_at": "2026-01-01T10:00:00.123456Z",
    "params": {"exclude": {"value": None, "schema": {}}, "comment": {"value": "none", "schema": {}}},
}
HITL = "GET /api/v2/dags/~/dagRuns/~/hitlDetails?response_received=false&limit=1000"
PATCH = "PATCH /api/v2/dags/prepare_cohort/dagRuns/r1/taskInstances/sign_off/-1/hitlDetails"


def test_an_answer_holds_every_field_of_the_form(airflow: Airflow, client: AirflowClient) -> None:
    airflow.answers |= {HITL: (200, {"hitl_details": [QUESTION]}), PATCH: (200, {})}
    (question,) = client.questions()
    client.answer(question, "Approve", {"exclude": "sub-1_ses-1: motion"})
    sent = airflow.asked[-1][1]
    assert sent == {
        "chosen_options": ["Approve"],
        "params_input": {"exclude": "sub-1_ses-1: motion", "comment": "none"},
    }


def test_a_fresh_question_is_let_settle_and_an_old_one_is_not(
    airflow: Airflow, client: AirflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("konsil.sdk.airflow.time.sleep", pauses.append)
    fresh = {**QUESTION, "created_at": datetime.now(UTC).isoformat()}
    airflow.answers |= {HITL: (200, {"hitl_details": [QUESTION, fresh]}), PATCH: (200, {})}
    for question in client.questions():
        client.answer(question, "Approve")
    assert pauses[0] == 0
    assert 3 < pauses[1] <= client.settle_s


def test_a_field_the_form_does_not_have_is_refused_before_anything_is_sent(
    airflow: Airflow, client: AirflowClient
) -> None:
    airflow.answers[HITL] = (200, {"hitl_details": [QUESTION]})
    (question,) = client.questions()
    before = len(airflow.asked)
    with pytest.raises(BadInput, match="expected exclude, comment; got remark"):
        client.answer(question, "Approve", {"remark": "x"})
    assert len(airflow.asked) == before


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, Refused, "staff may not do this"),
        (404, Missing, "does not know this"),
        (409, Refused, "done already"),
        (400, BadInput, "does not accept the values"),
        (422, BadInput, "does not accept the values"),
        (500, Unavailable, "answered 500"),
    ],
)
def test_refusals_are_sentences(
    airflow: Airflow, client: AirflowClient, status: int, kind: type[Exception], words: str
) -> None:
    airflow.answers[RUN] = (status, {"detail": "said  the\nserver"})
    with pytest.raises(kind, match=words) as caught:
        client.state("prepare_cohort", "r1")
    assert "said the server" in str(caught.value)


def test_a_wrong_password_is_a_sentence_without_the_password(airflow: Airflow, client: AirflowClient) -> None:
    airflow.answers["POST /auth/token"] = (401, {"detail": "Invalid"})
    with pytest.raises(Refused, match="password of staff") as caught:
        client.runs("prepare_cohort")
    assert "secret-word" not in str(caught.value)


def test_nobody_there_is_a_sentence() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        AirflowClient("http://127.0.0.1:9", "staff", "x", timeout_s=2).runs("prepare_cohort")


def test_what_only_reads_is_asked_again_where_a_busy_server_was_silent(airflow: Airflow) -> None:
    busy = AirflowClient(airflow.url, "staff", "secret-word", timeout_s=0.5)
    airflow.answers[RUN] = (200, {"state": "success"})
    airflow.silent = {RUN}
    assert busy.state("prepare_cohort", "r1") == "success"
    start = "POST /api/v2/dags/prepare_cohort/dagRuns"
    airflow.answers[start] = (200, {"dag_run_id": "r2"})
    airflow.silent = {start}
    with pytest.raises(Unavailable, match="does not answer; got ReadTimeout"):
        busy.trigger("prepare_cohort")
    assert [key for key, _, _ in airflow.asked].count(start) == 1, "nobody knows whether it started"


def test_a_server_that_says_come_again_is_heard_once(airflow: Airflow, client: AirflowClient) -> None:
    airflow.answers[RUN] = (503, {"detail": "The database is away"})
    with pytest.raises(KonsilError, match="The database is away"):
        client.state("prepare_cohort", "r1")
    assert [key for key, _, _ in airflow.asked].count(RUN) == 1


def test_a_log_is_lines(airflow: Airflow, client: AirflowClient) -> None:
    path = "GET /api/v2/dags/d/dagRuns/r1/taskInstances/t/logs/2?map_index=3&full_content=true"
    airflow.answers[path] = (200, {"content": [{"event": "first"}, "second"]})
    assert client.log("d", "r1", "t", attempt=2, map_index=3) == ["first", "second"]
