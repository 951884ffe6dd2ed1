"""What strategies ask of nnU-Net: steered steps, named normalisation layers, a second model, a plan of a site's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from konsil.errors import BadMessage
from konsil.federation.fine_tuning import FineTuning
from konsil.federation.strategies.choice import (
    AsymFedAvgChoice,
    DittoChoice,
    FedBNChoice,
    FedProxChoice,
    ScaffoldChoice,
)
from konsil.federation.strategies.scaffold import with_controls
from konsil.federation.strategies.table import SiteGround, site_rule_of
from konsil.learners.nnunet import network, recipe
from konsil.parties.keepsakes import Keepsakes
from konsil.parties.local_rounds import LocalRounds
from konsil.parties.tuning import tune
from konsil.types import Steering

PLAIN = {"momentum": 0.0, "weight_decay": 0.0, "batches_per_epoch": 1, "validation_batches": 0}


@pytest.fixture
def make_site(make_cohort, make_learner):
    """`make_site(**settings)` → a prepared site: learner, cohort, recipe, first weights, home."""

    def make(**settings: Any) -> Any:
        home, cohort = make_cohort("A")
        learner = make_learner(home, **settings)
        made = learner.plan({"A": learner.fingerprint(cohort)})
        learner.prepare(cohort, made)
        return learner, cohort, made, learner.initial(made), home

    return make


def distance(a, b) -> float:
    return float(np.sqrt(sum(np.square(a[name] - b[name], dtype=np.float64).sum() for name in a)))


def same(a, b) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def rounds(site: Any, choice: Any, **ground: Any) -> LocalRounds:
    learner, _, made, weights, home = site
    rule = site_rule_of(choice, SiteGround(**ground), weights)
    return LocalRounds(learner, made, rule, Keepsakes(home / "runs" / "tiny-run" / "own"), lambda number: True)


def test_a_steered_step_is_the_step_and_the_term(make_site):
    """One step without momentum: w = w0 - lr (g + pull (w0 - anchor) + shift), g as without steering."""
    learner, cohort, made, w0, _ = make_site(**PLAIN)
    plain = learner.train(cohort, made, w0, 1)
    name = next(iter(w0))
    steering = Steering(0.5, {name: w0[name] - 1}, {name: np.full_like(w0[name], 2)})
    update = learner.train(cohort, made, w0, 1, steering=steering)
    assert update.rates == plain.rates == pytest.approx(0.03)
    np.testing.assert_allclose(plain.tensors[name] - update.tensors[name], 0.03 * 2.5, rtol=1e-3)
    assert all(np.array_equal(plain.tensors[other], update.tensors[other]) for other in w0 if other != name)
    assert same(learner.train(cohort, made, w0, 1).tensors, plain.tensors)  # the next round is not steered


def test_momentum_decides_whether_steps_are_plain(make_learner, tmp_path):
    assert "plain steps" in make_learner(tmp_path, momentum=0.0).abilities
    assert "plain steps" not in make_learner(tmp_path, momentum=0.9).abilities


def test_fedprox_holds_a_site_near_the_global_model(make_site):
    site = make_site(momentum=0.0)
    near, far = (rounds(site, FedProxChoice(mu=mu)).train(site[1], site[3], 1).tensors for mu in (10, 1e-6))
    assert distance(near, site[3]) < 0.9 * distance(far, site[3])


def test_scaffolds_control_is_the_mean_gradient_of_the_round(make_site):
    """With controls of zero c_i+ = (x - y) / sum of rates; the second round is corrected by c - c_i."""
    site = make_site(**{**PLAIN, "batches_per_epoch": 2})
    learner, cohort, made, weights, _ = site
    message, scaffold = with_controls(weights), rounds(site, ScaffoldChoice())
    first = scaffold.train(cohort, message, 1)
    plain = learner.train(cohort, made, weights, 1).tensors
    assert set(first.tensors) == set(message)
    for name in weights:
        assert np.array_equal(first.tensors[name], plain[name])
        np.testing.assert_allclose(
            first.tensors[f"control/{name}"], (weights[name] - plain[name]) / np.float32(0.06), rtol=1e-4, atol=1e-6
        )
    corrected = scaffold.train(cohort, message, 2).tensors
    assert not same({n: corrected[n] for n in weights}, learner.train(cohort, made, weights, 2).tensors)


def test_the_recipe_names_the_normalisation_layers(make_site):
    learner, _, made, weights, _ = make_site()
    norms = learner.norms(made)
    layers = [m for m in network.build(made).modules() if type(m).__name__ == "InstanceNorm3d"]
    assert sorted(weights[name].shape for name in norms) == sorted(
        tuple(p.shape) for layer in {id(m): m for m in layers}.values() for p in layer.parameters()
    )
    assert 0 < len(norms) < len(weights)
    assert all(set(np.unique(weights[name])) <= {0.0, 1.0} for name in norms)


def test_a_recipe_that_names_other_layers_is_refused(make_site):
    learner, cohort, made, weights, _ = make_site()
    body = {key: value for key, value in made.items() if key not in ("sha256", "format")}
    body["plans"]["konsil"]["norms"] = [next(iter(weights))]
    forged = recipe.seal(body)
    learner.prepare(cohort, forged)
    with pytest.raises(BadMessage, match="other normalisation layers"):
        learner.train(cohort, forged, weights, 1)


def test_fedbn_sends_all_but_the_layers(make_site):
    site = make_site()
    learner, cohort, made, weights, _ = site
    norms = learner.norms(made)
    fedbn = rounds(site, FedBNChoice(), norms=norms)
    sent = fedbn.train(cohort, weights, 1).tensors
    assert set(sent) == set(weights) - set(norms)
    used = fedbn.model({**weights, **sent}, 1)
    assert list(used) == list(weights)
    assert same(used, learner.train(cohort, made, weights, 1).tensors)


def test_dittos_second_model_does_not_disturb_the_federation(make_site, make_learner):
    site = make_site()
    _, cohort, made, weights, home = site
    ditto, current = rounds(site, DittoChoice(lam=1)), weights
    for number in (1, 2):
        current = ditto.train(cohort, current, number).tensors
    own = ditto.own_model(current, 2)
    assert own is not None
    assert not same(own, current)
    fresh, alone = make_learner(home), weights
    for number in (1, 2):
        alone = fresh.train(cohort, made, alone, number).tensors
    assert same(alone, current)
    cold = rounds((make_learner(home), *site[1:]), DittoChoice(lam=1))  # killed before the update was posted
    first = cold.learner.train(cohort, made, weights, 1).tensors
    assert same(cold.train(cohort, first, 2).tensors, current)
    assert same(cold.own_model(current, 2), own)


def test_a_site_with_a_smaller_network_plans_for_itself_and_shares_what_fits(make_site, make_learner):
    site = make_site()
    _, cohort, made, weights, home = site
    smaller = {"network": {"patch_size": [16, 16, 16], "features_per_stage": [4, 8, 12], "n_conv_per_stage": 1}}
    learner = make_learner(home, **smaller)
    own = learner.adapt(made)
    assert own["fingerprint"] == made["fingerprint"]
    assert learner.adapt(own) is own
    learner.prepare(cohort, own)
    first = learner.initial(own)
    asym = rounds((learner, cohort, own, weights, home), AsymFedAvgChoice(), first=first)
    sent = asym.train(cohort, weights, 1).tensors
    assert 0 < len(sent) < len(first)
    assert all(sent[name].shape == weights[name].shape for name in sent)
    assert list(asym.model(weights, 1)) == list(first)


def test_fine_tuning_goes_on_from_the_result_and_leaves_the_federation_alone(make_site, make_learner):
    learner, cohort, made, weights, home = make_site()
    first = learner.train(cohort, made, weights, 1).tensors
    free, held = (tune(learner, cohort, made, first, FineTuning(rounds=1, pull=pull), last=2) for pull in (0, 10))
    assert 0 < distance(held, first) < distance(free, first)
    fresh = make_learner(home)
    assert same(tune(fresh, cohort, made, first, FineTuning(rounds=1, pull=0), last=2), free)
    disturbed = learner.train(cohort, made, first, 2).tensors
    assert same(make_learner(home).train(cohort, made, first, 2).tensors, disturbed)
    assert sorted(file.name for file in (home / "runs" / "tiny-run" / "nnunet").iterdir()) == ["federated", "tuned"]
