"""Airflow's REST API (v2) as a data scientist needs it: trigger, follow, answer, read logs.

    client = AirflowClient("http://127.0.0.1:8080/centre", "operator", password)
    run = client.trigger("run_federation", {"run": "ms-1", "sites": ["A", "B", "C"]})
    for state in client.follow("run_federation", run):
        print(state)

Every refusal is a sentence: who may not, what is not there, who does not answer. A token is fetched at the first call
and again when it has run out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from konsil.errors import BadInput, KonsilError, Missing, Refused, Unavailable
from konsil.sdk.answers import Question, TaskState
from konsil.types import Json

ENDED = ("success", "failed")
READ_AGAIN = Retry(total=2, connect=0, status=0, other=0, allowed_methods={"GET"}, respect_retry_after_header=False)
"""What only reads is asked for again: a server that has just been started can be silent for longer than one try.
An answer is an answer, also one that says when to come again."""


class AirflowClient:
    """One account at one Airflow instance."""

    def __init__(
        self, url: str, username: str, password: str, *, timeout_s: float = 30.0, settle_s: float = 8.0
    ) -> None:
        self.url = url.rstrip("/")
        self.username = username
        self.timeout_s = timeout_s
        self.settle_s = settle_s
        self._password = password
        self._token = ""

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, name: str = "") -> str:
        """Start a DAG with the values of its form; returns the name of the DAG run, which is `name` if one is given."""
        content: Json = {"logical_date": None, "conf": dict(conf or {}), **({"dag_run_id": name} if name else {})}
        return str(self.call("POST", f"dags/{quote(dag_id)}/dagRuns", content)["dag_run_id"])

    def runs(self, dag_id: str) -> list[tuple[str, str]]:
        """(name, state) of every run of a DAG, oldest first."""
        found = self._all(f"dags/{quote(dag_id)}/dagRuns?limit=1000&order_by=run_after", "dag_runs")
        return [(run["dag_run_id"], run["state"]) for run in found]

    def newest(self, dag_id: str) -> tuple[str, str] | None:
        """(name, state) of the newest run of a DAG; None where there is none."""
        found = self.call("GET", f"dags/{quote(dag_id)}/dagRuns?limit=1&order_by=-run_after")["dag_runs"]
        return (found[0]["dag_run_id"], found[0]["state"]) if found else None

    def forms(self, dag_id: str) -> dict[str, Json]:
        """What was filled into the form of every run of a DAG, by name, newest first."""
        found = self._all(f"dags/{quote(dag_id)}/dagRuns?limit=1000&order_by=-run_after", "dag_runs")
        return {run["dag_run_id"]: dict(run.get("conf") or {}) for run in found}

    def state(self, dag_id: str, run: str) -> str:
        """`queued`, `running`, `success` or `failed`."""
        return str(self.call("GET", f"dags/{quote(dag_id)}/dagRuns/{quote(run)}")["state"])

    def follow(self, dag_id: str, run: str, *, poll_s: float = 1.0, timeout_s: float = 86400.0) -> Iterator[str]:
        """Give the state whenever it changes, the last one being `success` or `failed`.

        Raises `Unavailable` when the run has not ended after `timeout_s`.
        """
        deadline, last = time.monotonic() + timeout_s, ""
        while last not in ENDED:
            state = self.state(dag_id, run)
            if state != last:
                yield state
                last = state
            elif time.monotonic() > deadline:
                raise Unavailable(f"{dag_id} did not end within {timeout_s:.0f} s", got=f"state {state}")
            else:
                time.sleep(poll_s)

    def wait(self, dag_id: str, run: str, *, poll_s: float = 1.0, timeout_s: float = 86400.0) -> str:
        """The state in which a run ended."""
        *_, last = self.follow(dag_id, run, poll_s=poll_s, timeout_s=timeout_s)
        return last

    def tasks(self, dag_id: str, run: str) -> list[TaskState]:
        """The state of every task of a run; a task of a mapped group appears once per batch."""
        path = f"dags/{quote(dag_id)}/dagRuns/{quote(run)}/taskInstances?limit=1000"
        return [TaskState.read(content) for content in self._all(path, "task_instances")]

    def set_state(self, dag_id: str, run: str, task: TaskState, state: str) -> None:
        """Set a task to `success` or `failed`; a running task is killed."""
        path = f"dags/{quote(dag_id)}/dagRuns/{quote(run)}/taskInstances/{quote(task.task_id)}"
        index = "" if task.map_index < 0 else f"/{task.map_index}"
        self.call("PATCH", path + index, {"new_state": state})

    def questions(self, dag_id: str = "~", run: str = "~") -> list[Question]:
        """What waits for a person (Required Actions), of one DAG run or (`~`) of all."""
        path = f"dags/{quote(dag_id)}/dagRuns/{quote(run)}/hitlDetails?response_received=false&limit=1000"
        return [Question.read(content) for content in self._all(path, "hitl_details")]

    def answer(self, question: Question, option: str, fields: Mapping[str, Any] | None = None) -> None:
        """Answer a question; fields that are not named keep what the form proposes. Answers are final.

        A question younger than `settle_s` is let grow that old: Airflow 3.3 fails a task that is answered before the
        scheduler has heard that it waits (upstream issue 71580), and then asks again.
        """
        unknown = sorted(set(fields or {}) - set(question.fields))
        if unknown:
            raise BadInput("the question has no such field", expected=", ".join(question.fields), got=unknown[0])
        age_s = (datetime.now(UTC) - question.asked).total_seconds()
        time.sleep(min(max(self.settle_s - age_s, 0.0), self.settle_s))
        content = {"chosen_options": [option], "params_input": {**question.fields, **(fields or {})}}
        self.call("PATCH", f"{question.path}/hitlDetails", content)

    def log(self, dag_id: str, run: str, task_id: str, *, attempt: int = 1, map_index: int = -1) -> list[str]:
        """The lines of a task's log."""
        path = f"dags/{quote(dag_id)}/dagRuns/{quote(run)}/taskInstances/{quote(task_id)}/logs/{attempt}"
        content = self.call("GET", f"{path}?map_index={map_index}&full_content=true").get("content", [])
        return [str(line.get("event", "")) if isinstance(line, dict) else str(line) for line in content]

    def call(self, method: str, path: str, content: Json | None = None) -> Json:
        """One call below `/api/v2`, with a new token when the old one has run out; refusals are raised."""
        if not self._token:
            self.login()
        answer = self._send(method, f"{self.url}/api/v2/{path}", content)
        if answer.status_code == 401:
            self.login()
            answer = self._send(method, f"{self.url}/api/v2/{path}", content)
        if not answer.ok:
            raise refusal(answer, self.username)
        found = answer.json() if answer.content else {}
        return found if isinstance(found, dict) else {"items": found}

    def _all(self, path: str, key: str) -> list[Json]:
        """The entries of a list, page after page: a server gives 100 at once at most, however many are asked for."""
        found: list[Json] = []
        while True:
            answer = self.call("GET", f"{path}&offset={len(found)}" if found else path)
            found += answer[key]
            if not answer[key] or len(found) >= (answer.get("total_entries") or 0):
                return found

    def login(self) -> None:
        """Exchange the password for a token."""
        self._token = ""
        answer = self._send("POST", f"{self.url}/auth/token", {"username": self.username, "password": self._password})
        if answer.status_code == 401:
            raise Refused(
                f"Airflow does not accept the password of {self.username}", hint="konsil stack status shows it"
            )
        if not answer.ok:
            raise refusal(answer, self.username)
        self._token = str(answer.json()["access_token"])

    def _send(self, method: str, url: str, content: Json | None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        try:
            with requests.Session() as session:
                for prefix in ("http://", "https://"):
                    session.mount(prefix, HTTPAdapter(max_retries=READ_AGAIN))
                return session.request(method, url, json=content, headers=headers, timeout=self.timeout_s)
        except requests.RequestException as error:
            raise Unavailable(
                f"Airflow at {self.url} does not answer",
                got=type(error).__name__,
                hint="Is it running? konsil stack status tells",
            ) from error


def refusal(answer: requests.Response, who: str) -> KonsilError:
    """The sentence for a status that is not a success."""
    detail = reason(answer)
    if answer.status_code == 403:
        return Refused(f"{who} may not do this at {answer.url.split('/api/')[0]}", got=detail)
    if answer.status_code == 404:
        return Missing("Airflow does not know this", got=detail, hint="A new DAG file appears within half a minute")
    if answer.status_code == 409:
        return Refused("this was done already", got=detail)
    if answer.status_code in (400, 422):
        return BadInput("Airflow does not accept the values", got=detail)
    return Unavailable(f"Airflow answered {answer.status_code}", got=detail, hint="Trying again may help")


def reason(answer: requests.Response) -> str:
    """What the server said, on one line of at most 300 characters."""
    try:
        content = answer.json()
    except ValueError:
        content = answer.text
    detail = content.get("detail", content) if isinstance(content, dict) else content
    return " ".join(str(detail).split())[:300]
