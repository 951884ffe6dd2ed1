"""What federation costs a training: seconds of a federated round over seconds of a plain nnU-Net epoch.

Both train in one process on the same preprocessed cases by the same plan, with as many batches of the same size, in
turns; the two epochs of a pair start from the same weights and momentum and draw the same random numbers. The round is
`Learner.train` of a warm session: global weights in, training and validation batches, weights out, momentum kept on the
disk. The plain epoch is nnU-Net's own `nnUNetTrainer` as it comes, less the picture and the checkpoint after every
epoch, which stand apart. So the ratio is what the exchange of weights costs a training, and on a CPU both must end with
the same bits. Ratios are medians over pairs, of wall seconds and of CPU seconds (where other work shares the machine).

Apart from that: handing an update over (sealed, signed, written to a folder store; then read and checked); the cold
start (a new interpreter until its first round is done, less a warm round); and going on in another new interpreter,
which finds on the disk what the first one compiled and kept.

    python bench/epoch.py --json build/bench/epoch.json                    a small network on a CPU, minutes
    python bench/epoch.py --full --cases ms.tsv --label lesion             the paper's default charter: work for a GPU
    python bench/epoch.py --full --batches 2 --validation-batches 1        the same, a taste of it
    python bench/epoch.py --full --deterministic --batches 10              equal weights on a GPU, and their price

Without `--cases` (a table as for `konsil adopt`) the cases are noise with bright balls, as large as real ones: the
seconds depend on sizes, not on content. `--phantoms` makes four synthetic patients at 1 mm instead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from learn.made_up import made_up
from learn.real_size import real_size
from peers.plain_nnunet import ROUNDS, Plain, summary, watched_epochs
from safetensors.numpy import load_file, save_file

from konsil.cohort.adopt import adopt
from konsil.cohort.folder import SiteFolder
from konsil.cohort.frozen import FrozenCohort, read_frozen
from konsil.cohort.pairs import read_pairs
from konsil.files import read_json, write_json
from konsil.learners.registry import create
from konsil.types import Json, Tensors

NAME = "bench"
CASES = 247  # of the paper's largest site
SMALL: Json = {
    "batches_per_epoch": 50,
    "validation_batches": 10,
    "network": {"patch_size": [32, 40, 32], "features_per_stage": [8, 16, 32], "n_conv_per_stage": 1, "batch_size": 2},
}
SHAPES = {False: (48, 56, 48), True: (160, 190, 160)}  # voxels of a made-up case: small, full


class Bench:
    """One site with its learner, all from files, so that another interpreter finds the same."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.home = chosen, chosen.work / "site"
        self.cohort = self._cohort()
        data: Json = {"name": NAME, "channels": self.cohort.channels, "labels": self.cohort.labels}
        self.learner: Any = create(
            "nnunet", self._settings(), rounds=ROUNDS, seed=1, home=self.home, run=NAME, data=data
        )

    def prepare(self) -> Json:
        """Fingerprint, plan and preprocess, unless that was done before. Seconds by step."""
        seconds: Json = {}
        if not (self.home / "recipe.json").is_file():
            with timed(seconds, "fingerprint_s"):
                fingerprint = self.learner.fingerprint(self.cohort)
            write_json(self.home / "recipe.json", self.learner.plan({"A": fingerprint}))
            with timed(seconds, "prepare_s"):
                self.learner.prepare(self.cohort, self.recipe)
        return seconds

    @property
    def recipe(self) -> Json:
        """The plan."""
        return read_json(self.home / "recipe.json")

    def round(self, weights: Tensors, number: int) -> Tensors:
        """One federated round."""
        trained: Tensors = self.learner.train(self.cohort, self.recipe, weights, number).tensors
        return trained

    def _settings(self) -> Json:
        said = {
            "device": self.chosen.device,
            "compiled": self.chosen.compiled,
            "deterministic": self.chosen.deterministic,
            "batches_per_epoch": self.chosen.batches,
            "validation_batches": self.chosen.validation_batches,
            "dice_every": 0,
        }
        return {**({} if self.chosen.full else SMALL), **{k: v for k, v in said.items() if v is not None}}

    def _cohort(self) -> FrozenCohort:
        root = SiteFolder(self.home).cohort(NAME).path
        if (root / "cohort.json").is_file():
            return read_frozen(root / "cohort.json")
        if self.chosen.cases:
            channels, pairs = read_pairs(self.chosen.cases)
        elif self.chosen.phantoms:
            channels, pairs = ["T1w", "FLAIR"], real_size(self.chosen.work / "made", "A")
        else:
            channels, pairs = ["T1w", "FLAIR"], list(made_up(self.chosen.work / "made", SHAPES[self.chosen.full]))
        labels = {"background": 0} | {name: value for value, name in enumerate(self.chosen.label, start=1)}
        return adopt(pairs, name=NAME, channels=channels, labels=labels, root=root, seed=1)


@contextlib.contextmanager
def timed(into: Json, name: str) -> Iterator[None]:
    """Note the wall seconds of what is inside."""
    began = time.monotonic()
    yield
    into[name] = time.monotonic() - began


def first(bench: Bench, note: Any) -> None:
    """In a new interpreter: round 1, cold; and round 2, warm, where a seed promises the same weights again."""
    weights = bench.round(bench.learner.initial(bench.recipe), 1)
    note({"cold_first_round_s": time.time() - bench.chosen.began})
    save_file(dict(weights), bench.chosen.work / "first.safetensors")
    if repeatable(bench):
        save_file(dict(bench.round(weights, 2)), bench.chosen.work / "second.safetensors")


def repeatable(bench: Bench) -> bool:
    """Whether the same seed promises the same weights."""
    from konsil.learners.nnunet import device

    settings = bench.learner.settings
    return settings.deterministic or (device.chosen(settings.device).type == "cpu" and not device.workers(settings))


def pairs(bench: Bench, note: Any) -> None:
    """In another new interpreter: round 2 from what the first one left, then rounds and plain epochs in turns."""
    from konsil.learners.nnunet import session

    weights = bench.round(load_file(bench.chosen.work / "first.safetensors"), 2)
    note({"resumed_round_s": time.time() - bench.chosen.began})
    if repeatable(bench):
        before = load_file(bench.chosen.work / "second.safetensors")
        note({"resumed_equals_warm": all(np.array_equal(before[name], weights[name]) for name in before)})
    plain, inside = Plain(bench), watched_epochs()
    found, around, same = [], [], True
    plain.begin(weights)
    for number in (1, 2):
        plain.epoch(number)  # not counted: it starts cold, and the learning rate follows the number of epochs
    for number in range(3, 3 + bench.chosen.pairs):
        seconds = {}
        plain.level(weights, bench.learner._session.trainer)
        for turn in ("round", "plain") if number % 2 else ("plain", "round"):
            wall, cpu = time.monotonic(), time.process_time()
            if turn == "round":
                weights = bench.round(weights, number)
                around.append(time.monotonic() - wall - inside[-1])
            else:
                plain.epoch(number)
            seconds[turn] = time.monotonic() - wall, time.process_time() - cpu
        found.append((seconds["round"], seconds["plain"]))
        same = same and plain.has(weights)
        note(summary(found) | {"around_the_batches_s": statistics.median(around), "same_weights": same})
    note({"plain_picture_and_checkpoint_s": plain.end_s()})
    note(handing_over(bench, weights))
    note(machine(bench, plain))
    session.finish([plain.trainer.dataloader_train, plain.trainer.dataloader_val])


def handing_over(bench: Bench, weights: Tensors) -> Json:
    """Seconds to seal, sign and write an update, and to read, check and open it; medians of three."""
    from konsil.federation.mailbox import Kind, Mailbox, Slot
    from konsil.storage.folder import FolderStore
    from konsil.trust.roster import gather

    identities, roster = gather(["A"])
    store = FolderStore(bench.chosen.work / "store")
    site, centre = (
        Mailbox(store, me=name, run=NAME, identity=identities[name], roster=roster) for name in ("A", "centre")
    )
    found: list[Json] = []
    for number in range(1, 4):
        seconds: Json = {}
        with timed(seconds, "hand_over_s"):
            letter = site.post_tensors(Slot(Kind.update, "A", number), weights, recipients=["centre"])
        with timed(seconds, "receive_s"):
            centre.read_tensors(letter)
        found.append(seconds)
    size = sum(array.nbytes for array in weights.values()) / 1e6
    return {"update_mb": size} | {name: statistics.median(one[name] for one in found) for name in found[0]}


def machine(bench: Bench, plain: Plain) -> Json:
    """What it ran on; with a GPU also a step's seconds alone, as trained, not compiled and deterministic."""
    import torch

    from konsil.learners.nnunet import device

    settings = bench.learner.settings
    facts: Json = {
        "device": "cpu",
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "workers": device.workers(settings),
        "compiled": device.compiles(settings),
        "batches": [settings.batches_per_epoch, settings.validation_batches],
    }
    if device.chosen(settings.device).type == "cpu":
        return facts
    facts |= {"device": torch.cuda.get_device_name(), "gpu_peak_gb": torch.cuda.max_memory_allocated() / 1e9}
    batch = next(plain.trainer.dataloader_train)
    facts["step_s"] = plain.step_s(batch)
    facts["step_not_compiled_s"] = Plain(bench, compiled=False).step_s(batch)
    facts["step_deterministic_s"] = Plain(bench, compiled=False, deterministic=True).step_s(batch)
    return facts


def predicted(figures: Json, cases: int) -> Json:
    """Seconds of the paper's federation at its largest site: an epoch has as many batches for 247 cases as for 3."""
    hands = figures["hand_over_s"] + figures["receive_s"]
    found = {
        "cold_start_s": figures["cold_first_round_s"] - figures["round_s"],
        "resume_s": figures["resumed_round_s"] - figures["round_s"],
        f"predicted_{ROUNDS}_rounds_s": figures["cold_first_round_s"]
        + (ROUNDS - 1) * figures["round_s"]
        + ROUNDS * hands,
    }
    if "prepare_s" in figures:
        found[f"predicted_prepare_{CASES}_cases_s"] = (figures["fingerprint_s"] + figures["prepare_s"]) / cases * CASES
    return found


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here, after every step")
    parser.add_argument("--work", type=Path, help="keep site and data here (else in a folder that vanishes)")
    parser.add_argument("--full", action="store_true", help="the charter's defaults: 3d_fullres, 250 + 50 batches")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--no-compile", dest="compiled", action="store_false", help="do not compile on a GPU")
    parser.add_argument("--deterministic", action="store_true", help="the same weights again, also on a GPU")
    parser.add_argument("--batches", type=int, help="training batches of an epoch")
    parser.add_argument("--validation-batches", type=int, help="at least 1")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--phantoms", action="store_true", help="four synthetic patients at 1 mm")
    parser.add_argument("--cases", type=Path, help="a table as for `konsil adopt`")
    parser.add_argument("--label", action="append", help="as for `konsil adopt`; lesion if left out")
    parser.add_argument("--stage", choices=["first", "pairs"], help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    return parser


def stage(name: str, given: list[str], work: Path) -> None:
    """Do a part in a new interpreter, and tell it when that was asked for."""
    ours = ["--work", str(work), "--stage", name, "--began", str(time.time())]
    subprocess.run([sys.executable, __file__, *given, *ours], check=True)


def main(given: list[str]) -> None:
    """Prepare, let both stages run, and tell."""
    chosen = arguments().parse_args(given)
    chosen.label = chosen.label or ["lesion"]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    with contextlib.ExitStack() as stack:
        chosen.work = (chosen.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        kept = chosen.work / "figures.json"

        def note(figures: Json) -> None:
            whole = {**(read_json(kept) if kept.is_file() else {}), **figures}
            for file in {kept, chosen.json or kept}:
                write_json(file, whole)

        bench = Bench(chosen)
        if chosen.stage:
            {"first": first, "pairs": pairs}[chosen.stage](bench, note)
            return
        note({**bench.prepare(), "cases": len(bench.cohort.cases)})
        for name in ("first", "pairs"):
            stage(name, given, chosen.work)
        note(predicted(read_json(kept), len(bench.cohort.cases)))
        print(json.dumps(read_json(kept), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
