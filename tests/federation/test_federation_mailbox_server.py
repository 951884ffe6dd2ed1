"""Centre and two sites over the real S3 server, from the first invitation to an opened update."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from konsil.errors import BadMessage, KonsilError
from konsil.federation.enrolment_centre import init, invite, revoke, store_server
from konsil.federation.enrolment_site import is_accepted, join
from konsil.federation.enrolment_sites import accept_all
from konsil.federation.mailbox import Kind, Mailbox, Slot, open_mailbox, open_store, runs
from konsil.trust.audit import Audit
from konsil.trust.membership import connection_of, membership

RUN = "demo-run"
PATIENT = "MUSTERMANN^ERIKA"
WEIGHTS = {"layer.weight": np.linspace(-1, 1, 300_000, dtype=np.float32).reshape(300, 1000)}


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within ten seconds: the server shows what another key wrote a moment later."""
    for _ in range(200):
        if holds():
            return True
        time.sleep(0.05)
    return False


def places(box: Mailbox) -> set[str]:
    return {str(letter.slot) for letter in box.letters()}


class Federation:
    """A centre with its server, and sites A and B that joined."""

    def __init__(self, root: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.endpoint = f"https://localhost:{probe.getsockname()[1]}"
        self.root, self.homes = root, {name: root / name for name in ("centre", "A", "B")}
        init(self.homes["centre"], self.endpoint)
        self.server = store_server(self.homes["centre"])

    def let_in(self, site: str) -> None:
        invite(self.homes["centre"], site, self.root / f"{site}.pass")
        join(self.homes[site], self.root / f"{site}.pass")

    def box(self, name: str) -> Mailbox:
        return open_mailbox(self.homes[name], RUN)


def states(federation: Federation) -> dict[str, str]:
    return {state.site: state.state for state in accept_all(federation.homes["centre"])}


@pytest.fixture(scope="module")
def federation(tmp_path_factory) -> Iterator[Federation]:
    made = Federation(tmp_path_factory.mktemp("federation"))
    with made.server:
        made.let_in("A")
        made.let_in("B")
        assert not is_accepted(made.homes["A"])
        assert soon(lambda: states(made) == {"A": "enrolled", "B": "enrolled"})
        yield made


@pytest.fixture(scope="module")
def letters(federation) -> dict[str, Mailbox]:
    """One round: the charter goes out, both sites post an update with a patient's name planted inside."""
    boxes = {name: federation.box(name) for name in federation.homes}
    boxes["centre"].post_json(Slot(Kind.charter, "centre"), {"title": PATIENT}, recipients=["A", "B"])
    for site in ("A", "B"):
        boxes[site].post_json(Slot(Kind.answer, site), {"patient": PATIENT}, recipients=["centre"])
        slot, facts = Slot(Kind.update, site, 1), {"cases": 3}
        boxes[site].post_tensors(slot, WEIGHTS, recipients=["centre"], facts=facts)
    assert soon(lambda: len(places(boxes["centre"])) == 5)
    return boxes


def test_both_sites_know_that_they_were_accepted(federation):
    assert soon(lambda: is_accepted(federation.homes["A"]))
    assert soon(lambda: is_accepted(federation.homes["B"]))


def test_fingerprints_at_both_ends_agree(federation):
    shown = {state.site: state.fingerprint for state in accept_all(federation.homes["centre"])}
    for site in ("A", "B"):
        assert shown[site] == membership(federation.homes[site]).identity.public.fingerprint


def test_the_round_arrives_whole(letters):
    found = {str(letter.slot): letter for letter in letters["centre"].letters()}
    assert set(found) == {"charter", "answers/A", "answers/B", "rounds/0001/updates/A", "rounds/0001/updates/B"}
    assert letters["centre"].refused == []
    for site in ("A", "B"):
        tensors = letters["centre"].read_tensors(found[f"rounds/0001/updates/{site}"])
        np.testing.assert_array_equal(tensors["layer.weight"], WEIGHTS["layer.weight"])


def test_a_site_sees_the_centre_and_itself_only(letters):
    assert soon(lambda: places(letters["A"]) == {"charter", "answers/A", "rounds/0001/updates/A"})


def test_a_run_is_found_by_its_name(federation, letters):
    assert runs(open_store(federation.homes["A"])) == [RUN]


def test_nothing_in_any_bucket_is_readable(federation, letters):
    raw = WEIGHTS["layer.weight"].tobytes()
    objects = [path for path in (federation.homes["centre"] / "store" / "data").rglob("*") if path.is_file()]
    assert sum("payload-" in path.name for path in objects) == 5
    for path in objects:
        content = path.read_bytes()
        assert PATIENT.encode() not in content
        assert raw[400_000:400_032] not in content
        for home in federation.homes.values():
            assert connection_of(home).secret_key.encode() not in content


def test_the_store_holds_no_private_key(federation):
    for name, home in federation.homes.items():
        private = json.loads((home / "keys" / "identity.json").read_text())
        assert private["age"].startswith("AGE-SECRET-KEY-")
        for path in federation.root.rglob("*"):
            if path.is_file() and not path.is_relative_to(federation.homes[name]):
                content = path.read_bytes()
                assert private["age"].encode() not in content
                assert private["signing"].encode() not in content


def test_secret_files_are_for_this_user_only(federation):
    secret = ["centre/centre.json", "centre/invitations.json", "centre/store/users.json", "A/pass.json", "A.pass"]
    keys = ["centre/keys/identity.json", "A/keys/identity.json", "centre/authority/authority.key"]
    for name in secret + keys:
        assert (federation.root / name).stat().st_mode & 0o077 == 0, name


def test_a_copied_update_of_another_site_is_refused(federation, letters):
    """A malicious A that got hold of B's objects cannot pass them off as its own, nor put them under B's name."""
    centre, store = open_store(federation.homes["centre"]), open_store(federation.homes["A"])
    (letter,) = [found for found in letters["centre"].letters() if str(found.slot) == "rounds/0001/updates/B"]
    for entry in centre.list("site-b", f"{RUN}/rounds/0001/updates/B/"):
        with centre.get("site-b", entry.key) as stream:
            content = stream.read()
        store.put("site-a", entry.key, content)
        store.put("site-a", entry.key.replace("0001/updates/B", "0002/updates/A"), content)
    box = federation.box("centre")
    assert soon(lambda: letter in box.letters() and len(box.refused) == 3)
    sentences = {refusal.slot: refusal.sentence for refusal in box.refused}
    assert "not its sender's" in sentences["rounds/0001/updates/B"]
    assert "signature is not that of its sender" in sentences["rounds/0002/updates/A"]
    for prefix in ("rounds/0001/updates/B/", "rounds/0002/"):
        for entry in store.list("site-a", f"{RUN}/{prefix}"):
            store.delete("site-a", entry.key)


def test_a_payload_that_goes_away_while_it_is_streamed_is_a_sentence(federation, letters):
    (letter,) = [found for found in letters["centre"].letters() if str(found.slot) == "rounds/0001/updates/A"]
    gone = f"{RUN}/rounds/0001/updates/A/payload-{letter.manifest.payload_sha256}.age"
    store = open_store(federation.homes["A"])
    with store.get("site-a", gone) as stream:
        content = stream.read()
    store.delete("site-a", gone)
    assert soon(lambda: "rounds/0001/updates/A" not in places(letters["centre"]))
    try:
        with pytest.raises(BadMessage, match="is gone"):
            list(letters["centre"].stream_tensors(letter))
    finally:
        store.put("site-a", gone, content)


def test_the_audit_log_of_the_centre_holds(federation):
    assert Audit(federation.homes["centre"] / "audit.jsonl").verify() >= 5


def test_a_revoked_site_is_out(federation):
    federation.homes["C"] = federation.root / "C"
    federation.let_in("C")
    assert soon(lambda: states(federation)["C"] == "enrolled")
    federation.box("C").post_json(Slot(Kind.answer, "C"), {}, recipients=["centre"])
    assert soon(lambda: "answers/C" in places(federation.box("centre")))
    store, warm = open_store(federation.homes["C"]), federation.box("centre")
    theirs = federation.box("C")
    warm.letters()
    revoke(federation.homes["centre"], "C")
    assert soon(lambda: refuses(lambda: store.put("site-c", "x", b"x")))  # the server has known this key for seconds
    assert refuses(lambda: store.get("global", f"{RUN}/charter").__enter__())
    assert store.list("site-c") == []
    with pytest.raises(KonsilError):
        theirs.post_json(Slot(Kind.fingerprint, "C"), {}, recipients=["centre"])
    assert "answers/C" in places(warm)  # what was accepted stays readable
    assert warm.revoked == {"C"}
    with pytest.raises(KonsilError):
        invite(federation.homes["centre"], "C", federation.root / "C.pass")  # never over another file


def refuses(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except KonsilError:
        return True
    return False
