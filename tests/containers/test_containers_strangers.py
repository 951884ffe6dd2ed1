"""Trivial attacks on the running stack: known passwords, no login, names and files that lead elsewhere."""

import io
import shutil
import zipfile

import pytest

from tests.containers.engine import container, docker
from tests.containers.trial import SITES, Trial, call, token_of

pytestmark = pytest.mark.containers
UNSIGNED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJBRE1JTiJ9."
"""A token that says who it is and is signed by nobody (alg none)."""
CLOSED = [
    "/api/v2/dags", "/api/v2/variables", "/api/v2/connections", "/api/v2/config", "/konsil/quality",
    "/konsil/federation", "/konsil/governance", "/konsil/governance/audit.html", "/konsil/quality/ms-demo/cohort.html",
    "/konsil/docs", "/konsil/openapi.json", "/execution/variables/konsil_patience_s", "/execution/connections/x",
]  # fmt: skip


@pytest.mark.parametrize(
    ("account", "password"),
    [("admin", "admin"), ("airflow", "airflow"), ("admin", ""), ("custodian", "custodian"), ("konsil", "konsil")],
)
def test_no_default_login_works(stack: Trial, account: str, password: str) -> None:
    for place in stack.places:
        code, _ = call(stack, place, "/auth/token", {"username": account, "password": password})
        assert code in (400, 401, 422), "400: no password at all"


@pytest.mark.parametrize("path", CLOSED)
def test_without_a_login_nothing_is_told(stack: Trial, path: str) -> None:
    for place in stack.places:
        for token in ("", UNSIGNED, token_of(stack, "a", "admin") if place == "centre" else UNSIGNED):
            assert call(stack, place, path, token=token)[0] in (401, 403, 404), f"{place}{path}"
    if path.startswith("/api/v2/dags"):
        assert call(stack, "a", path, token=token_of(stack, "a", "staff"))[0] == 200


@pytest.mark.parametrize("name", ["../../etc", "/etc", "ms/../../x", "a" * 60, "MS", "ms\n"])
def test_a_cohorts_name_that_leads_elsewhere_is_refused_by_the_form(stack: Trial, name: str) -> None:
    token = token_of(stack, "a", "staff")
    body = {"logical_date": None, "conf": {"cohort": name}}
    code, _ = call(stack, "a", "/api/v2/dags/prepare_cohort/dagRuns", body, token=token)
    assert code in (400, 422)


@pytest.mark.parametrize("path", ["..%2f..%2fkeys/x", "%2e%2e/secret", "..", "ms-demo/..%2f..%2f..%2fcentre"])
def test_a_page_whose_name_leads_elsewhere_is_not_there(stack: Trial, path: str) -> None:
    token = token_of(stack, "a", "admin")
    assert call(stack, "a", f"/konsil/quality/{path}.html", token=token)[0] in (400, 404, 422)


def test_an_inbox_of_traps_writes_nothing_elsewhere_and_reads_nothing_elsewhere(enrolled: Trial) -> None:
    traps = enrolled.plan.inbox(SITES["a"]) / "traps"
    traps.mkdir()
    (traps / "up.zip").write_bytes(archive("../../../data/home/evil.dcm", "/data/home/evil.dcm"))
    (traps / "secret.dcm").symlink_to("/run/secrets/place")
    (traps / "home").symlink_to("/data/home", target_is_directory=True)
    name = container("a-scheduler")
    before = listing(name)
    try:
        end = docker("exec", name, "konsil", "scan", "/inbox/traps", "--cohort", "traps", check=False)
    finally:
        shutil.rmtree(traps)
    said = end.stdout + end.stderr
    assert end.returncode == 1, said
    assert "fernet" not in said
    assert "2 links that lead out of the inbox" in said
    new = {line for line in listing(name) - before if "traps" not in line.split("/")}
    assert new <= {"/data/home/keys/pseudonym.key"}, "the site's own key, which its first scan makes"


def archive(*names: str) -> bytes:
    """A zip whose entries bear these names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in names:
            made.writestr(name, b"\0" * 128 + b"DICM")
    return stream.getvalue()


def listing(name: str) -> set[str]:
    """Every file of the place's home."""
    return set(docker("exec", name, "find", "/data/home", "-type", "f").stdout.splitlines())
