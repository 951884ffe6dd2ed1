"""Make the homes of an earlier version for tests/upgrade: python tests/upgrade/make.py CHECKOUT OUT.tar.xz

CHECKOUT is a work tree of that version (`git worktree add --detach …`), whose code makes everything by its own verbs:
a centre and the sites A and B with a folder as store; A's cohort from DICOM to its frozen file (two phantoms of 6 mm),
B's adopted; a run that is over (`done-1`), and one (`half-1`) that was cut in its third of five rounds, B in the middle
of a training. `expected.json` holds what that version makes of `half-1` when it goes on by itself: every tensor's hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

VERB = Path(__file__).with_name("verb.py")
SITES = ("A", "B")
DONE, HALF = "done-1", "half-1"


class Town:
    """Homes and store below `root`, driven by the code of `checkout`."""

    def __init__(self, checkout: Path, root: Path) -> None:
        self.checkout, self.root = checkout, root

    def home(self, name: str) -> Path:
        """The home of a party."""
        return self.root / name

    def start(self, name: str, *words: str) -> subprocess.Popen[str]:
        """Begin a verb of a party."""
        plain = {key: value for key, value in os.environ.items() if not key.startswith("KONSIL_")}
        own = {"KONSIL_HOME": str(self.home(name)), "PYTHONPATH": str(self.checkout / "src"), "KONSIL_POLL_S": "0.2"}
        command = [sys.executable, str(VERB), *words]
        return subprocess.Popen(command, env=plain | own, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def call(self, name: str, *words: str) -> None:
        """Do a verb to its end, which must be good."""
        process = self.start(name, *words)
        _, said = process.communicate(timeout=600)
        if process.returncode:
            raise SystemExit(f"{words[0]} at {name}: {said[-1500:]}")

    def start_run(self, name: str, run: str) -> subprocess.Popen[str]:
        """Let a party go on with a run until it is over."""
        return self.start(
            name, *(["run", "--resume", run] if name == "centre" else ["take-part", run]), "--patience", "300"
        )

    def finish(self, run: str) -> None:
        """All go on until the run is over everywhere."""
        for process in [self.start_run(name, run) for name in ("centre", *SITES)]:
            _, said = process.communicate(timeout=600)
            if process.returncode:
                raise SystemExit(f"{run}: {said[-1500:]}")


def enrol(town: Town) -> None:
    """Keys, passes, and a roster with both sites."""
    town.call("centre", "central", "init", "--endpoint", (town.root / "store").as_uri())
    for site in SITES:
        town.call("centre", "central", "invite", site, "--out", str(town.root / f"{site}.pass"))
        town.call(site, "site", "join", str(town.root / f"{site}.pass"))
    town.call("centre", "central", "sites")


def give_cohorts(town: Town) -> None:
    """A's from DICOM, as its people do it; B's adopted."""
    inbox = town.home("A") / "inbox"
    town.call("A", "phantom", str(inbox), "--cases", "2", "--resolution", "6", "--truth", str(town.root / "truth.json"))
    town.call("A", "scan", str(inbox), "--cohort", "tiny")
    town.call("A", "deidentify", str(inbox), "tiny")
    town.call("A", "convert", str(town.home("A") / "work" / "tiny" / "dicom"), "tiny")
    for step in ("orient", "mask", "register", "qc", "report"):
        town.call("A", step, "tiny", *(["--limits", "wide"] if step == "qc" else []))
    sign_off(town)
    image = town.root / "image.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4)), image)
    rows = [f"p{number}\t{image}\t{image}\t{image}" for number in range(5)]
    table = town.root / "table.tsv"
    table.write_text("\n".join(["subject\tT1w\tFLAIR\tlabel", *rows]) + "\n")
    town.call("B", "adopt", str(table), "--cohort", "tiny", "--label", "lesion")


def sign_off(town: Town) -> None:
    """The reviewer accepts every case and freezes the cohort."""
    cohort = town.home("A") / "cohorts" / "tiny"
    page = cohort / "derivatives" / "konsil" / "reports" / "cohort.html"
    cases = sorted(f"{path.parent.name}_{path.name}" for path in cohort.glob("sub-*/ses-*"))
    signed = {
        "by": "reviewer",
        "at": "2026-11-21T12:00:00+00:00",
        "report_sha256": hashlib.sha256(page.read_bytes()).hexdigest(),
        "decisions": {case: {"decision": "accept", "reason": "looked at"} for case in cases},
    }
    (town.root / "sign-off.json").write_text(json.dumps(signed))
    town.call("A", "freeze", "tiny", "--sign-off", str(town.root / "sign-off.json"))


def publish(town: Town, run: str, rounds: int) -> None:
    """A charter, which both custodians accept."""
    learner = {"name": "instant", "settings": {"pause_s": 0.3}}
    charter = {"run": run, "sites": list(SITES), "rounds": rounds, "learner": learner, "quorum": {"sites": 2}}
    (town.root / "charter.json").write_text(json.dumps(charter))
    town.call("centre", "run", str(town.root / "charter.json"), "--until", "charter")
    for site in SITES:
        town.call(site, "decide", run, "--accept", "--cohort", "tiny", "--by", "custodian")


def cut(town: Town) -> None:
    """Let `half-1` run until B is in the middle of its third training, and kill everybody there."""
    processes = [town.start_run(name, HALF) for name in ("centre", *SITES)]
    journal, training = (town.home("B") / "runs" / HALF / name for name in ("trainings.jsonl", "training.json"))
    wait_for(lambda: journal.exists() and len(journal.read_text().splitlines()) >= 2)
    (town.home("B") / "hold").touch()
    wait_for(lambda: json.loads(training.read_text())["round"] == 3)
    theirs = town.home("A") / "runs" / HALF / "trainings.jsonl"
    wait_for(lambda: len(theirs.read_text().splitlines()) >= 3)
    time.sleep(3)
    for process in processes:
        process.kill()
        process.wait()
    (town.home("B") / "hold").unlink()


def wait_for(true: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Look again and again."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("did not come that far")
        time.sleep(0.05)


def hashes(home: Path) -> dict[str, str]:
    """SHA-256 of every tensor of the released model."""
    with np.load(home / "models" / HALF / "instant.npz") as stored:
        return {name: hashlib.sha256(stored[name].tobytes()).hexdigest() for name in sorted(stored)}


def expected(town: Town) -> dict[str, str]:
    """What the old version makes of `half-1`, in a copy that is moved back to where the original is afterwards."""
    aside = town.root.with_name("aside")
    shutil.copytree(town.root, aside, symlinks=True)
    town.finish(HALF)
    found = hashes(town.home("centre"))
    shutil.rmtree(town.root)
    aside.rename(town.root)
    return found


def main() -> None:
    """Make the archive; the paths in it begin with the folder that `at` of expected.json names."""
    checkout, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory(prefix="konsil-old-") as folder:
        town = Town(checkout, Path(folder) / "town")
        town.root.mkdir()
        enrol(town)
        give_cohorts(town)
        publish(town, DONE, 2)
        town.finish(DONE)
        publish(town, HALF, 5)
        cut(town)
        told = {"at": str(town.root), "model": expected(town)}
        (town.root / "expected.json").write_text(json.dumps(told, indent=2) + "\n")
        for spare in ("inbox", "work/tiny/dicom"):
            shutil.rmtree(town.home("A") / spare)
        with tarfile.open(out, "w:xz") as archive:
            archive.add(town.root, "town")
    print(f"{out.name}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
