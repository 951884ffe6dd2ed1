"""The people of the demo: accounts at the four Airflow instances, and how they wait for what is asked of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from konsil.demo.plan import DemoPlan
from konsil.errors import Unavailable
from konsil.sdk.airflow import AirflowClient
from konsil.sdk.answers import Question
from konsil.stack.accounts import passwords
from konsil.stack.places import read_plan

Found = TypeVar("Found")


def person(plan: DemoPlan, place: str, account: str) -> AirflowClient:
    """The REST client of one account at one place ("centre" or a site)."""
    (found,) = read_plan(plan.stack).only([place])
    return AirflowClient(found.url, account, passwords(found)[account])


def question_for(client: AirflowClient, dag_id: str, *, timeout_s: float) -> Question:
    """The first open question of a DAG under Required Actions, waited for.

    A DAG run that failed meanwhile ends the waiting with its failed tasks named.
    """

    def asked() -> Question | None:
        open_questions = client.questions(dag_id)
        if not open_questions:
            refuse_failed(client, dag_id)
        return open_questions[0] if open_questions else None

    return until(asked, what=f"a question of {dag_id}", timeout_s=timeout_s)


def answer(client: AirflowClient, dag_id: str, option: str, fields: Mapping[str, str], *, timeout_s: float) -> None:
    """Answer the question of a DAG, and again if it is asked again, until the asking task has taken the answer.

    Airflow 3.3 fails a task whose answer comes before the scheduler has noticed that it waits (docs/airflow.md); its
    retry asks once more.
    """
    first = question_for(client, dag_id, timeout_s=timeout_s)
    client.answer(first, option, fields)

    def taken() -> bool | None:
        if any(task.state == "success" for task in client.tasks(dag_id, first.run) if task.task_id == first.task_id):
            return True
        for again in client.questions(dag_id, first.run):
            client.answer(again, option, fields)
        refuse_failed(client, dag_id)
        return None

    until(taken, what=f"the end of {first.task_id}", timeout_s=timeout_s)


def refuse_failed(client: AirflowClient, dag_id: str) -> None:
    """Raise when the newest run of a DAG failed, with the names of the tasks that did."""
    name, state = client.newest(dag_id) or ("", "")
    if state != "failed":
        return
    broken = [task for task in client.tasks(dag_id, name) if task.state == "failed"]
    lines = [last_words(client, dag_id, name, task.task_id, task.attempt, task.map_index) for task in broken[:2]]
    raise Unavailable(f"{dag_id} failed at {client.url}", got="; ".join(lines) or "no failed task")


def last_words(client: AirflowClient, dag_id: str, run: str, task_id: str, attempt: int, map_index: int) -> str:
    """The last lines of a failed task's log, on one line."""
    lines = client.log(dag_id, run, task_id, attempt=attempt, map_index=map_index)
    return f"{task_id}: {' | '.join(line for line in lines[-6:] if line.strip())}"


def until(look: Callable[[], Found | None], *, what: str, timeout_s: float, poll_s: float = 1.0) -> Found:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} did not come within {timeout_s:.0f} s")
        time.sleep(poll_s)
    return found
