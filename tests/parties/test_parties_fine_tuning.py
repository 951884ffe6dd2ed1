"""Fine-tuning of the final model at each site, and the guard: what the other sites' tests say decides what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadSetting
from konsil.federation.charter import parse_charter
from konsil.federation.fine_tuning import FineTuning, judged
from konsil.federation.slot import Kind, Slot

RULE = {"rounds": 2, "pull": 0.1, "forgets": 0.0}


@pytest.fixture
def make_tuned(make_affine: Any) -> Any:
    """`make_tuned(forgets=…)` → a world that has ended, every site having fine-tuned."""

    def make(**rule: Any) -> Any:
        world = make_affine(compare_with_local=True, fine_tune={**RULE, **rule})
        world.work()
        return world

    return make


def tuned(world: Any, site: str) -> Any:
    box = world.mailbox(site)
    letters = {letter.slot: letter for letter in box.letters()}
    together = box.read_tensors(letters[Slot(Kind.baselines, "centre")])
    mark = f"{site}/tuned/"
    return {name.removeprefix(mark): array for name, array in together.items() if name.startswith(mark)}


def test_a_tuned_model_is_the_final_one_trained_on_and_tested_everywhere(make_tuned):
    world = make_tuned(forgets=1.0)
    evaluation = world.summary()["evaluation"]
    assert all(set(table["tuned"]) == {"A", "B", "C"} for table in evaluation.values())
    for site in world.charter.sites:
        final, kept = world.stored(site), world.stored(site, "-tuned")
        assert np.array_equal(kept["w"], tuned(world, site)["w"])
        assert kept["n"] == final["n"] + 2 * 3  # two rounds of three steps
        cohort, learner = world.cohort(site), world.learner(site)
        before, after = (learner.evaluate(cohort, {}, model, "train")[0].mean() for model in (final, kept))
        assert after > before


class Forgetful:
    """A learner whose fine-tuning unlearns everything."""

    def __init__(self, line: Any) -> None:
        self.line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)

    def train(self, cohort: Any, recipe: Any, tensors: Any, round: int, **how: Any) -> Any:  # noqa: A002
        update = self.line.train(cohort, recipe, tensors, round, **how)
        if how.get("chain") == "tuned":
            return replace(update, tensors={**update.tensors, "w": -update.tensors["w"]})
        return update


def test_a_model_that_forgot_is_dropped_and_the_federations_is_kept(make_affine):
    world = make_affine(compare_with_local=True, fine_tune={**RULE, "rounds": 1})
    world.learners["A"] = Forgetful(world.learner("A"))
    world.work()
    assert [(world.home(site) / "models" / "lines-1-tuned").is_dir() for site in "ABC"] == [False, True, True]
    assert (world.home("A") / "models" / "lines-1" / "line.npz").is_file()
    verdict = json.loads((world.home("B") / "models" / "lines-1-tuned" / "tuned.json").read_text())
    assert verdict["kept"]
    assert verdict["tuned"] >= verdict["federated"]


def test_the_pull_holds_a_tuned_model_near(make_affine):
    far = []
    for name, pull in (("free", 0.0), ("held", 10.0)):
        world = make_affine(name, compare_with_local=True, fine_tune={**RULE, "pull": pull})
        world.work()
        far.append(np.abs(tuned(world, "A")["w"] - world.final()["w"]).sum())
    assert far[1] < far[0]


def means(dice: float | None) -> Any:
    return {"dice": {"mean": dice}}


@pytest.mark.parametrize(
    ("elsewhere", "kept"), [((0.79, 0.83), True), ((0.70, 0.80), False), ((None, 0.79), True), ((None, None), False)]
)
def test_the_mean_over_the_other_sites_decides(elsewhere: Any, kept: bool):
    """At the own site it may do as it likes; a site without a Dice does not count; no site at all is no proof."""
    tables = {"A": {"federated": means(0.8), "tuned": {"A": means(0.1)}}}
    tables |= {
        site: {"federated": means(0.8), "tuned": {"A": means(dice)}} for site, dice in zip("BC", elsewhere, strict=True)
    }
    assert judged("A", tables, FineTuning(forgets=0.02)).kept is kept


def test_without_consent_to_be_tested_elsewhere_there_is_no_fine_tuning():
    with pytest.raises(BadSetting, match="fine_tune"):
        parse_charter({"run": "lines-1", "sites": ["A", "B"], "compare_with_local": False, "fine_tune": RULE})


def test_a_learner_that_cannot_be_held_near_is_refused_before_the_charter_is_published(make_world):
    with pytest.raises(BadSetting, match="fine-tuning"):
        make_world(fine_tune=RULE).work()


def test_the_custodian_reads_that_a_second_model_leaves(make_world):
    charter = parse_charter({"run": "lines-1", "sites": ["A", "B"], "fine_tune": RULE})
    assert any("trained on with this site's patients" in line for line in charter.what_leaves_the_site())


def test_report_and_card_show_the_tuned_models_beside_the_others_and_what_became_of_them(make_affine):
    world = make_affine(compare_with_local=True, fine_tune={**RULE, "rounds": 1})
    world.learners["A"] = Forgetful(world.learner("A"))
    world.work()
    summary, page = world.summary(), world.page()
    for at in "ABC":
        row = next(part for part in page.split("<tr>") if f"fine-tuned at {at}<" in part).split("</tr>")[0]
        shown = [f"{summary['evaluation'][tested]['tuned'][at]['dice']['mean']:.3f}" for tested in "ABC"]
        assert [cell.split("<")[0] for cell in row.replace("<td", ">").split(">") if cell[:1].isdigit()] == shown
    assert "The model fine-tuned at A was dropped: it lost more than 0 of Dice at the other sites." in page
    assert "The model fine-tuned at B was kept there: it lost at most 0 of Dice at the other sites." in page
    text = (world.home("B") / "models" / "lines-1" / "model-card.md").read_text()
    dice = summary["dice"]
    at_home = [dice["federated"]["B"], dice["local"]["B"]["B"], dice["tuned"]["B"]["B"]]
    assert "Dice on its test patients | trained alone | fine-tuned |" in text
    assert " | ".join(f"{value:.3f}" for value in at_home) in next(line for line in text.split("\n") if "| B |" in line)
    assert "The model fine-tuned at A was dropped" in text


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("fedbn", "with its own normalisation layers"),
        (
            {"name": "asym_fedavg", "settings": {"B": {"size": 2}}},
            "A network of their own plan was trained and tested at B",
        ),
    ],
)
def test_what_of_the_tested_model_is_a_sites_own_is_said(make_affine, strategy, words):
    world = make_affine(strategy=strategy)
    world.work()
    assert words in world.page()
    assert words in (world.home("A") / "models" / "lines-1" / "model-card.md").read_text()


def test_the_card_shows_the_personal_models_of_ditto(make_affine):
    world = make_affine(strategy={"name": "ditto", "lam": 2.0})
    world.work()
    text = (world.home("C") / "models" / "lines-1" / "model-card.md").read_text()
    dice = world.summary()["dice"]
    assert "Dice on its test patients | personal |" in text
    assert f"| {dice['federated']['C']:.3f} | {dice['personal']['C']:.3f} |" in text
