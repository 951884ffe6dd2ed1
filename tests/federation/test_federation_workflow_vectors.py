"""Every vector of docs/formats/workflows.md ends as it says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from konsil.errors import BadSetting
from konsil.federation.approval import LearnerMark
from konsil.federation.charter import parse_charter
from konsil.federation.policy import terms_of
from konsil.federation.workflow import Offer, judged
from konsil.trust.identity import Identity
from konsil.trust.person import Person

FOLDER = Path(__file__).parents[1] / "vectors" / "workflows"
CASES: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
CHARTER = {"run": "ms-1", "sites": ["A", "B"]}


def weber() -> Person:
    held = json.loads((FOLDER.parent / "keys.json").read_text())["B"]
    return Person(name="Dr. Weber", key=Identity(held["age"], base64.b64decode(held["signing"])).public.signing)


@pytest.mark.parametrize("name", CASES)
def test_a_workflow_counts_as_reviewed_or_not(name: str) -> None:
    case = CASES[name]
    charter = parse_charter({**CHARTER, "workflow": case["offer"]})
    mark = LearnerMark.of(case["learner"]["name"], case["learner"]["code"], case["learner"]["image"], {})
    found = judged(charter.workflow, mark, [weber()])
    if "words" in case:
        assert (found.why, case["words"] in found.words) == ("", True)
        assert len(found.digest) == 64
    else:
        assert case["refused"] in found.why
        assert (found.lasting, found.digest) == (case["lasting"], "")
        assert found.words.startswith("Not reviewed: ")


def test_there_are_vectors_of_every_outcome() -> None:
    assert len([case for case in CASES.values() if "words" in case]) >= 4
    assert len([case for case in CASES.values() if case.get("lasting") is False]) >= 3
    assert len([case for case in CASES.values() if case.get("lasting")]) >= 20


def test_without_a_trusted_reviewer_nothing_is_reviewed() -> None:
    offer, mark = Offer.model_validate(CASES["valid"]["offer"]), LearnerMark.of("nnunet", "1" * 64, "", {})
    assert "Dr. Weber (fingerprint" in judged(offer, mark, []).why


def test_a_charter_names_its_workflow_and_a_policy_does_not_care() -> None:
    charter = parse_charter({**CHARTER, "workflow": "nnunet-ms@1.2"})
    assert charter.model_dump(mode="json")["workflow"] == {"name": "nnunet-ms@1.2"}
    assert terms_of(charter) == terms_of(parse_charter(CHARTER))
    with pytest.raises(BadSetting, match=r"field workflow\.name is not usable"):
        parse_charter({**CHARTER, "workflow": "nnunet-ms"})
