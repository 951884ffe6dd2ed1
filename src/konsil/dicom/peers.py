"""Who may send images.

DICOM knows a sender by its AE title: up to 16 characters that it gives itself (PS3.5, 6.2), no proof of anything. So a
peer may also be tied to an address or a network, which a stranger in the hospital cannot choose as freely:
`MRSCANNER`, `PACS@10.1.2.3`, `PACS@10.1.0.0/16`, `PACS@fd00::/8`. Capitals matter, as in the standard.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from konsil.errors import BadSetting

AE_TITLE = re.compile(r"[ !-\[\]-~]{1,16}")
"""The repertoire of an AE title: printable ASCII without the backslash."""
ODD = re.compile(r"[^A-Za-z0-9 _.-]")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Peer:
    """One sender: its AE title, and the network that it has to come from (None: any)."""

    ae_title: str
    network: Network | None = None

    def is_at(self, address: str) -> bool:
        """Whether the peer may come from an address such as `10.1.2.3`."""
        if self.network is None:
            return True
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)  # an IPv4 sender at an IPv6 socket
        return (mapped or found) in self.network


def read_peers(texts: Iterable[str]) -> tuple[Peer, ...]:
    """Peers as a person writes them, `TITLE` or `TITLE@ADDRESS`; raises `BadSetting` for none, or an unusable one."""
    peers = tuple(read_peer(text) for text in texts)
    if not peers:
        raise BadSetting(
            "nobody may send images to this site yet",
            expected="the AE titles of its scanners or its PACS",
            hint="Set KONSIL_RECEIVE_PEERS, for example to PACS@10.1.2.3, or give --peer",
        )
    return peers


def read_peer(text: str) -> Peer:
    """One peer."""
    title, at, address = text.strip().partition("@")
    check_title(title.strip())
    if not at:
        return Peer(title.strip())
    try:
        return Peer(title.strip(), ipaddress.ip_network(address.strip(), strict=False))
    except ValueError as error:
        raise BadSetting(
            "a peer's address is not usable",
            expected="an IP address or a network, such as PACS@10.1.2.3 or PACS@10.1.0.0/16",
            got=repr(address[:60]),
        ) from error


def check_title(title: str) -> str:
    """The AE title, if it is one; raises `BadSetting` otherwise."""
    if not AE_TITLE.fullmatch(title) or not title.strip():
        raise BadSetting(
            "an AE title is not usable", expected="1 to 16 letters, digits or signs of ASCII", got=repr(title[:20])
        )
    return title


def why_refused(peers: Iterable[Peer], ae_title: str, address: str) -> str:
    """Why a sender is not let in; empty if it is."""
    known = [peer for peer in peers if peer.ae_title == ae_title.strip()]
    if not known:
        return "its AE title is not among the peers"
    return "" if any(peer.is_at(address) for peer in known) else "it does not come from the address of that peer"


def shown(ae_title: str) -> str:
    """An AE title for a log: a stranger's may hold anything."""
    return ODD.sub("?", ae_title.strip()[:16]) or "?"
