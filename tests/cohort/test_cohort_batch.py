import os
import signal
from pathlib import Path

import pytest

from konsil.cohort.batch import each_case
from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.errors import BadInput, Unavailable


@pytest.fixture
def cohort(tmp_path: Path) -> CohortFolder:
    folder = SiteFolder(tmp_path).cohort("three")
    for subject in ("a", "b", "c"):
        raw = folder.raw(Case(subject, "1"), "T1w")
        raw.parent.mkdir(parents=True)
        raw.touch()
    return folder


def refuse_b(cohort: CohortFolder, case: Case) -> None:
    if case.subject == "b":
        raise BadInput("the image is bent")


def accept(cohort: CohortFolder, case: Case) -> None:
    pass


def test_a_bad_case_is_set_aside_and_the_others_come_through(cohort: CohortFolder) -> None:
    outcome = each_case(cohort, None, "bend", refuse_b)
    assert outcome.done == ("sub-a_ses-1", "sub-c_ses-1")
    assert outcome.set_aside == {"sub-b_ses-1": "the image is bent."}
    assert cohort.set_aside_cases()["sub-b_ses-1"].step == "bend"


def test_two_processes_do_the_same(cohort: CohortFolder) -> None:
    assert each_case(cohort, None, "bend", refuse_b, workers=2) == each_case(cohort, None, "bend", refuse_b)


def test_a_step_tries_its_own_refusals_again_but_no_other_steps(cohort: CohortFolder) -> None:
    each_case(cohort, None, "bend", refuse_b)
    assert "sub-b_ses-1" not in each_case(cohort, None, "other", accept).done
    assert "sub-b_ses-1" in each_case(cohort, None, "bend", accept).done
    assert cohort.set_aside_cases() == {}


def test_a_batch_sees_only_its_cases_and_an_unknown_one_is_refused(cohort: CohortFolder) -> None:
    assert each_case(cohort, ["sub-c_ses-1"], "bend", accept).done == ("sub-c_ses-1",)
    with pytest.raises(BadInput, match=r"no such case.*sub-x_ses-1"):
        each_case(cohort, ["sub-x_ses-1"], "bend", accept)


def test_a_named_case_that_was_refused_elsewhere_keeps_its_sentence(cohort: CohortFolder) -> None:
    each_case(cohort, None, "bend", refuse_b)
    outcome = each_case(cohort, ["sub-b_ses-1"], "other", accept)
    assert (outcome.done, outcome.set_aside) == ((), {"sub-b_ses-1": "the image is bent."})


def test_a_full_disk_is_no_fault_of_the_case(cohort: CohortFolder) -> None:
    def fill(cohort: CohortFolder, case: Case) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable, match="disk is full"):
        each_case(cohort, None, "bend", fill)
    assert cohort.set_aside_cases() == {}


def test_an_error_nobody_foresaw_sets_one_case_aside_by_its_place_and_not_its_text(cohort: CohortFolder) -> None:
    def stumble(cohort: CohortFolder, case: Case) -> None:
        if case.subject == "b":
            raise IndexError("Plantagenet^Wilhelmina")

    outcome = each_case(cohort, None, "bend", stumble)
    assert outcome.done == ("sub-a_ses-1", "sub-c_ses-1")
    (sentence,) = outcome.set_aside.values()
    assert "konsil itself failed here; got IndexError in" in sentence
    assert "Plantagenet" not in sentence


def die(cohort: CohortFolder, case: Case) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_blames_no_case(cohort: CohortFolder) -> None:
    with pytest.raises(Unavailable, match="a worker was killed"):
        each_case(cohort, None, "bend", die, workers=2)
    assert cohort.set_aside_cases() == {}
