"""What a verdict takes from the steps around it: the registration's facts, the drawn lesions, earlier warnings."""

from pathlib import Path

import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.derivative import sidecar
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.volume import Volume, write_volume
from konsil.errors import BadInput
from konsil.files import write_json
from konsil.quality.limits import load_limits, measure_kinds
from konsil.quality.measure import LESION_NAMES, REGISTRATION, measure_lesions, measure_registration
from konsil.quality.measured import Measured
from konsil.quality.verdict import conclude, sources_of, warnings_of

CASE = Case("x", "1")
BRAIN = {"t1w_brain_ml": Measured(1400.0), "flair_brain_ml": Measured(1400.0)}


@pytest.fixture
def cohort(tmp_path: Path) -> CohortFolder:
    """A case whose brain is the lower half of 20 x 20 x 20 voxels of 2 mm."""
    folder = SiteFolder(tmp_path).cohort("one")
    brain = np.zeros((20, 20, 20), np.uint8)
    brain[:, :, :10] = 1
    write_volume(folder.brain_mask(CASE, "FLAIR"), Volume(brain, np.diag([2.0, 2, 2, 1])))
    return folder


def draw(cohort: CohortFolder, *, shift_mm: float = 0.0, upper: int = 10) -> None:
    """One lesion of 2 x 2 x `upper` voxels from the bottom, and one of a single voxel."""
    drawn = np.zeros((20, 20, 20), np.uint8)
    drawn[4:6, 4:6, :upper] = 1
    drawn[15, 15, 2] = 1
    affine = np.diag([2.0, 2, 2, 1])
    affine[0, 3] = shift_mm
    write_volume(cohort.lesions(CASE), Volume(drawn, affine))


def test_before_the_registration_its_measures_are_absent_with_a_note_and_no_remark() -> None:
    found = measure_registration(None)
    assert set(found) == set(REGISTRATION) <= set(measure_kinds())
    assert all(measured.value is None and "konsil register" in measured.note for measured in found.values())
    assert conclude(BRAIN | found, load_limits())["verdict"] == "pass"


def test_the_facts_of_the_registration_become_measures_and_reasons() -> None:
    facts = {"brain_overlap_dice": 0.85, "mutual_information_after_nats": 0.4, "rotation_deg": 3.0}
    found = measure_registration(facts)
    assert found["brain_overlap_dice"].value == 0.85
    assert found["mutual_information"].value == 0.4
    assert found["head_translation_mm"].value is None
    reasons = conclude(BRAIN | found, load_limits())["reasons"]
    assert reasons[0].startswith("Overlap of the two brains after registration is 0.85, below 0.9:")


def test_lesions_inside_the_brain_are_counted_and_weighed(cohort: CohortFolder) -> None:
    draw(cohort)
    found = measure_lesions(cohort, CASE)
    assert set(found) == set(LESION_NAMES)
    values = {name: measured.value for name, measured in found.items()}
    assert values["lesion_grid_offset_mm"] == 0
    assert values["lesion_outside_percent"] == 0
    assert values["lesion_count"] == 2
    assert values["lesion_ml"] == pytest.approx(41 * 0.008)


def test_lesions_half_outside_the_brain_fail_the_case(cohort: CohortFolder) -> None:
    draw(cohort, upper=20)
    found = measure_lesions(cohort, CASE)
    assert found["lesion_outside_percent"].value == pytest.approx(100 * 40 / 81)
    content = conclude(BRAIN | found, load_limits())
    assert content["verdict"] == "fail"
    assert "Lesions outside the brain is 49.4 %, above 25" in content["reasons"][0]


def test_a_drawing_on_another_grid_fails_and_is_not_compared(cohort: CohortFolder) -> None:
    draw(cohort, shift_mm=3.0)
    found = measure_lesions(cohort, CASE)
    assert found["lesion_grid_offset_mm"].value == pytest.approx(3.0)
    assert found["lesion_outside_percent"].value is None
    assert conclude(BRAIN | found, load_limits())["failures"] == 1


def test_a_case_without_drawing_or_with_an_empty_one_is_no_remark(cohort: CohortFolder) -> None:
    nothing = measure_lesions(cohort, CASE)
    assert {measured.note for measured in nothing.values()} == {"no lesions were drawn"}
    write_volume(cohort.lesions(CASE), Volume(np.zeros((20, 20, 20), np.uint8), np.diag([2.0, 2, 2, 1])))
    empty = measure_lesions(cohort, CASE)
    assert empty["lesion_count"].value == empty["lesion_ml"].value == 0
    for found in (nothing, empty):
        assert conclude(BRAIN | found, load_limits())["verdict"] == "pass"


def test_a_broken_drawing_is_refused_in_a_sentence(cohort: CohortFolder) -> None:
    cohort.lesions(CASE).write_bytes(b"no NIfTI")
    with pytest.raises(BadInput, match="lesion mask cannot be read"):
        measure_lesions(cohort, CASE)


def test_warnings_of_earlier_steps_are_kept(cohort: CohortFolder) -> None:
    assert warnings_of(cohort, CASE) == []
    write_json(cohort.work / "scan.json", {"cases": {str(CASE): {"warnings": ["The T1w is derived."]}}})
    raw = cohort.raw(CASE, "FLAIR")
    raw.parent.mkdir(parents=True)
    raw.touch()
    write_json(sidecar(raw), {"Warnings": ["Slice thickness differs."]})
    assert warnings_of(cohort, CASE) == ["The T1w is derived.", "FLAIR: Slice thickness differs."]


def test_a_new_registration_or_drawing_is_a_new_input(cohort: CohortFolder) -> None:
    assert set(sources_of(cohort, CASE)) == set()
    draw(cohort)
    write_json(sidecar(cohort.registered(CASE)), {})
    assert set(sources_of(cohort, CASE)) == {"registration", "lesions"}
