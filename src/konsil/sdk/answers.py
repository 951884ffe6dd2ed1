"""What Airflow answers, as values: the state of a task, a question to a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from konsil.types import Json


@dataclass(frozen=True)
class TaskState:
    """One task of a run; `state` is None while nothing has happened to it."""

    task_id: str
    map_index: int
    state: str | None
    attempt: int
    seconds: float | None

    @classmethod
    def read(cls, content: Json) -> TaskState:
        """From the API's task instance."""
        return cls(
            content["task_id"], content["map_index"], content["state"], content["try_number"], content["duration"]
        )


@dataclass(frozen=True)
class Question:
    """A task that waits for a person: what is asked, the options, and the fields with what the form proposes."""

    dag_id: str
    run: str
    task_id: str
    map_index: int
    subject: str
    body: str
    options: tuple[str, ...]
    fields: dict[str, Any]
    asked: datetime

    @classmethod
    def read(cls, content: Json) -> Question:
        """From the API's detail of a human-in-the-loop task."""
        task = content["task_instance"]
        params = content.get("params") or {}
        fields = {name: param.get("value") if isinstance(param, dict) else param for name, param in params.items()}
        return cls(
            task["dag_id"],
            task["dag_run_id"],
            task["task_id"],
            task["map_index"],
            content["subject"],
            content.get("body") or "",
            tuple(content["options"]),
            fields,
            datetime.fromisoformat(content["created_at"]),
        )

    @property
    def path(self) -> str:
        """The task's path below `/api/v2`."""
        return (
            f"dags/{quote(self.dag_id)}/dagRuns/{quote(self.run)}/taskInstances/{quote(self.task_id)}/{self.map_index}"
        )
