"""Who may send images, as a person writes it and as a sender is asked."""

from __future__ import annotations

import pytest

from konsil.dicom.peers import Peer, read_peers, shown, why_refused
from konsil.errors import BadSetting


def test_peers_are_read_and_asked() -> None:
    peers = read_peers(["PACS@10.1.2.3", "MR", "PACS@fd00::/8"])
    assert peers[1] == Peer("MR")
    assert why_refused(peers, "PACS", "10.1.2.3") == ""
    assert why_refused(peers, "PACS", "::ffff:10.1.2.3") == ""
    assert why_refused(peers, "PACS", "fd12::1") == ""
    assert why_refused(peers, "MR", "192.168.0.1") == ""
    assert "address" in why_refused(peers, "PACS", "10.1.2.4")
    assert "not among" in why_refused(peers, "mr", "10.1.2.3")


@pytest.mark.parametrize("text", ["", "PACS@", "PACS@pacs.example.org", "A" * 17, "A\\B", "P@10.0.0.0/99", "ÄTHER"])
def test_an_unusable_peer_is_a_sentence(text: str) -> None:
    with pytest.raises(BadSetting):
        read_peers([text])


def test_nobody_at_all_is_a_sentence() -> None:
    with pytest.raises(BadSetting, match="KONSIL_RECEIVE_PEERS"):
        read_peers([])


def test_a_title_is_shown_without_what_could_deceive_a_reader() -> None:
    assert shown("MR_1.a-b ") == "MR_1.a-b"
    assert shown("\x1b[2J\nroot: ok") == "??2J?root? ok"
    assert shown("") == "?"
