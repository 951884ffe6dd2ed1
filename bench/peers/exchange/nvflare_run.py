"""NVIDIA FLARE's exchange: its proof-of-concept mode with a server and N client processes, gRPC with mutual TLS.

The times of the rounds are those of the server's own lines "Round k started". Roles: centre, sites.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import nvflare
from nvflare.client.config import ExchangeFormat
from nvflare.fuel.utils.constants import FrameworkType
from nvflare.recipe import poc_env
from nvflare.recipe.fedavg import FedAvgRecipe
from nvflare.recipe.poc_env import PocEnv
from session import HERE, Session, report, session

START_S = 20  # FLARE's own 3 s are too short on a machine at work
CLIENT = "- {name: site-%d, type: client, org: nvidia}"
PROJECT = """api_version: 3
name: example_project
description: loopback benchmark
participants:
- {name: server, type: server, org: nvidia, default_host: localhost, fed_learn_port: 18202}
- {name: admin@nvidia.com, type: admin, org: nvidia, role: project_admin}
%s
builders:
- path: nvflare.lighter.impl.workspace.WorkspaceBuilder
  args: {template_file: [master_template.yml, aws_template.yml, azure_template.yml]}
- path: nvflare.lighter.impl.static_file.StaticFileBuilder
  args: {config_folder: config, scheme: grpc}
- path: nvflare.lighter.impl.cert.CertBuilder
- path: nvflare.lighter.impl.signature.SignatureBuilder
"""


def role_of(command: str) -> str:
    """A process's role."""
    if any(part in command for part in ("/site-", "client_train", "client.worker")):
        return "sites"
    return "centre" if any(part in command for part in ("server_train", "runner_process", "/server")) else "other"


def exchange(run: Session) -> None:
    """All rounds, then the figures."""
    enter(run)
    from nvflare_persistor import DictPersistor

    recipe = FedAvgRecipe(
        name="exchange", min_clients=run.sites, num_rounds=run.rounds, train_script="nvflare_client.py",
        framework=FrameworkType.NUMPY, server_expected_format=ExchangeFormat.NUMPY,
        model_persistor=DictPersistor(run.sites, run.rounds))  # fmt: skip
    poc_env.SERVICE_START_TIMEOUT = START_S
    environment = PocEnv(project_conf_path=str(run.work / "project.yml"))
    try:
        recipe.execute(environment)
        run.wait_for(run.out)
        stamps = wait_for_end(run)
        report(run, f"NVIDIA FLARE {nvflare.__version__}", stamps, {"transport": "gRPC, mutual TLS", **check(run)})
    finally:
        environment.stop(clean_up=False)


def enter(run: Session) -> None:
    """Settings of FLARE that it reads from its own process: it starts the others itself."""
    os.environ.update(run.environment, NVFLARE_POC_WORKSPACE=str(run.work / "poc"), HOME=str(run.work))
    for name in ("nvflare_client.py", "nvflare_persistor.py"):
        shutil.copy(HERE / name, run.work)
    os.chdir(run.work)
    clients = "\n".join(CLIENT % place for place in range(1, run.sites + 1))
    (run.work / "project.yml").write_text(PROJECT % clients)


def wait_for_end(run: Session) -> list[float]:
    """The rounds' beginnings and the end, once the server's log has them all."""
    for _ in range(100):
        for path in run.work.rglob("*log*.txt"):
            stamps = stamps_of(path.read_text(errors="replace"))
            if len(stamps) == run.rounds + 1:
                return stamps
        time.sleep(0.2)
    raise RuntimeError("the server's log does not name every round")


def stamps_of(text: str) -> list[float]:
    """When each round began and when the last ended, from one log; a message of several lines has its record's."""
    began: dict[int, float] = {}
    ended: list[float] = []
    now = 0.0
    for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines():
        if stamp := re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", line):
            now = datetime.strptime(stamp.group(), "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()
        if found := re.search(r"Round (\d+) started", line):
            began.setdefault(int(found.group(1)), now)
        if "Finished FedAvg" in line:
            ended.append(now)
    return [began[number] for number in sorted(began)] + ended[:1]


def check(run: Session) -> dict[str, Any]:
    """The deviation of the last global model."""
    found: dict[str, Any] = json.loads(Path(run.out).read_text())
    return found


if __name__ == "__main__":
    with session(__doc__, role_of) as running:
        exchange(running)
