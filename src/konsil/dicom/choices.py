"""Questions that only a person can answer: which of several equally good series is the T1w, which the FLAIR.

`scan` asks where its rules end (`choice`), and sets the case aside until somebody answers. The questions and the
answers lie in `work/<cohort>/choices.json` (docs/formats/cohort.md). A series is named by a key: its number and six
digits of its keyed UID, the same in every scan; never by its description, which may hold a name. The next `scan`
follows the answer as long as it asks about no series that the person did not see; otherwise the question is open again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from konsil.cohort.folder import CohortFolder
from konsil.errors import BadInput
from konsil.files import read_json, write_json
from konsil.types import Json

FORMAT = "konsil-choices/1"
NONE = "none"
"""The answer that keeps a case out: none of the candidates is to be used."""


@dataclass(frozen=True)
class Candidate:
    """A series one can choose: its key, how people recognise it, and what is known about it, in words."""

    key: str
    label: str
    facts: str


@dataclass(frozen=True)
class Question:
    """Which of these series plays this role (T1w or FLAIR) in this case, and why the rules do not tell."""

    case: str
    role: str
    candidates: tuple[Candidate, ...]
    why: str = ""

    @property
    def keys(self) -> list[str]:
        """What can be answered, apart from `none`."""
        return [candidate.key for candidate in self.candidates]


@dataclass(frozen=True)
class Answer:
    """What somebody decided: the key of a series or `none`, the keys that were on offer, who, and when (ISO 8601)."""

    series: str
    among: tuple[str, ...]
    by: str
    at: str

    def settles(self, keys: Iterable[str]) -> bool:
        """The answer holds for a question about these series: the person saw them all, and the chosen one is there."""
        offered = set(keys)
        return offered <= set(self.among) and (self.series == NONE or self.series in offered)


Answers: TypeAlias = dict[tuple[str, str], Answer]
"""By case and role."""


def open_questions(cohort: CohortFolder) -> list[Question]:
    """Questions of the last scan that nobody answered yet, by case and role; empty if there are none."""
    given = answers(cohort)
    return [
        question
        for question in questions(cohort)
        if (question.case, question.role) not in given or not given[question.case, question.role].settles(question.keys)
    ]


def record(cohort: CohortFolder, case: str, role: str, key: str, *, by: str) -> None:
    """Keep the answer of the person `by`: the key of a series, or `none` = the case stays out. The next scan obeys.

    An answer may be given again and replaces the one before. Raises `BadInput` for a question that the last scan did
    not ask, a series that was not on offer, and an answer without a name.
    """
    asked = {(question.case, question.role): question for question in questions(cohort)}
    if (case, role) not in asked:
        raise BadInput(
            f"nobody asked which series is the {role[:20]} of {case[:60]}",
            expected="a case and role of an open question",
            hint=f"See them with: konsil choose {cohort.name}",
        )
    question = asked[case, role]
    if key != NONE and key not in question.keys:
        raise BadInput(
            f"this series is not on offer as the {role} of {case}",
            expected=f"{', '.join(question.keys)} or {NONE}",
            got=repr(key[:40]),
        )
    if not by.strip():
        raise BadInput("a choice needs a name", expected="the account of the person who decides")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    answer = Answer(key, tuple(question.keys), by.strip()[:200], now)
    save(cohort, questions(cohort), {**answers(cohort), (case, role): answer})


def ask(cohort: CohortFolder, asked: Iterable[Question]) -> None:
    """Put these questions in the place of those of the scan before; answers stay. Called by `scan`."""
    wanted = sorted(asked, key=lambda question: (question.case, question.role))
    if wanted or place(cohort).exists():
        save(cohort, wanted, answers(cohort))


def questions(cohort: CohortFolder) -> list[Question]:
    """Every question of the last scan, answered or not."""
    return load(cohort)[0]


def answers(cohort: CohortFolder) -> Answers:
    """Every answer by case and role, also those to questions that are no longer asked."""
    return load(cohort)[1]


def place(cohort: CohortFolder) -> Path:
    """Where questions and answers lie."""
    return cohort.work / "choices.json"


def load(cohort: CohortFolder) -> tuple[list[Question], Answers]:
    """Questions and answers in the file, none if there is no file. Raises `BadInput` for one that was not made here."""
    if not place(cohort).exists():
        return [], {}
    content = read_json(place(cohort))
    try:
        check_format(content["format"])
        asked = [
            Question(one["case"], one["role"], tuple(Candidate(**each) for each in one["candidates"]), one["why"])
            for one in content["questions"]
        ]
        given = {
            (one["case"], one["role"]): Answer(one["series"], tuple(one["among"]), one["by"], one["at"])
            for one in content["answers"]
        }
        check_texts(*(text for one in asked for text in (one.case, one.role, one.why)))
        check_texts(*(text for one in asked for each in one.candidates for text in asdict(each).values()))
        check_texts(*(text for key, one in given.items() for text in (*key, one.series, *one.among, one.by, one.at)))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            "choices.json is of another version, or was changed",
            expected=f"questions and answers as in {FORMAT}",
            hint="Restore it, or remove it, scan again and decide anew",
        ) from error
    return asked, given


def check_texts(*found: Any) -> None:
    """Raise `TypeError` unless all of it is text."""
    if not all(isinstance(one, str) for one in found):
        raise TypeError("a value that is no text")


def check_format(found: str) -> None:
    """Raise `ValueError` for a file of another version."""
    if found != FORMAT:
        raise ValueError(f"format {found!r:.40}")


def save(cohort: CohortFolder, asked: Iterable[Question], given: Answers) -> None:
    """Write the file, whole or not at all, readable by its owner only."""
    content: Json = {
        "format": FORMAT,
        "questions": [asdict(question) for question in asked],
        "answers": [{"case": case, "role": role, **asdict(one)} for (case, role), one in sorted(given.items())],
    }
    write_json(place(cohort), content, mode=0o600)
