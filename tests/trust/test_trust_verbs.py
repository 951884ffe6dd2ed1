"""`konsil central …` and `konsil site join`, over a shared folder; every refusal is one sentence and keeps nothing."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from konsil.cli.app import main
from konsil.federation.mailbox import Kind, Slot, open_mailbox
from konsil.trust.enrolment import request
from konsil.trust.identity import Identity
from konsil.trust.invitations import Invitations
from konsil.trust.passes import read_pass


class Shell:
    """Runs konsil as a person does."""

    def __init__(self, root: Path, monkeypatch, capsys) -> None:
        self.root, self._monkeypatch, self._capsys = root, monkeypatch, capsys

    def run(self, *words: object) -> tuple[int, str]:
        """Exit code, and everything that was printed."""
        self._monkeypatch.setattr(sys, "argv", ["konsil", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    def central(self, *words: object) -> tuple[int, str]:
        return self.run("central", *words, "--home", self.root / "centre")

    def join(self, path: Path | str, home: str = "A") -> tuple[int, str]:
        return self.run("site", "join", path, "--home", self.root / home)


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys) -> Shell:
    made = Shell(tmp_path, monkeypatch, capsys)
    assert made.central("init", "--endpoint", (tmp_path / "a store").as_uri())[0] == 0
    assert made.central("invite", "A", "--out", tmp_path / "A.pass")[0] == 0
    return made


def edited(path: Path, **changes: object) -> Path:
    """The pass with some fields changed, and a fingerprint that fits again."""
    found = read_pass(path).model_copy(update=changes)
    target = path.with_name("edited.pass")
    found.save(target)
    return target


def test_from_invitation_to_acceptance(shell, tmp_path):
    code, said = shell.join(tmp_path / "A.pass")
    assert (code, "Call the centre" in said) == (0, True)
    code, shown = shell.central("sites", "--result", tmp_path / "sites.json")
    state = json.loads((tmp_path / "sites.json").read_text())["A"]
    assert (code, state["state"]) == (0, "enrolled")
    assert state["fingerprint"] in said
    assert state["fingerprint"] in shown
    assert "has accepted" in shell.join(tmp_path / "A.pass")[1]


def test_an_invited_site_is_shown_until_it_comes(shell):
    assert "invited" in shell.central("sites")[1]


def test_a_pass_lets_a_site_in_once(shell, tmp_path):
    shell.join(tmp_path / "A.pass")
    _, before = shell.central("sites")
    code, said = shell.join(tmp_path / "A.pass", home="thief")
    assert (code, "has been used already" in said, "call the centre" in said) == (1, True, True)
    assert not (tmp_path / "thief").exists()
    assert shell.central("sites")[1] == before
    assert "has accepted" in shell.join(tmp_path / "A.pass")[1]


def test_a_used_pass_that_somebody_forces_into_the_bucket_is_told(shell, tmp_path):
    shell.join(tmp_path / "A.pass")
    first = shell.central("sites")[1].split()[2]
    held = read_pass(tmp_path / "A.pass")
    forced = request("A", Identity.generate().public, held.enrolment_secret)
    (tmp_path / "a store" / "site-a" / "_konsil" / "enrolment").write_bytes(forced)
    code, shown = shell.central("sites")
    assert (code, first in shown, "used its pass a second time" in shown) == (0, True, True)


def test_sites_say_when_they_were_seen_and_with_what(shell, tmp_path):
    shell.join(tmp_path / "A.pass")
    shell.central("sites")
    box = open_mailbox(tmp_path / "A", "run-1")
    box.post_json(Slot(Kind.answer, "A"), {}, recipients=["centre"])
    code, shown = shell.central("sites", "--result", tmp_path / "sites.json")
    state = json.loads((tmp_path / "sites.json").read_text())["A"]
    assert code == 0
    assert f"konsil {state['software']['konsil']}" in shown
    assert datetime.now(UTC) - datetime.fromisoformat(state["last_contact"]) < timedelta(minutes=1)


def test_a_pass_that_ran_out_is_refused_in_words_at_both_ends(shell, tmp_path, monkeypatch):
    shell.join(tmp_path / "A.pass")
    held = Invitations(tmp_path / "centre")
    late = held.all()["A"].model_copy(update={"expires": datetime.now(UTC) - timedelta(minutes=1)})
    held.put("A", late)
    code, shown = shell.central("sites")
    assert (code, "enrolled after its pass had expired" in shown) == (2, True)
    (tmp_path / "a store" / "site-a" / "_konsil" / "enrolment").unlink()
    assert "Its pass has expired" in shell.central("sites")[1]


def test_rotation_is_followed_without_a_new_pass(shell, tmp_path):
    shell.join(tmp_path / "A.pass")
    before = shell.central("sites")[1].split()[2]
    code, said = shell.run("site", "rotate", "--home", tmp_path / "A")
    fingerprint = said.split("fingerprint:")[1].split()[0]
    shown = shell.central("sites")[1]
    assert (code, fingerprint in shown, before in shown) == (0, True, False)
    assert shell.central("rotate")[0] == 0
    assert "has accepted" in shell.join(tmp_path / "A.pass")[1]
    assert "not of that kind" in shell.run("site", "rotate", "--home", tmp_path / "centre")[1]
    shell.central("invite", "B", "--out", tmp_path / "B.pass")
    shell.join(tmp_path / "B.pass", home="B")
    assert "B  " in shell.central("sites")[1]


def test_an_enrolment_without_the_secret_is_refused(shell, tmp_path):
    shell.join(edited(tmp_path / "A.pass", enrolment_secret="guessed"))
    code, shown = shell.central("sites")
    assert (code, "does not fit its invitation" in shown) == (2, True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "something else"),
        (b"\x89PNG", "something else"),
        (b"{}", "another format"),
        (b"[" * 60000, "something else"),
        (b"[" * 70000, "far too long"),
    ],
)
def test_a_file_that_is_no_pass(shell, tmp_path, content, words):
    (tmp_path / "no.pass").write_bytes(content)
    code, said = shell.join(tmp_path / "no.pass")
    assert (code, words in said) == (1, True)
    assert not (tmp_path / "A").exists()


def test_a_damaged_pass_is_noticed(shell, tmp_path):
    text = (tmp_path / "A.pass").read_text()
    (tmp_path / "A.pass").write_text(text.replace('"site-a"', '"site-b"'))
    assert "does not match its fingerprint" in shell.join(tmp_path / "A.pass")[1]


def test_a_pass_that_is_not_there(shell, tmp_path):
    assert "is not there" in shell.join(tmp_path / "none.pass")[1]


def test_an_expired_pass_keeps_nothing(shell, tmp_path):
    late = edited(tmp_path / "A.pass", expires=datetime.now(UTC) - timedelta(minutes=1))
    code, said = shell.join(late)
    assert (code, "has expired" in said) == (1, True)
    assert not (tmp_path / "A").exists()


def test_a_wrong_address_keeps_nothing(shell, tmp_path):
    code, said = shell.join(edited(tmp_path / "A.pass", endpoint="https://127.0.0.1:1", ca_pem=None))
    assert (code, "does not answer" in said) == (1, True)
    assert not (tmp_path / "A").exists()


def test_a_home_is_one_party(shell, tmp_path):
    shell.join(tmp_path / "A.pass")
    shell.central("invite", "B", "--out", tmp_path / "B.pass")
    assert "joined as A already" in shell.join(tmp_path / "B.pass")[1]
    assert "belongs to a centre" in shell.join(tmp_path / "B.pass", home="centre")[1]
    assert "belongs to a site" in shell.run("central", "sites", "--home", tmp_path / "A")[1]
    assert "nobody lives" in shell.run("central", "sites", "--home", tmp_path / "empty")[1]


def test_invitations_are_careful(shell, tmp_path):
    assert "not written over" in shell.central("invite", "B", "--out", tmp_path / "A.pass")[1]
    assert "already" in shell.central("invite", "a", "--out", tmp_path / "a.pass")[1]
    assert "cannot bear" in shell.central("invite", "centre", "--out", tmp_path / "c.pass")[1]
    assert not (tmp_path / "a.pass").exists()


def test_a_lost_pass_is_replaced_by_a_new_one(shell, tmp_path):
    assert shell.central("invite", "A", "--out", tmp_path / "A2.pass")[0] == 0
    shell.join(tmp_path / "A.pass")
    assert "does not fit its invitation" in shell.central("sites")[1]
    shell.join(tmp_path / "A2.pass")
    assert shell.central("sites")[0] == 0


def test_a_site_that_lost_its_keys_enrols_again(shell, tmp_path):
    shell.join(tmp_path / "A.pass")
    shell.central("sites")
    assert "already" in shell.central("invite", "A", "--out", tmp_path / "A2.pass")[1]
    assert shell.central("invite", "A", "--again", "--out", tmp_path / "A2.pass")[0] == 0
    _, said = shell.join(tmp_path / "A2.pass", home="A-new")
    fingerprint = said.split("keys:")[1].split()[0]
    assert fingerprint in shell.central("sites")[1]


def test_a_new_pass_for_the_same_home_makes_new_keys(shell, tmp_path):
    _, said = shell.join(tmp_path / "A.pass")
    before = said.split("keys:")[1].split()[0]
    shell.central("sites")
    assert shell.central("invite", "A", "--again", "--out", tmp_path / "A2.pass")[0] == 0
    assert "used an older pass" in shell.central("sites")[1]
    _, said = shell.join(tmp_path / "A2.pass")
    assert before not in said
    assert said.split("keys:")[1].split()[0] in shell.central("sites")[1]


def test_a_revoked_site_is_gone(shell, tmp_path):
    shell.join(tmp_path / "A.pass")
    shell.central("sites")
    assert shell.central("revoke", "A")[0] == 0
    code, shown = shell.central("sites")
    assert (code, shown.split()) == (0, ["A", "revoked"])
    assert "no site Z" in shell.central("revoke", "Z")[1]


def test_init_twice_is_harmless_and_another_address_is_refused(shell, tmp_path):
    first = shell.central("init", "--endpoint", (tmp_path / "a store").as_uri())
    assert first == shell.central("init", "--endpoint", (tmp_path / "a store").as_uri())
    assert "another address" in shell.central("init", "--endpoint", "https://else:9000")[1]


def test_policies_are_printed_for_a_store_of_somebody_else(shell):
    code, said = shell.run("central", "policy", "A")
    rights = {tuple(found["Resource"]): found["Action"] for found in json.loads(said)["Statement"]}
    assert code == 0
    assert rights["arn:aws:s3:::global/*",] == ["s3:GetObject"]
    assert "s3:PutObject" in rights["arn:aws:s3:::site-a/*",]
    assert "site-b" not in said
    code, said = shell.run("central", "bucket-policies", "A=user/a", "B=user/b", "--centre", "user/c")
    held = json.loads(said)
    assert (code, set(held)) == (0, {"global", "site-a", "site-b"})
    assert "user/a" not in json.dumps(held["site-b"])
    assert "PutObject" not in json.dumps(held["global"])
    assert "expected SITE=ARN" in shell.run("central", "bucket-policies", "A", "--centre", "arn:c")[1]
    assert "cannot bear" in shell.run("central", "policy", "a/b")[1]


def test_the_audit_log_is_checked_by_a_verb(shell, tmp_path):
    shell.join(tmp_path / "A.pass")
    shell.central("sites")
    open_mailbox(tmp_path / "A", "run-1").post_json(Slot(Kind.answer, "A"), {}, recipients=["centre"])
    code, said = shell.run("audit", "verify", "--home", tmp_path / "A", "--result", tmp_path / "audit.json")
    assert (code, "chain unbroken; 1 published heads fit, the last at entry 1" in said) == (0, True)
    assert json.loads((tmp_path / "audit.json").read_text()) == {"entries": 2, "heads": 1, "covered": 1, "others": []}
    assert "No head of it is published yet" in shell.run("audit", "verify", "--home", tmp_path / "centre")[1]
    (tmp_path / "A" / "audit.jsonl").write_bytes(b"")
    code, said = shell.run("audit", "verify", "--home", tmp_path / "A")
    assert (code, "ends after 0 entries" in said) == (1, True)
    assert shell.run("audit", "verify", "--offline", "--home", tmp_path / "A")[0] == 0


def test_no_secret_is_ever_printed(shell, tmp_path):
    said = shell.join(tmp_path / "A.pass")[1] + shell.central("sites")[1]
    held = read_pass(tmp_path / "A.pass")
    assert held.enrolment_secret not in said
    assert "AGE-SECRET" not in said
