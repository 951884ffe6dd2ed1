"""Who looks at the tabs, and how our own pages ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

OURS = {"X-Konsil-Word": "1", "Sec-Fetch-Site": "same-origin"}
"""What a word from our own pages carries."""
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Person:
    """An account, as Airflow's login gives it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_name(self) -> str:
        return self.name


def as_person(name: str) -> TestClient:
    """The tabs as the account `name` sees them."""
    from airflow.api_fastapi.core_api.security import get_user

    from plugins.app import build

    app = build()
    app.dependency_overrides[get_user] = lambda: Person(name)
    return TestClient(app)


def visits(monkeypatch: pytest.MonkeyPatch, manager: type, usual: str) -> Callable[..., TestClient]:
    """`at(home, name)`: the tabs of a place, where `manager` says who may do what and `usual` is who looks."""
    from plugins import access

    def at(home: Path, name: str = usual) -> TestClient:
        monkeypatch.setenv("KONSIL_HOME", str(home))
        monkeypatch.setattr(access, "get_auth_manager", manager)
        return as_person(name)

    return at
