"""The custodian chooses among frozen cohorts and sees what each is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException

from konsil.cohort.shelf import frozen_cohorts
from konsil.files import write_bytes, write_json
from operators.approve_charter import ApproveCharterOperator, describe, lines_of, question
from operators.decide import DecideOperator


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    return tmp_path


def freeze(home: Path, name: str, age_s: int, content: dict[str, object]) -> None:
    path = home / "cohorts" / name / "cohort.json"
    write_json(path, content)
    os.utime(path, (1_000_000 - age_s, 1_000_000 - age_s))


def test_cohorts_are_told_by_size_and_signature_the_newest_first(home: Path) -> None:
    signed = {"by": "dr-weber", "at": "2026-11-21T09:00:00Z"}
    freeze(home, "old", 100, {"cases": [1, 2], "sign_off": None})
    freeze(home, "new", 10, {"cases": [1], "sign_off": signed})
    write_bytes(home / "cohorts" / "broken" / "cohort.json", b"{")
    os.utime(home / "cohorts" / "broken" / "cohort.json", (1, 1))
    assert frozen_cohorts(home) == {
        "new": "new (1 case, signed by dr-weber on 2026-11-21)",
        "old": "old (2 cases, adopted)",
        "broken": "broken (cannot be read)",
    }
    field = question(frozen_cohorts(home))["cohort"]
    assert field.value == "new"
    assert field.schema["enum"] == ["new", "old", "broken", None]
    assert field.schema["values_display"]["old"] == "old (2 cases, adopted)"


def test_without_a_frozen_cohort_the_name_is_typed(home: Path) -> None:
    field = question(frozen_cohorts(home))["cohort"]
    assert field.value is None
    assert "enum" not in field.schema


def test_no_field_opens_a_section_before_which_airflow_would_put_the_charter_again(home: Path) -> None:
    freeze(home, "ms", 10, {"cases": [1], "sign_off": None})
    assert [field.schema.get("section") for field in question(frozen_cohorts(home)).values()] == [None] * 4


CHARTER = {
    "run": "ms-1", "title": "MS", "asked_by": "the centre (fingerprint ABCD)", "sites": ["A", "B"],
    "learner_words": "nnunet (konsil 1), code 12ab…", "strategy": "fedavg", "bounds": ["50 rounds."],
    "settings": [["batches per epoch", "6"], ["network: patch size", "32 × 32 | 32"]],
    "data": {"channels": ["T1w"], "labels": {"background": 0, "lesion": 1}}, "privacy": ["No noise."],
    "what_leaves_the_site": ["Model <script>weights</script>"], "policy": "", "outside": ["rounds is 51"],
    "decision": None, "void": "", "review": {"words": "Reviewed by <Dr> Weber.", "refusal": "", "lasting": False},
}  # fmt: skip


def test_the_custodian_reads_who_asks_what_runs_and_what_leaves() -> None:
    text = describe(CHARTER)
    for told in (
        "fingerprint ABCD",
        "code 12ab",
        "50 rounds.",
        "No noise.",
        "rounds is 51",
        "`ms-1`",
        "Reviewed by (Dr) Weber.",
    ):
        assert told in text
    assert "<script>" not in text


def test_settings_are_a_table_that_no_setting_breaks_out_of() -> None:
    lines = describe(CHARTER).splitlines()
    head = lines.index("| setting of the learner | value |")
    assert lines[head + 1 : head + 5] == [
        "|---|---|",
        "| batches per epoch | 6 |",
        "| network: patch size | 32 × 32 / 32 |",
        "",
    ]
    assert "Its defaults." in describe(CHARTER | {"settings": []})


def approve(charter: dict[str, object]) -> object:
    return ApproveCharterOperator(task_id="approve", charter=charter).execute({})


def test_a_standing_policy_asks_nobody() -> None:
    decision = approve(CHARTER | {"policy": "every-night"})
    assert decision == {"policy": "every-night"}
    words = DecideOperator(task_id="decide", run_name="ms-1", decision=decision).arguments()
    assert words == ["decide", "ms-1", "--by-policy"]


UNREVIEWED = {"words": "Not reviewed.", "refusal": "This site runs reviewed learners only: none came.", "lasting": True}


def test_what_nobody_reviewed_is_refused_without_asking_where_that_is_the_rule() -> None:
    decision = approve(CHARTER | {"review": UNREVIEWED, "policy": "every-night"})
    assert isinstance(decision, dict)
    words = DecideOperator(task_id="decide", run_name="ms-1", decision=decision).arguments()
    assert words[:4] == ["decide", "ms-1", "--refuse", UNREVIEWED["refusal"]]
    assert words[4] == "--by"
    assert "this site's rule" in words[5]


def test_what_the_site_could_put_right_asks_a_person_with_that_reason(home: Path) -> None:
    charter = CHARTER | {"review": UNREVIEWED | {"lasting": False}, "policy": "every-night"}
    operator = ApproveCharterOperator(task_id="approve", charter=charter)
    with pytest.raises(KeyError, match="task_instance"):  # it goes on to ask, for which there is no Airflow here
        operator.execute({})
    assert operator.params["reason"] == UNREVIEWED["refusal"]
    assert "Why it cannot be approved as it is" in operator.body


def test_a_decision_that_stands_is_not_asked_again_and_a_void_one_is(home: Path) -> None:
    known = {"accepted": True, "cohort": "ms", "by": "x", "reason": ""}
    assert approve(CHARTER | {"decision": known}) == {"settled": True, "accepted": True}
    with pytest.raises(KeyError, match="task_instance"):  # it goes on to ask, for which there is no Airflow here
        approve(CHARTER | {"decision": known, "void": "the cohort changed"})


@pytest.mark.parametrize(
    ("option", "given", "words"),
    [
        ("Approve", {}, ["--accept", "--cohort", "ms", "--by", "weber"]),
        (
            "Approve as standing policy",
            {"days": 30, "bounds": "rounds=1..9"},
            ["--accept", "--cohort", "ms", "--by", "weber", "--standing", "--days", "30", "--bound", "rounds=1..9"],
        ),
        ("Refuse", {"reason": "no vote"}, ["--refuse", "no vote", "--by", "weber"]),
    ],
)
def test_every_option_becomes_its_verb(
    option: str, given: dict[str, object], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {
        "params_input": {"cohort": "ms", **given},
        "chosen_options": [option],
        "responded_by_user": {"name": "weber"},
    }
    monkeypatch.setattr("operators.approve_charter.HITLOperator.execute_complete", lambda *_: answer)
    decision = ApproveCharterOperator(task_id="approve", charter=CHARTER).execute_complete({}, {})
    assert DecideOperator(task_id="decide", run_name="ms-1", decision=decision).arguments() == [
        "decide",
        "ms-1",
        *words,
    ]


def test_a_bound_that_cannot_be_read_is_refused_in_words() -> None:
    with pytest.raises(AirflowFailException, match=r"FIELD=LOW\.\.HIGH.* Clear this task"):
        lines_of("rounds=1..3\nmany")
