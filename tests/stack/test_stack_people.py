"""Roles and accounts are made over FAB's REST API, as often as one likes; the rules that roles keep."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.errors import Missing, Refused, Unavailable
from konsil.stack.people import make_accounts, make_roles, signed_in
from konsil.stack.roles import ROLES, permissions

SITE = ("prepare_cohort", "join_federation", "train_rounds", "predict", "doctor")


class Fab(ThreadingHTTPServer):
    """Answers like Airflow 3.3 with FAB 3.10, of which one learns it at e2e; `has_fab` False: like the simple one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.roles: dict[str, Any] = {}
        self.users: dict[str, Any] = {}
        self.has_fab = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Fab

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return

    def answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        kept, name = self.place()
        if self.headers.get("Authorization") != "Bearer admin's":
            self.answer(403, {})
        elif self.path.startswith("/api/v2/dags"):
            self.answer(200, {"dags": [{"dag_id": dag_id} for dag_id in SITE]})
        elif not self.server.has_fab or (name and name not in kept):
            self.answer(404, {})
        else:
            self.answer(200, {})

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/auth/token":
            right = content["password"] == "right"
            return self.answer(201 if right else 401, {"access_token": f"{content['username']}'s"})
        kept, _ = self.place()
        kept[content.get("name") or content["username"]] = content
        return self.answer(200, content)

    do_PATCH = do_POST  # noqa: N815

    def place(self) -> tuple[dict[str, Any], str]:
        """Which things are meant, and which of them."""
        parts = self.path.split("?")[0].removeprefix("/auth/fab/v1/").split("/")
        name = parts[1].replace("%20", " ") if len(parts) > 1 else ""
        return (self.server.roles if parts[0] == "roles" else self.server.users), name


@pytest.fixture
def fab() -> Iterator[Fab]:
    with Fab() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_roles_and_accounts_are_made_once_and_put_right_again(fab: Fab) -> None:
    with signed_in(fab.url, "admin", "right") as airflow:
        assert make_roles(airflow) == list(ROLES.values())
        made = dict(fab.roles)
        fab.roles["Konsil reviewer"] = {"name": "Konsil reviewer", "actions": []}
        make_roles(airflow)
        assert fab.roles == made
        assert make_accounts(airflow, {"staff": "a", "admin": "b"}) == ["staff", "admin"]
        assert make_accounts(airflow, {"staff": "other", "admin": "b"}) == []
    assert fab.users["staff"]["password"] == "a"
    assert {name: user["roles"][0]["name"] for name, user in fab.users.items()} == {
        "staff": "Konsil staff",
        "admin": "Admin",
    }


def test_the_verb_makes_them(fab: Fab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("URL", fab.url), ("USER", "admin"), ("PASSWORD", "right")):
        monkeypatch.setenv(f"KONSIL_AIRFLOW_{name}", value)
    done = CliRunner().invoke(assemble(), ["roles"])
    assert (done.exit_code, len(fab.roles)) == (0, 4)
    assert "Konsil custodian" in done.output


@pytest.mark.parametrize(
    ("user", "password", "error", "words"),
    [("admin", "wrong", Refused, "password of admin"), ("staff", "right", Refused, "Admin of this Airflow")],
)
def test_who_may_not_is_told_so(fab: Fab, user: str, password: str, error: Any, words: str) -> None:
    with pytest.raises(error, match=words), signed_in(fab.url, user, password) as airflow:
        make_roles(airflow)


def test_another_login_has_no_roles_to_make(fab: Fab) -> None:
    fab.has_fab = False
    with pytest.raises(Missing, match="NamedFabAuthManager"), signed_in(fab.url, "admin", "right") as airflow:
        make_roles(airflow)


def test_nobody_answers() -> None:
    with pytest.raises(Unavailable, match="does not answer"), signed_in("http://127.0.0.1:1", "admin", "x"):
        pass


def test_no_role_of_ours_writes_xcoms_or_changes_accounts() -> None:
    for who in ROLES:
        given = permissions(who, SITE)
        changed = {resource for action, resource in given if action in ("can_create", "can_edit", "can_delete")}
        assert not changed & {"XComs", "Users", "Roles", "Permission Views", "Configurations", "Audit Logs"}
        assert ("can_read", "Plugins") in given, "without it Airflow shows no tabs"


def test_who_answers_questions_changes_nothing_of_other_dags() -> None:
    for who, dag_id in (("reviewer", "prepare_cohort"), ("custodian", "join_federation")):
        given = permissions(who, SITE)
        assert ("can_edit", "HITL Detail") in given
        assert [resource for _, resource in given if resource.startswith("DAG:")] == [f"DAG:{dag_id}"]
        assert ("can_edit", "DAGs") not in given
    assert not {("can_edit", "HITL Detail")} & {*permissions("staff", SITE), *permissions("operator", SITE)}


def test_a_role_names_only_dags_that_are_there() -> None:
    assert not any(resource.startswith("DAG:") for _, resource in permissions("staff", ("run_federation",)))
