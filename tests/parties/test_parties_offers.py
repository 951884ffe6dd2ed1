"""What federations left or need is told to whoever fills in a form."""

from __future__ import annotations

from pathlib import Path

import pytest

from konsil.errors import Missing
from konsil.files import sha256_of, write_bytes, write_json
from konsil.parties.offers import given_models, models, reviewed_workflows, sites, unfinished_runs
from konsil.parties.start import named_start
from konsil.trust.identity import Identity
from konsil.trust.roster import Roster


def store(home: Path, name: str, **card: object) -> None:
    """A model with its card and weights."""
    folder = home / "models" / name
    write_json(folder / "model-card.json", card)
    write_json(folder / "recipe.json", {})
    write_bytes(folder / "model.safetensors", name.encode())


def test_models_are_told_by_title_and_round(tmp_path: Path) -> None:
    store(tmp_path, "ms-1", title="MS lesions", round=40, rounds={"planned": 50})
    store(tmp_path, "ms-2")
    assert models(tmp_path) == {"ms-1": "ms-1 (MS lesions; round 40 of 50)", "ms-2": "ms-2"}


def test_a_model_that_is_not_whole_or_not_readable_is_not_offered(tmp_path: Path) -> None:
    store(tmp_path, "centre-of-fedbn", lacks="its normalisation layers")
    store(tmp_path, "damaged")
    (tmp_path / "models" / "damaged" / "model-card.json").write_bytes(b"{")
    assert models(tmp_path) == {}


def test_a_federation_can_start_only_from_weights(tmp_path: Path) -> None:
    store(tmp_path, "ms-1")
    write_json(tmp_path / "models" / "card-alone" / "model-card.json", {})
    assert set(models(tmp_path)) == {"ms-1", "card-alone"}
    assert set(given_models(tmp_path)) == {"ms-1"}
    digest = sha256_of(tmp_path / "models" / "ms-1" / "model.safetensors")
    assert named_start(tmp_path, "ms-1") == {"model": "ms-1", "sha256": digest}
    with pytest.raises(Missing, match=r"no model \.\./ms-1 here to start from.*one of: ms-1"):
        named_start(tmp_path, "../ms-1")


def test_sites_are_those_of_the_roster(tmp_path: Path) -> None:
    keys = Identity.generate().public
    roster = Roster(centre=keys).with_site("B", keys).with_site("A", keys)
    roster.save(tmp_path)
    assert sites(tmp_path) == {"A": "A", "B": "B"}


def test_runs_that_have_ended_are_not_offered(tmp_path: Path) -> None:
    for name in ("going", "over", ".part-x"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    write_json(tmp_path / "runs" / "over" / "summary.json", {})
    assert unfinished_runs(tmp_path) == {"going": "going"}


def test_an_empty_home_offers_nothing(tmp_path: Path) -> None:
    for told in (models, given_models, sites, reviewed_workflows, unfinished_runs):
        assert told(tmp_path) == {}
