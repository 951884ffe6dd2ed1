"""Flower 1.28's exchange over one gRPC stream per client (`start_server`, `start_client`), without TLS.

Roles: centre, sites.
"""

from __future__ import annotations

import json
import sys
import time

import flwr
from session import HERE, Session, report, session

ADDRESS = "127.0.0.1:18400"
START_S = 5.0


def role_of(command: str) -> str:
    """A process's role."""
    return "centre" if "flower_bidi_server.py" in command else "sites"


def exchange(run: Session) -> None:
    """All rounds, then the figures."""
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_HOME": str(run.work)}
    server = run.start(
        "server", sys.executable, HERE / "flower_bidi_server.py", run.sites, run.rounds, ADDRESS, **quiet)  # fmt: skip
    time.sleep(START_S)
    for place in range(run.sites):
        run.start(f"client{place}", sys.executable, HERE / "flower_bidi_client.py", place, ADDRESS, **quiet)
    run.wait_for(run.out, server)
    found = json.loads(run.out.read_text())
    report(run, f"Flower {flwr.__version__} bidi", found.pop("stamps"), {"transport": "gRPC, no TLS", **found})


if __name__ == "__main__":
    with session(__doc__, role_of) as running:
        exchange(running)
