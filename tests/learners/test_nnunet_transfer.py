"""A federation that starts from given weights: bit by bit, by the names of the channels, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadInput, Missing, Refused
from konsil.federation.charter import parse_charter
from konsil.files import sha256_of, write_json
from konsil.learners.nnunet import network, tensors
from konsil.learners.nnunet.recipe import seal
from konsil.learners.nnunet.transfer import matched, transferred
from konsil.parties.simulation import Seat, Simulation, sit_down
from tests.learners.conftest import DATA, SETTINGS

FIRST = "encoder.stages.0.0.convs.0.conv.weight"


@pytest.fixture
def given(make_cohort, make_learner, tmp_path: Path):
    """Two prepared sites, the recipe of their former federation, and the folder of its model."""
    homes = {site: make_cohort(site, seed=number) for number, site in enumerate(("A", "B"))}
    learner = make_learner(homes["A"][0])
    recipe = learner.plan({site: learner.fingerprint(cohort) for site, (_, cohort) in homes.items()})
    draw = np.random.default_rng(3)
    weights = {
        name: draw.normal(size=array.shape).astype(np.float32) / 9 for name, array in learner.initial(recipe).items()
    }
    learner.save(recipe, weights, tmp_path / "given")
    return {site: cohort for site, (_, cohort) in homes.items()}, recipe, weights, tmp_path / "given"


def charter_of(folder: Path, **changes: Any) -> Any:
    start = {"model": "former-run", "sha256": sha256_of(folder / "model.safetensors")}
    settings = {**SETTINGS, "validation_batches": 0}
    return parse_charter(
        {"run": "next-run", "sites": ["A", "B"], "rounds": 1, "compare_with_local": False, "start": start, "seed": 3,
         "learner": {"name": "nnunet", "settings": settings}, "data": DATA, **changes}
    )  # fmt: skip


def test_a_federation_starts_from_the_given_weights_bit_by_bit(given, tmp_path: Path):
    cohorts, _, weights, folder = given
    simulation = Simulation(
        charter_of(folder), {site: one.root for site, one in cohorts.items()}, tmp_path / "out", start=folder
    )
    assert simulation.run().state == "finished"
    site = sit_down(Seat(tmp_path / "out", "next-run", "A", cohorts["A"].root))
    site.look()
    first, last = site.global_model(0), site.global_model(1)
    assert set(first) == set(weights)
    assert all(np.array_equal(first[name], weights[name]) for name in weights)
    assert any(not np.array_equal(last[name], weights[name]) for name in weights)
    facts = {letter.slot.place: letter.manifest.facts for letter in site.mailbox.letters()}
    assert facts["rounds/0000/global"]["start"] == sha256_of(folder / "model.safetensors")
    assert facts["recipe"]["recipe"] == site.recipe()["sha256"]


def with_channels(recipe: Any, names: list[str]) -> Any:
    """The recipe of a federation that asks for these channels."""
    body = {key: value for key, value in recipe.items() if key not in ("sha256", "format")}
    body["dataset"] = {**recipe["dataset"], "channel_names": {str(i): name for i, name in enumerate(names)}}
    scheme = dict(recipe["plans"]["configurations"]["3d_fullres"])
    scheme |= {"normalization_schemes": ["ZScoreNormalization"] * len(names), "use_mask_for_norm": [False] * len(names)}
    body["plans"] = {**recipe["plans"], "configurations": {"3d_fullres": scheme}}
    return seal(body)


@pytest.mark.parametrize("how", ["zero", "mean", "drawn"])
def test_channels_are_mapped_by_name_and_new_ones_begin_as_the_charter_says(given, how):
    _, recipe, weights, folder = given
    other = with_channels(recipe, ["FLAIR", "T2w", "T1w"])
    start = transferred(other, folder, how)
    assert start[FIRST].shape[1] == 3
    assert np.array_equal(start[FIRST][:, [2, 0]], weights[FIRST])
    expected = {
        "zero": np.zeros_like(start[FIRST][:, 1]),
        "mean": weights[FIRST].mean(axis=1),
        "drawn": tensors.read(network.build(other))[FIRST][:, 1],
    }
    assert np.array_equal(start[FIRST][:, 1], expected[how])
    assert all(np.array_equal(start[name], weights[name]) for name in weights if name != FIRST)


def test_the_same_channels_in_another_order_are_the_same_network(given):
    """With zeros for the new channel and channels put in their places, the output is the model's own."""
    import torch

    _, recipe, _, folder = given
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 2, 16, 16, 16)).astype(np.float32))
    outputs = []
    for names, channels in ((["T1w", "FLAIR"], image), (["FLAIR", "T2w", "T1w"], image[:, [1, 0, 0]])):
        asked = with_channels(recipe, names)
        net = network.build(asked)
        tensors.write(net, transferred(asked, folder, "zero"))
        with torch.no_grad():
            outputs.append(net(channels).numpy())
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


def test_another_network_or_other_labels_are_refused_in_words(given, make_learner, tmp_path: Path):
    cohorts, recipe, _, folder = given
    wider = {**SETTINGS["network"], "features_per_stage": [4, 8, 32]}
    other = make_learner(tmp_path / "elsewhere", network=wider)
    planned = other.plan({site: other.fingerprint(cohort) for site, cohort in cohorts.items()})
    with pytest.raises(Refused, match=r"features_per_stage differs; expected \[4, 8, 32\]; got \[4, 8, 16\]"):
        other.initial_from(planned, folder, "zero")
    relabelled = {key: value for key, value in recipe.items() if key not in ("sha256", "format")}
    relabelled["dataset"] = {**recipe["dataset"], "labels": {"background": 0, "tumour": 1}}
    with pytest.raises(Refused, match="other labels"):
        transferred(seal(relabelled), folder, "zero")


def test_other_bytes_or_no_model_stop_the_run_before_a_charter_is_posted(given, tmp_path: Path):
    cohorts, _, _, folder = given
    places = {site: one.root for site, one in cohorts.items()}
    wrong = {"model": "former-run", "sha256": "0" * 64}
    for change, out, error, words in (
        ({"start": wrong}, "one", BadInput, "not the one that the charter starts from"),
        ({}, "two", Missing, "konsil run CHARTER.json --start"),
    ):
        start = folder if change else None
        with pytest.raises(error, match=words):
            Simulation(charter_of(folder, **change), places, tmp_path / out, start=start).run()
        assert not list((tmp_path / out / "store").rglob("manifest-*"))
    write_json(folder / "model-card.json", {"lacks": ["encoder.norm.weight"]})
    with pytest.raises(BadInput, match="its normalisation layers stayed at the sites"):
        Simulation(charter_of(folder), places, tmp_path / "three", start=folder).run()


def planned_with(make_learner, cohorts, home: Path, **network: Any) -> Any:
    """A learner with another network, and the recipe that it plans for the same cohorts."""
    learner = make_learner(home, network={**SETTINGS["network"], **network})
    return learner, learner.plan({site: learner.fingerprint(cohort) for site, cohort in cohorts.items()})


def test_another_patch_is_no_other_network(given, make_learner, tmp_path: Path):
    cohorts, _, weights, folder = given
    learner, planned = planned_with(make_learner, cohorts, tmp_path / "elsewhere", patch_size=[8, 24, 16])
    start = learner.initial_from(planned, folder, "zero")
    assert start.drawn == ()
    assert all(np.array_equal(start.tensors[name], weights[name]) for name in weights)


def test_what_fits_of_another_network_is_taken_and_the_rest_drawn(given, make_learner, tmp_path: Path):
    """A wider coarsest stage: its layers, and what meets them in the decoder, are drawn; all else is taken."""
    cohorts, _, weights, folder = given
    learner, planned = planned_with(make_learner, cohorts, tmp_path / "elsewhere", features_per_stage=[4, 8, 32])
    start, initial = learner.initial_from(planned, folder, "zero", "drawn"), learner.initial(planned)
    assert set(start.tensors) == set(initial)
    changed = {name for name, array in initial.items() if array.shape != weights[name].shape}
    assert set(start.drawn) == changed
    assert {".".join(name.split(".")[:3]) for name in changed} == {"encoder.stages.2", "decoder.transpconvs.0"}
    for name, array in start.tensors.items():
        assert np.array_equal(array, initial[name] if name in changed else weights[name]), name


def test_stages_of_the_decoder_meet_those_of_their_own_resolution(given, make_learner, tmp_path: Path):
    """One coarser stage more: nnU-Net's decoder then counts all of its stages one higher."""
    cohorts, _, weights, folder = given
    asked = {"features_per_stage": [4, 8, 16, 16], "patch_size": [16, 16, 16]}
    learner, planned = planned_with(make_learner, cohorts, tmp_path / "deeper", **asked)
    start = learner.initial_from(planned, folder, "zero", "drawn")
    for part in ("stages", "transpconvs", "seg_layers"):
        for number in (0, 1):
            old = {n: a for n, a in weights.items() if n.startswith(f"decoder.{part}.{number}.")}
            assert old
            for name, array in old.items():
                new = name.replace(f"{part}.{number}.", f"{part}.{number + 1}.", 1)
                assert np.array_equal(start.tensors[new], array), name
    assert {".".join(name.split(".")[:3]) for name in start.drawn} == {
        "encoder.stages.3", "decoder.stages.0", "decoder.transpconvs.0", "decoder.seg_layers.0",
    }  # fmt: skip


def test_with_other_labels_only_the_layers_that_draw_them_are_drawn(given):
    _, recipe, weights, folder = given
    body = {key: value for key, value in recipe.items() if key not in ("sha256", "format")}
    body["dataset"] = {**recipe["dataset"], "labels": {"background": 0, "tumour": 1}}
    start = matched(with_channels(seal(body), ["FLAIR"]), folder, "zero")
    assert {name.rsplit(".", 2)[0] for name in start.drawn} == {"decoder.seg_layers"}
    assert np.array_equal(start.tensors[FIRST], weights[FIRST][:, [1]])


def test_another_kind_of_network_or_nothing_that_fits_is_refused_in_words(given, make_learner, tmp_path: Path):
    cohorts, _, _, folder = given
    learner = make_learner(tmp_path / "residual", planner="nnUNetPlannerResEncM")
    planned = learner.plan({site: learner.fingerprint(cohort) for site, cohort in cohorts.items()})
    with pytest.raises(Refused, match=r"another kind .*: class differs; expected .*ResidualEncoderUNet"):
        learner.initial_from(planned, folder, "zero", "drawn")
    learner, planned = planned_with(make_learner, cohorts, tmp_path / "wider", features_per_stage=[5, 10, 20])
    with pytest.raises(Refused, match="no convolution of the given model fits"):
        learner.initial_from(planned, folder, "zero", "drawn")


def test_a_federation_with_another_plan_says_what_it_took(given, tmp_path: Path, caplog):
    """Charter to report and card: fewer channels and a wider network than the model's."""
    cohorts, _, weights, folder = given
    start = {"model": "former-run", "sha256": sha256_of(folder / "model.safetensors"), "other_tensors": "drawn"}
    network = {**SETTINGS["network"], "features_per_stage": [4, 8, 32]}
    settings = {**SETTINGS, "validation_batches": 0, "network": network}
    charter = charter_of(folder, start=start, learner={"name": "nnunet", "settings": settings},
                         data={**DATA, "channels": ["FLAIR"]})  # fmt: skip
    places, out = {site: one.root for site, one in cohorts.items()}, tmp_path / "out"
    simulation = Simulation(charter, places, out, start=folder)
    with caplog.at_level("INFO"):
        assert simulation.run().state == "finished"
    line = simulation.summary["start"]
    drawn = int(line.split("; ")[1].split(" ")[0])
    assert line.startswith(f"{len(weights) - drawn} tensors of former-run; {drawn} drawn")
    assert "decoder.transpconvs.0.weight" in line
    assert drawn > 0
    assert f"first weights: {line}" in caplog.text
    assert line in simulation.report.read_text()
    card = next(out.rglob("model-card.md")).read_text()
    assert f"First weights: {line}." in card
    site = sit_down(Seat(out, "next-run", "A", cohorts["A"].root))
    site.look()
    assert np.array_equal(site.global_model(0)[FIRST], weights[FIRST][:, [1]])
    assert "What of it does not fit the plan is drawn." in charter.start.sentence
