"""Which verbs a container may talk to the network, without an engine; tests/containers runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from konsil.settings import Settings
from operators import door


@pytest.mark.parametrize(("verb", "alone"), [("doctor", False), ("take-part", False), ("qc", True), ("predict", True)])
def test_only_a_verb_that_talks_to_the_store_has_a_network(tmp_path: Path, verb: str, alone: bool) -> None:
    settings = Settings(home=tmp_path, door="docker", door_image="konsil/worker")
    assert ("none" in door.command(settings, [verb], name="one")) is alone
