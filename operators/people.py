"""Who is asked: accounts by name, in the form in which Airflow's Required Actions takes them."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.sdk.execution_time.hitl import HITLUser


def assigned(names: Iterable[str]) -> list[HITLUser]:
    """The only accounts that may answer a question."""
    return [HITLUser(id=name, name=name) for name in names]
