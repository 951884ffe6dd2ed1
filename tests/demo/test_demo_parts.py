"""The demo's own promises; the walk itself is in tests/e2e."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from konsil.demo.ending import table
from konsil.demo.plan import DemoPlan
from konsil.demo.run import alone, clear
from konsil.demo.together import together
from konsil.demo.voice import Voice
from konsil.errors import BadInput, Unavailable
from konsil.federation.charter import parse_charter
from konsil.learners.nnunet.settings import parse_settings


def test_the_form_is_a_charter_that_the_learner_accepts(tmp_path: Path) -> None:
    form = {key: value for key, value in DemoPlan(tmp_path).form.items() if key != "patience_s"}
    charter = parse_charter({"format": "konsil.charter/1", **form})
    assert charter.sites == ("A", "B", "C")
    assert parse_settings(charter.learner.settings).network is not None


def test_the_default_charter_is_the_paper_s() -> None:
    charter = parse_charter({"format": "konsil.charter/1", "run": "paper", "sites": ["A", "B", "C"]})
    settings = parse_settings(charter.learner.settings)
    assert (charter.rounds, settings.local_epochs, settings.batches_per_epoch) == (50, 1, 250)
    assert (settings.configuration, settings.learning_rate, settings.weight_decay) == ("3d_fullres", 0.01, 3e-5)
    assert settings.oversample_foreground == pytest.approx(0.33)


def test_a_folder_that_no_demo_made_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(BadInput, match="no demo wrote"):
        clear(DemoPlan(tmp_path), Voice())
    assert (tmp_path / "thesis.txt").read_text() == "dear"


def test_what_an_earlier_demo_wrote_is_removed(tmp_path: Path) -> None:
    plan = DemoPlan(tmp_path / "demo")
    clear(plan, Voice())
    (plan.folder / "old.txt").touch()
    clear(plan, Voice())
    assert [path.name for path in plan.folder.iterdir()] == [".konsil-demo"]


def test_one_failure_ends_the_others() -> None:
    over = threading.Event()

    def fail() -> None:
        raise Unavailable("no")

    def wait_for_the_end() -> None:
        assert over.wait(10)

    with pytest.raises(Unavailable), together([fail, wait_for_the_end], give_up=over.set):
        pass
    assert over.is_set()


def test_an_interruption_ends_the_others() -> None:
    over = threading.Event()
    with pytest.raises(KeyboardInterrupt), together([lambda: over.wait(10) and None], give_up=over.set):
        raise KeyboardInterrupt


def test_a_score_that_is_not_defined_is_a_dash(tmp_path: Path) -> None:
    dice = {"federated": {"A": 0.5, "B": None, "C": 0.25}, "local": {"A": {"A": 0.4}}}
    cells = [list(column.cells) for column in table(DemoPlan(tmp_path), dice).columns]
    assert cells[1] == ["0.500", "0.400", "–", "–"]
    assert cells[2] == ["–", "–", "–", "–"]


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    plan = DemoPlan(tmp_path / "demo")
    with alone(plan), pytest.raises(BadInput, match="another demo runs"), alone(plan):
        pass
    with alone(plan):
        pass
