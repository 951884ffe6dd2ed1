"""A centre with its real store server and three sites, each with its own home, working by the verbs in processes.

Homes are made once and copied for every run, so that every run has the same keys, cohorts and decisions.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.federation.enrolment_centre import init, invite, store_server
from konsil.federation.enrolment_site import join
from konsil.federation.enrolment_sites import accept_all
from konsil.files import read_json, write_json
from konsil.parties.ledger import Ledger
from konsil.storage.server import StoreServer

RUN, CENTRE = "chaos-1", "centre"
CASES = {"A": 2, "B": 3, "C": 5}
VERB = Path(__file__).with_name("verb.py")


def charter(rounds: int = 5, *, secure: bool = False) -> dict[str, Any]:
    """Five rounds of the fast learner with everybody; nobody is given up in the minutes this takes."""
    learner = {"name": "line", "settings": {"pause_s": 0.05}}
    made = {"run": RUN, "sites": list(CASES), "rounds": rounds, "learner": learner, "quorum": {"sites": len(CASES)}}
    return made | ({"secure_aggregation": {}, "compare_with_local": False} if secure else {})


@dataclass
class Town:
    """Homes below `root`, one per party, and the processes that work in them."""

    root: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def found(cls, root: Path, *, secure: bool = False) -> Town:
        """Make the homes: keys, passes, cohorts, the operator's published charter and the custodians' decisions."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            endpoint = f"https://localhost:{probe.getsockname()[1]}"
        town = cls(root)
        init(town.home(CENTRE), endpoint)
        with town.server():
            for site in CASES:
                invite(town.home(CENTRE), site, root / f"{site}.pass")
                join(town.home(site), root / f"{site}.pass")
            while {state.state for state in accept_all(town.home(CENTRE))} != {"enrolled"}:
                pass
            write_json(root / "charter.json", charter(secure=secure))
            town.call(CENTRE, "run", str(root / "charter.json"), "--until", "charter")
            for site, cases in CASES.items():
                town.give_cohort(site, cases)
                town.call(site, "decide", RUN, "--accept", "--cohort", "lines", "--by", "custodian")
        return town

    def call(self, name: str, *words: str) -> None:
        """Let a party do one verb to its end."""
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("KONSIL_", "CHAOS_"))}
        own = {"KONSIL_HOME": str(self.home(name)), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, str(VERB), *words], env=plain | own, check=True, capture_output=True)

    def copy(self, root: Path) -> Town:
        """The same town somewhere else, before anything has happened."""
        shutil.copytree(self.root, root, symlinks=True)
        return Town(root)

    def home(self, name: str) -> Path:
        """The home of a party."""
        return self.root / name

    def server(self) -> StoreServer:
        """The store's server, not started."""
        return store_server(self.home(CENTRE))

    def give_cohort(self, site: str, cases: int) -> None:
        """A frozen cohort of tiny images; the learner only counts them."""
        path = self.root / "image.nii.gz"
        image: Any = nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4))
        nib.save(image, path)
        splits = ["train"] * cases + ["validation", "test"]
        pairs = [Pair(str(n), {"T1w": path, "FLAIR": path}, path, split=split) for n, split in enumerate(splits)]
        labels = {"background": 0, "lesion": 1}
        root = SiteFolder(self.home(site)).cohort("lines").path
        adopt(pairs, name="lines", channels=["T1w", "FLAIR"], labels=labels, root=root, seed=1)

    def start(self, name: str, **fate: str) -> None:
        """Start the verb of a party as its own interpreter; `fate` goes into its environment."""
        words = ["run", str(self.root / "charter.json")] if name == CENTRE else ["take-part", RUN]
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("KONSIL_", "CHAOS_"))}
        own = {"KONSIL_HOME": str(self.home(name)), "KONSIL_POLL_S": "0.2", "OMP_NUM_THREADS": "1"}
        result = ["--patience", "600", "--result", str(self.home(name) / "result.json")]
        self.spawn(name, [sys.executable, str(VERB), *words, *result], {**plain, **own, **fate})

    def start_store(self) -> None:
        """Start the store's server as a process of its own."""
        server = self.server()
        server.prepare()
        self.spawn("store", server.command, server.environment, server.folder)

    def spawn(self, name: str, command: list[str], environment: dict[str, str], folder: Path | None = None) -> None:
        """Start a process that speaks into its own log."""
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is dead."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def end(self) -> None:
        """Leave no process behind."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    def log(self, name: str) -> Path:
        """What a process said."""
        return self.root / f"{name}.log"

    def models(self) -> dict[str, Mapping[str, Any]]:
        """The stored model of every party, tensor by tensor."""
        found = {}
        for name in (CENTRE, *CASES):
            with np.load(self.home(name) / "models" / RUN / "line.npz") as stored:
                found[name] = dict(stored)
        return found

    def sentence(self) -> str:
        """How the run ended, in the words of the report."""
        return str(read_json(Ledger(self.home(CENTRE), RUN).summary)["sentence"])
