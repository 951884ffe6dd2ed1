"""Settings: what the guides name exists, and what is wrong is named without its value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from konsil.errors import BadSetting
from konsil.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_of_the_sources_guide_exists_and_the_other_way_round() -> None:
    guide = (ROOT / "docs" / "sources.md").read_text()
    told = {name.lower() for name in re.findall(r"`KONSIL_([A-Z_]+)[=`]", guide)}
    shortened = {f"dicomweb{name.lower()}" for name in re.findall(r"`…(_[A-Z_]+)`", guide)}
    own = {name for name in Settings.model_fields if name.startswith(("receive_", "dicomweb_", "ae_title"))}
    assert own <= told | shortened
    assert told | shortened <= set(Settings.model_fields)


def test_an_unusable_value_is_named_by_its_variable_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_RECEIVE_PORT", "s3cret")
    with pytest.raises(BadSetting, match="KONSIL_RECEIVE_PORT") as caught:
        Settings()
    assert "s3cret" not in str(caught.value)


def test_lists_are_parted_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_RECEIVE_PEERS", "PACS@10.1.2.3, MR 1,,")
    assert Settings().receive_peers == ("PACS@10.1.2.3", "MR 1")
