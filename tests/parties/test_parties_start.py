"""What a site can rely on before the first round: the recipe of the manifest, and weights that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from konsil.errors import BadMessage, BadSetting
from konsil.federation.charter import parse_charter
from konsil.parties.decision import proposal
from tests.parties.conftest import Line

START = {"model": "former-run", "sha256": "ab" * 32}


class Sealed(Line):
    """A line whose recipe has a hash."""

    def plan(self, fingerprints: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().plan(fingerprints), "sha256": "c0ffee"}


def test_a_recipe_that_its_manifest_does_not_name_is_not_used(make_world: Callable[..., Any]) -> None:
    world = make_world(compare_with_local=False)
    world.kind = lambda charter: Sealed(charter.rounds)
    world.work_until(lambda: world.newest() == 0)
    site = world.party("A")
    site.look()
    assert site.recipe()["sha256"] == "c0ffee"
    other = world.party("A")
    other.look()
    read = other.mailbox.read_json
    other.mailbox.read_json = lambda letter: {**read(letter), "sha256": "another"}
    with pytest.raises(BadMessage, match="not the one that its manifest names"):
        other.recipe()


def test_a_learner_that_cannot_start_from_given_weights_is_refused_before_anything_is_posted(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(start=START)
    with pytest.raises(BadSetting, match="starts from a given model"):
        world.work("centre")
    assert not list(world.store.path.rglob("manifest-*"))


def test_the_custodian_reads_from_which_model_a_federation_starts(
    make_enrolled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_enrolled(start=START)
    site = world.party("A")
    site._charter = world.charter
    monkeypatch.setattr("konsil.parties.decision.party_at", lambda *_: site)
    assert "the model former-run (SHA-256 abababababab…)" in proposal(world.home("A"), "lines-1")["first_weights"]


def test_a_charter_without_given_weights_is_written_as_before() -> None:
    assert "start" not in parse_charter({"run": "one", "sites": ["A", "B"]}).model_dump(mode="json")
    with pytest.raises(BadSetting, match=r"start\.sha256"):
        parse_charter({"run": "one", "sites": ["A", "B"], "start": {**START, "sha256": "short"}})
    with pytest.raises(BadSetting, match=r"start\.new_channels"):
        parse_charter({"run": "one", "sites": ["A", "B"], "start": {**START, "new_channels": "ones"}})
