"""Flower 1.41's exchange in its deployment runtime: a SuperLink, N SuperNodes and `flwr run`, without TLS.

Roles: centre, sites.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import flwr
from session import HERE, Session, report, session

PORT = 18000
START_S = 6.0
CONFIGURATION = f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "127.0.0.1:{PORT}"\ninsecure = true\n'


def role_of(command: str) -> str:
    """A process's role."""
    if f"127.0.0.1:{PORT} " in f"{command} " and "--superlink" not in command:
        return "centre"
    if "--superlink" in command or re.search(r"--runtime-api-address 127", command):
        return "sites"
    return "centre" if "superlink" in command else "other"


def exchange(run: Session) -> None:
    """All rounds, then the figures."""
    programs = Path(sys.executable).parent
    home = run.work / "flwr"
    home.mkdir()
    (home / "config.toml").write_text(CONFIGURATION)
    run.environment |= {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_UPDATE_CHECK": "0"}
    run.environment["PATH"] = f"{programs}:{run.environment['PATH']}"
    link = run.start("superlink", programs / "flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", PORT,
                     "--disable-runtime-dependency-installation")  # fmt: skip
    time.sleep(START_S)
    for place in range(run.sites):
        run.start(f"node{place}", programs / "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{PORT}",
                  "--port", PORT + 100 + place, "--node-config",
                  f"partition-id={place} num-partitions={run.sites}")  # fmt: skip
    time.sleep(START_S)
    shutil.copytree(HERE / "flower_app", run.work / "app", ignore=shutil.ignore_patterns("__pycache__"))
    settings = f"num-server-rounds={run.rounds} num-clients={run.sites}"
    subprocess.run([programs / "flwr", "run", run.work / "app", "bench", "--run-config", settings],
                   env=run.environment, cwd=run.work, check=True)  # fmt: skip
    run.wait_for(run.out, link)
    found = json.loads(run.out.read_text())
    report(run, f"Flower {flwr.__version__}", found.pop("stamps"), {"transport": "gRPC/HTTP, no TLS", **found})


if __name__ == "__main__":
    with session(__doc__, role_of) as running:
        exchange(running)
