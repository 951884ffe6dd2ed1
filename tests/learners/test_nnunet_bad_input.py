"""What goes wrong at one site is a sentence there, and the federation goes on: real learner, real parties."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from konsil.cohort.frozen import FrozenCohort, read_frozen
from konsil.errors import BadInput, Exhausted, KonsilError, Missing
from konsil.federation.charter import parse_charter
from konsil.federation.steps import Abort, Finish, Step, Wait
from konsil.files import write_json
from konsil.learners.nnunet import preparation, room, session
from konsil.learners.registry import create
from konsil.parties.loop import Clock, go_on
from konsil.parties.party import Party
from konsil.parties.site import SiteParty
from konsil.trust.roster import CENTRE
from tests.learners.conftest import DATA, SETTINGS
from tests.parties.conftest import World

TINY = {**SETTINGS, "batches_per_epoch": 1, "validation_batches": 0}
ROUND = 1000.0
CHARTER = {
    "run": "tiny-run", "sites": ["A", "B", "C"], "rounds": 2, "compare_with_local": False, "seed": 3, "data": DATA,
    "learner": {"name": "nnunet", "settings": TINY},
    "deadlines": {"answer_s": ROUND, "fingerprint_s": ROUND, "prepare_s": ROUND, "round_s": ROUND},
}  # fmt: skip


@dataclass
class Hospitals(World):
    """Parties that train nnU-Net on frozen cohorts; `said` are the sentences with which a site stopped."""

    places: dict[str, Path] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def party(self, name: str) -> Party:
        if name not in self.learners:
            asked = {"rounds": self.charter.rounds, "seed": self.charter.seed, "run": self.charter.run}
            self.learners[name] = create("nnunet", TINY, home=self.home(name), data=DATA, **asked)  # type: ignore[assignment]
        if name == CENTRE or name not in self.places:
            return super().party(name)
        learner_for: Any = lambda charter: self.learners[name]  # noqa: E731
        return SiteParty(self.home(name), self.mailbox(name), learner_for, lambda _: read_frozen(self.places[name]))

    def go(self, meanwhile: Callable[[str, Step], None] = lambda name, step: None) -> Step:
        """Everybody works; a site that refuses stops with its sentence, and the others wait for the deadlines."""
        while True:
            moved = False
            for name in self.names:
                if name in self.said:
                    continue
                try:
                    step = self.party(name).step()
                except KonsilError as error:
                    self.said[name] = error.sentence
                    continue
                meanwhile(name, step)
                moved |= not isinstance(step, Wait | Finish | Abort)
                if name == CENTRE and isinstance(step, Finish | Abort):
                    return step
            if not moved:
                self.pass_time(ROUND / 2)

    def included(self) -> dict[int, set[str]]:
        """The sites whose updates are in the global model of each round."""
        letters = self.party(CENTRE).mailbox.letters()
        made = {one.slot.round: one.manifest.facts["included"] for one in letters if one.slot.kind.name == "global_"}
        return {number: set(sites) for number, sites in made.items() if number}


@pytest.fixture
def hospitals(make_cohort, tmp_path: Path):
    """`hospitals(A=cohort)`: three sites, of which B and C are as they should be."""

    def make(**cohorts: FrozenCohort) -> Hospitals:
        good = {site: make_cohort(site, splits=("train",), edge=16, seed=1)[1] for site in "BC"}
        places = {site: cohort.root for site, cohort in {**good, **cohorts}.items()}
        return Hospitals(tmp_path / "world", parse_charter(CHARTER), places=places)

    return make


def stops(world: Hospitals, *words: str) -> None:
    """Site A stops with a sentence that holds the words; the federation ends with a model of the others."""
    ending = world.go()
    assert isinstance(ending, Finish), ending
    assert set(world.said) == {"A"}
    assert all(word in world.said["A"] for word in words), world.said["A"]
    assert world.included() == {1: {"B", "C"}, 2: {"B", "C"}}
    assert not list(world.home("A").rglob(".part-*"))


def takes_part(world: Hospitals, meanwhile: Callable[[str, Step], None] = lambda name, step: None) -> None:
    """All three sites are in every round."""
    ending = world.go(meanwhile)
    assert isinstance(ending, Finish), ending
    assert (world.said, world.included()) == ({}, {1: {"A", "B", "C"}, 2: {"A", "B", "C"}})


def frozen_anew(cohort: FrozenCohort, **changes: Any) -> FrozenCohort:
    """The same files under another description."""
    content = cohort.model_dump(mode="json", exclude={"root"}) | changes
    write_json(cohort.root / "cohort.json", content)
    return read_frozen(cohort.root)


def test_other_labels(make_cohort, hospitals):
    _, cohort = make_cohort("A", splits=("train",), edge=16)
    other = frozen_anew(cohort, labels={"background": 0, "tumour": 1})
    stops(hospitals(A=other), "is not what the charter asks for", "tumour", "lesion", "refuse the charter")


def test_other_channels(make_cohort, hospitals):
    _, cohort = make_cohort("A", splits=("train",), edge=16)
    content = cohort.model_dump(mode="json", exclude={"root"})
    for case in content["cases"]:
        case["images"]["T2w"] = case["images"].pop("T1w")
    other = frozen_anew(cohort, channels=["T2w", "FLAIR"], cases=content["cases"])
    stops(hospitals(A=other), "is not what the charter asks for", "T2w, FLAIR", "T1w, FLAIR")


def test_a_missing_label_file(make_cohort, hospitals):
    _, cohort = make_cohort("A", splits=("train", "train"), edge=16)
    world = hospitals(A=cohort)
    (cohort.root / str(cohort.cases[0].label)).unlink()
    stops(world, cohort.cases[0].case)


def test_empty_masks_only(make_cohort, hospitals, caplog):
    _, cohort = make_cohort("A", splits=("train", "train"), edge=16, empty=True)
    takes_part(hospitals(A=cohort))
    assert "has a labelled voxel" in caplog.text


def test_one_case(make_cohort, hospitals):
    takes_part(hospitals(A=make_cohort("A", splits=("train",), edge=16)[1]))


def test_a_case_larger_than_memory(make_cohort, hospitals, monkeypatch):
    _, cohort = make_cohort("A", splits=("train",), edge=24)
    there = 4 * 2 * 2 * 20**3  # two channels of 20^3 voxels as float32, before and after resampling; 24^3 is more
    monkeypatch.setattr(room, "available_bytes", lambda: there)
    stops(hospitals(A=cohort), cohort.cases[0].case, "larger than this machine's memory", "Leave the case out")


def test_memory_that_runs_out_while_a_case_is_worked_on(make_cohort, make_learner, monkeypatch):
    home, cohort = make_cohort("A", edge=16)
    learner = make_learner(home)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})

    def full(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "run_case", full)
        with pytest.raises(BadInput, match="larger than this machine's memory"):
            learner.prepare(cohort, recipe)
    assert not preparation.is_ready(home, cohort, recipe)
    learner.prepare(cohort, recipe)
    assert preparation.is_ready(home, cohort, recipe)


def test_preprocessed_data_changed_between_rounds_are_made_anew(make_cohort, hospitals, caplog):
    world = hospitals(A=make_cohort("A", splits=("train", "train"), edge=16)[1])
    made: dict[Path, bytes] = {}

    def meddle(name: str, step: Step) -> None:
        files = sorted((world.home("A") / "nnUNet_preprocessed").rglob("*_seg.b2nd"))
        if world.newest() == 1 and not made:
            made.update({path: path.read_bytes() for path in files})
            files[0].write_bytes(b"something else")

    takes_part(world, meddle)
    assert "1 preprocessed files were changed since they were made" in caplog.text
    assert len(made) == 2
    assert all(path.read_bytes() == content for path, content in made.items())


def test_training_on_changed_data_is_refused_in_words(make_cohort, make_learner):
    home, cohort = make_cohort("A", edge=16)
    learner = make_learner(home)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    plans = next((home / "nnUNet_preprocessed").rglob("nnUNetPlans.json"))
    os.utime(plans, ns=(0, 0))  # touched, not changed
    learner.train(cohort, recipe, learner.initial(recipe), 1)
    plans.write_bytes(plans.read_bytes() + b" ")
    with pytest.raises(Missing, match="1 preprocessed files of the cohort balls were changed"):
        learner.train(cohort, recipe, learner.initial(recipe), 2)
    learner.prepare(cohort, recipe)
    learner.train(cohort, recipe, learner.initial(recipe), 2)


def test_a_full_gpu_is_waited_for_in_its_own_words_and_the_batch_stays(make_cohort, hospitals, monkeypatch):
    """`go_on` gives up its patience with a sentence; when the card is free again the same round is trained."""
    world, run_epoch = hospitals(A=make_cohort("A", splits=("train",), edge=16)[1]), session.run_epoch
    world.work_until(lambda: world.newest() == 0)
    batches: list[int] = []

    def full(trainer: Any) -> None:
        batches.append(trainer.configuration_manager.batch_size)
        raise torch.OutOfMemoryError("CUDA out of memory")

    time = [0.0]
    clock = Clock(lambda: time[0], lambda seconds: time.__setitem__(0, time[0] + 10))
    monkeypatch.setattr(session, "run_epoch", full)
    ending = go_on(world.party("A"), patience_s=15, clock=clock)
    assert (ending.state, ending.round) == ("waiting", 1)
    assert "room on this machine: the GPU's memory is full" in ending.sentence
    assert set(batches) == {TINY["network"]["batch_size"]}
    assert len(batches) > 1
    assert issubclass(Exhausted, KonsilError)
    monkeypatch.setattr(session, "run_epoch", run_epoch)
    takes_part(world)


def test_variables_that_the_hospital_has_set_are_neither_read_nor_written(
    make_cohort, hospitals, monkeypatch, tmp_path
):
    own = {name: tmp_path / "hospital" / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    for name, folder in own.items():
        folder.mkdir(parents=True)
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("nnUNet_n_proc_DA", "not a number")
    monkeypatch.setenv("nnUNet_compile", "1")
    takes_part(hospitals(A=make_cohort("A", splits=("train",), edge=16)[1]))
    assert {name: os.environ[name] for name in own} == {name: str(folder) for name, folder in own.items()}
    assert not [path for folder in own.values() for path in folder.iterdir()]


PREPARE = """
import json, sys
from pathlib import Path
from konsil.cli.app import main
from konsil.cohort.frozen import read_frozen
from konsil.learners.registry import create
home, settings, data, recipe, root = (json.loads(word) for word in sys.argv[1:])
sys.argv[1:] = ["--version"]
from konsil.cli import app
learner = create("nnunet", settings, rounds=2, seed=7, home=Path(home), run="tiny-run", data=data)
app.assemble = lambda: lambda: learner.prepare(read_frozen(Path(root)), recipe)
main()
"""


def test_a_full_disk_while_preprocessing(make_cohort, make_learner):
    """A quota on every file, as on a full disk: the verb's sentence, no half of a case, and with room it goes on."""
    home, cohort = make_cohort("A", splits=("train", "train"), edge=40)
    learner = make_learner(home)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    words = [json.dumps(word) for word in (str(home), SETTINGS, DATA, recipe, str(cohort.root))]

    def prepare(quota: int | None) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            if quota is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (quota, quota))

        return subprocess.run(
            [sys.executable, "-c", PREPARE, *words], capture_output=True, text=True, check=False, preexec_fn=limit
        )

    ended = prepare(100_000)
    assert ended.returncode == 1, ended.stderr
    assert "the disk is full" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
    folder = preparation.folder_of(home, recipe)
    assert not list(folder.rglob("*.pkl"))
    assert not list(folder.rglob(".part-*"))
    assert not preparation.is_ready(home, cohort, recipe)
    assert prepare(None).returncode == 0
    assert preparation.is_ready(home, cohort, recipe)


LIMITED = """
import json, resource, sys
from pathlib import Path
from konsil.cohort.frozen import read_frozen
from konsil.errors import BadInput
from konsil.learners.registry import create
settings, data, small, large, spare = (json.loads(word) for word in sys.argv[1:])

def prepare(home, recipe, root):
    learner = create("nnunet", settings, rounds=2, seed=7, home=Path(home), run="tiny-run", data=data)
    learner.prepare(read_frozen(Path(root)), recipe)

prepare(**small)  # loads every library and starts every thread, so that the limit is about the case
for bytes_left in spare:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + bytes_left, resource.RLIM_INFINITY))
    said = ""
    try:
        prepare(**large)
    except BadInput as error:
        said = error.sentence
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    made = Path(large["home"], "nnUNet_preprocessed")
    left = [path.name for path in made.rglob("*") if path.suffix in (".pkl", ".b2nd") or path.name.startswith(".part-")]
    print(json.dumps([said, left]))
prepare(**large)
"""


UNKEPT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}


def test_a_real_limit_of_memory_before_and_while_a_case_is_read(make_cohort, make_learner):
    """`ulimit -v`: too small for the voxels, then for what is made of them; without it the same process goes on.

    UNKEPT: arrays that were freed go back to the kernel, or they would be memory that the limit does not see.
    """
    places = {}
    recipe = None
    for site, edge, voxel_mm in (("small", 16, 1.0), ("large", 96, 0.8)):
        home, cohort = make_cohort(site, splits=("train",), edge=edge, voxel_mm=voxel_mm)
        learner = make_learner(home)
        recipe = recipe or learner.plan({"A": learner.fingerprint(cohort)})
        places[site] = (cohort, {"home": str(home), "recipe": recipe, "root": str(cohort.root)})
    voxels = 2 * 4 * round(96**3 * (1 + 0.8**3))  # two channels as float32, before and after resampling
    spare = [voxels // 2, voxels + (4 << 20)]  # resampling alone needs a channel as float64, and more
    words = [SETTINGS, DATA, places["small"][1], places["large"][1], spare]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(json.dumps, words)], env=os.environ | UNKEPT, capture_output=True,
        text=True, check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    before, meanwhile = (json.loads(line) for line in ended.stdout.splitlines())
    cohort, large = places["large"]
    for said, left in (before, meanwhile):
        assert f"{cohort.cases[0].case} is larger than this machine's memory" in said
        assert left == []
    assert "for the voxels alone" in before[0]
    assert "more than could be had" in meanwhile[0]
    assert preparation.is_ready(Path(large["home"]), cohort, large["recipe"])


def test_headers_that_cannot_be_read_are_left_to_who_reads_them(make_cohort):
    from konsil.learners.nnunet.dataset import cases_of
    from konsil.learners.nnunet.settings import parse_data

    _, cohort = make_cohort("A", edge=16)
    (case, *_) = cases_of(cohort, parse_data(DATA))
    assert room.needed_bytes(case, None) == 2 * 4 * 16**3
    assert room.needed_bytes(case, (0.5, 0.5, 0.5)) == 2 * 4 * (16**3 + 32**3)
    case.images[0].write_bytes(b"no image")
    assert room.needed_bytes(case, None) == 0
