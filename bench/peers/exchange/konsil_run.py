"""konsil's exchange: a centre, N sites and the embedded S3 server as processes, over TLS, sealed and signed.

Every site has its own pass, keys, credentials and bucket, as in a hospital. Roles: centre, sites, store.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from session import HERE, Session, report, session

from konsil.federation.charter import parse_charter
from konsil.federation.enrolment_centre import init, invite, store_server
from konsil.federation.enrolment_site import is_accepted, join
from konsil.federation.enrolment_sites import accept_all
from konsil.parties.ledger import Ledger

RUN = "exchange"
SHOWN_S = 30.0


def role_of(command: str) -> str:
    """A process's role."""
    if "rclone" in command or "views.py" in command:
        return "store"
    return "centre" if "konsil_party.py" in command and "/centre " in command else "sites"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def enrol(root: Path, names: list[str]) -> None:
    """Let every site join by its pass."""
    for name in names:
        invite(root / "centre", name, root / f"{name}.pass")
        join(root / name, root / f"{name}.pass")
    deadline = time.monotonic() + SHOWN_S
    while not all(state.state == "enrolled" for state in accept_all(root / "centre")) or not all(
        is_accepted(root / name) for name in names
    ):
        if time.monotonic() > deadline:
            raise RuntimeError("the sites were not enrolled")
        time.sleep(0.1)


def decide(root: Path, names: list[str], rounds: int, precision: str, is_secure: bool) -> None:
    """The operator's charter and every custodian's yes."""
    content: dict[str, Any] = {
        "format": "konsil.charter/1", "run": RUN, "sites": names, "rounds": rounds, "compare_with_local": False,
        "quorum": {"sites": len(names), "share_of_cases": 1.0},
    }  # fmt: skip
    content |= {"secure_aggregation": {}} if is_secure else {}
    charter = parse_charter(content if precision == "float32" else {**content, "precision": precision})
    Ledger(root / "centre", RUN).keep_charter(charter)
    for name in names:
        Ledger(root / name, RUN).decide(accepted=True, by="bench", cohort="bench")


def exchange(run: Session) -> None:
    """All rounds, then the figures."""
    root, names = run.work, [f"S{place}" for place in range(run.sites)]
    init(root / "centre", f"https://localhost:{free_port()}")
    server = store_server(root / "centre")
    server.prepare()
    run.start("store", sys.executable, HERE / "konsil_store.py", root / "centre")
    wait_until_up(server.endpoint)
    enrol(root, names)
    decide(root, names, run.rounds, run.chosen.precision, run.chosen.secure)
    parties = [
        run.start(name, sys.executable, HERE / "konsil_party.py", root / name, RUN, place, run.rounds)
        for place, name in enumerate(["centre", *names], start=-1)
    ]
    run.wait_for(run.out, *parties)
    found = json.loads(run.out.read_text())
    report(run, f"konsil {version('konsil')}", found.pop("stamps"), {"transport": "S3, TLS, age, Ed25519", **found})


def wait_until_up(endpoint: str) -> None:
    """Wait until the store takes connections."""
    port, deadline = int(endpoint.rpartition(":")[2]), time.monotonic() + SHOWN_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the store did not start")


if __name__ == "__main__":
    with session(__doc__, role_of) as running:
        exchange(running)
