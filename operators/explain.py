"""What a person reads at each task of a DAG, kept in one table beside the wiring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def explain(dag: Any, words: Mapping[str, str]) -> None:
    """Give every task of `dag` its words, by task_id, as the documentation that Airflow shows beside it.

    KeyError for a task without words, or words without a task: the DAG does not import then.
    """
    if unlike := set(words) ^ set(dag.task_dict):
        raise KeyError(f"{dag.dag_id}: these are not both tasks and explained: {', '.join(sorted(unlike))}")
    for task_id, text in words.items():
        task = dag.task_dict[task_id]
        if hasattr(task, "partial_kwargs"):
            task.partial_kwargs["doc_md"] = text
        else:
            task.doc_md = text
