"""What lies beside the images is damaged or edited by hand: JSON, NIfTI masks, zip archives, tables of limits."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.choices import Candidate, Question, answers, ask, open_questions, record
from konsil.dicom.convert import convert
from konsil.dicom.deidentify import deidentify
from konsil.dicom.pseudonyms import Pseudonyms
from konsil.dicom.scan import read_scan, scan
from konsil.errors import KonsilError
from konsil.quality.limits import load_limits

EDITS = 60
ODD: tuple[Any, ...] = (
    None,
    5,
    -1.5,
    "",
    "x",
    [],
    {},
    [[]],
    {"a": 1},
    True,
    "../../../escaped",
    "sub-../x",
    "/etc",
    10**30,
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> CohortFolder:
    """One whole study with lesions, taken through all steps to raw BIDS, and one case set aside."""
    from fuzz_seeds import enhanced_study

    place = tmp_path_factory.mktemp("prepared")
    (place / "inbox").mkdir()
    for name, content in enhanced_study().numbered(1).items():
        (place / "inbox" / name).write_bytes(content)
    (place / "inbox" / "alone").write_bytes(enhanced_study().numbered(2)["T1w"])
    site = SiteFolder(place / "home")
    assert len(scan(site, "ms", place / "inbox").done) == 1
    assert deidentify(site, "ms").exit_code == 0
    assert convert(site, "ms").exit_code == 0
    cohort = site.cohort("ms")
    case, offered = str(cohort.cases()[0]), (Candidate("3", "series 3", "20 slices"),)
    ask(cohort, [Question(case, "T1w", offered, "two are equally good")])
    record(cohort, case, "T1w", "3", by="reviewer")
    assert answers(cohort)
    return cohort


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of a JSON document."""
    keys = content.keys() if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from places(content[key])


def edited(text: str, chance: random.Random) -> bytes:
    """A JSON document after somebody edited it: a value is another, gone or renamed, or a character is wrong."""
    content = json.loads(text)
    how = chance.random()
    if how < 0.15:
        at = chance.randrange(len(text))
        return (text[:at] + chance.choice('"{}[],:0x\0') + text[at + 1 :]).encode()
    container, key = chance.choice(list(places(content)))
    if how < 0.35 and isinstance(container, dict):
        del container[key]
    elif how < 0.45 and isinstance(container, dict):
        container[str(chance.choice(ODD))] = container.pop(key)
    else:
        container[key] = chance.choice(ODD)
    return json.dumps(content).encode()


def ends_in_words(step: Callable[[], Any]) -> str:
    """Run a step; the sentences with which it refused the whole or a part, and nothing but sentences."""
    try:
        outcome = step()
    except KonsilError as error:
        return error.sentence
    said = " ".join(outcome.set_aside.values()) if hasattr(outcome, "set_aside") else ""
    assert "itself failed" not in said
    return said


STEPS: dict[str, Callable[[CohortFolder], Any]] = {
    "work/ms/scan.json": lambda cohort: deidentify(cohort.site, "ms"),
    "work/ms/scan.json again": lambda cohort: convert(cohort.site, "ms"),
    "work/ms/choices.json": lambda cohort: open_questions(cohort),
    "work/ms/choices.json again": lambda cohort: scan(cohort.site, "ms", cohort.site.home.parent / "inbox"),
    "work/ms/dicom/{case}/sources.json": lambda cohort: deidentify(cohort.site, "ms"),
    "work/ms/dicom/{case}/sources.json again": lambda cohort: convert(cohort.site, "ms"),
    "cohorts/ms/sub-{subject}/ses-{session}/anat/{case}_T1w.json": lambda cohort: convert(cohort.site, "ms"),
    "work/ms/set_aside/{aside}.json": lambda cohort: convert(cohort.site, "ms"),
    "work/ms/set_aside/{aside}.json again": lambda cohort: scan(cohort.site, "ms", cohort.site.home.parent / "inbox"),
}


@pytest.mark.parametrize("name", STEPS)
def test_json_that_was_edited_by_hand_ends_in_words(
    prepared: CohortFolder, tmp_path: Path, name: str, times: int
) -> None:
    case, (aside,) = prepared.cases()[0], prepared.set_aside_cases()
    parts = {"case": str(case), "subject": case.subject, "session": case.session, "aside": aside}
    refused = 0
    for number in range(EDITS // 3 * times):
        place = tmp_path / str(number)
        shutil.copytree(prepared.site.home.parent, place / "site")
        cohort = SiteFolder(place / "site" / "home").cohort("ms")
        file = cohort.site.home / name.removesuffix(" again").format(**parts)
        file.write_bytes(edited(file.read_text(), random.Random(f"{name} {number}")))
        refused += bool(ends_in_words(lambda cohort=cohort: STEPS[name](cohort)))  # type: ignore[misc]
        assert [path.name for path in place.iterdir()] == ["site"]
        assert list(place.rglob("escaped*")) == []
        assert list(place.rglob(".part-*")) == []
        shutil.rmtree(place)
    assert refused <= EDITS * times


def test_every_edit_of_the_findings_is_noticed_or_harmless(prepared: CohortFolder, tmp_path: Path) -> None:
    text = (prepared.work / "scan.json").read_text()
    site = SiteFolder(tmp_path)
    (tmp_path / "work" / "ms").mkdir(parents=True)
    for number in range(EDITS * 3):
        (tmp_path / "work" / "ms" / "scan.json").write_bytes(edited(text, random.Random(number)))
        ends_in_words(lambda: read_scan(site.cohort("ms")))


def masks(chance: random.Random) -> bytes:
    """A NIfTI mask on the grid of the FLAIR, damaged in its header or its compression."""
    from fuzz_damage import cut, flip, shift
    from fuzz_seeds import SIZE, SLICES, SPACING_MM, position

    affine = np.diag([-SPACING_MM, -SPACING_MM, SPACING_MM, 1])
    affine[:3, 3] = np.array(position(0)) * [-1, -1, 1]
    content = nib.Nifti1Image(
        (np.arange(SIZE * SIZE * SLICES) % 7 < 1).reshape(SIZE, SIZE, SLICES).astype(np.uint8), affine
    )
    plain = bytearray(content.to_bytes())
    if chance.random() < 0.6:
        for _ in range(chance.choice((1, 1, 3, 10))):
            plain[chance.randrange(352)] = chance.choice((0, 1, 64, 127, 128, 255))
    packed = gzip.compress(bytes(plain), 1)
    return packed if chance.random() < 0.6 else chance.choice((flip, cut, shift))(packed, chance)


def test_damaged_masks_are_refused_or_carried_over(tmp_path: Path, times: int) -> None:
    from fuzz_seeds import enhanced_study

    for number in range(EDITS * times):
        folder = tmp_path / "inbox" / str(number)
        folder.mkdir(parents=True)
        for name, content in enhanced_study().numbered(number).items():
            if name != "SEG":
                (folder / name).write_bytes(content)
        (folder / "lesion_mask.nii.gz").write_bytes(masks(random.Random(number)))
    site = SiteFolder(tmp_path / "home")
    scanned = scan(site, "ms", tmp_path / "inbox")
    outcomes = [scanned, deidentify(site, "ms")]
    sentences = " ".join(text for outcome in outcomes for text in outcome.set_aside.values())
    assert "itself failed" not in sentences
    assert len(scanned.done) == EDITS * times
    assert len(scanned.set_aside) > EDITS // 6


def test_damaged_archives_are_read_as_far_as_they_are_whole(tmp_path: Path, times: int) -> None:
    from fuzz_damage import cut, flip, shift
    from fuzz_seeds import enhanced_study

    (tmp_path / "inbox").mkdir()
    for number in range(EDITS * times):
        packed, chance = io.BytesIO(), random.Random(number)
        with zipfile.ZipFile(packed, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, content in enhanced_study().numbered(number).items():
                archive.writestr(chance.choice((name, f"../{name}", f"/{name}", f"a\\{name}", f"{name}/x")), content)
        content = packed.getvalue()
        content = chance.choice((flip, cut, shift))(content, chance) if number else content
        (tmp_path / "inbox" / f"{number}.zip").write_bytes(content)
    site = SiteFolder(tmp_path / "home")
    outcomes = [scan(site, "ms", tmp_path / "inbox"), deidentify(site, "ms")]
    assert outcomes[1].done
    assert [text for one in outcomes for text in one.set_aside.values() if "itself failed" in text] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "inbox"]


def test_limits_of_ones_own_are_refused_in_words(tmp_path: Path, times: int) -> None:
    text = 'extends = "paper"\nvoxel_mm = 0.9\n[limits]\nt1w_snr_parenchyma = { warn_below = 12.0, fail_below = 6.0 }\n'
    tables = [
        'extends = "own"',
        "limits = 3",
        "limits = { a = 3 }",
        "extends = [1]",
        "voxel_mm = nan",
        "x",
        "[[limits]]",
    ]
    slips = ["", "0", "nan", "inf", '"', "[", "=", "\n", "\0", "e9999"]
    for number in range(EDITS * times):
        chance = random.Random(number)
        at = chance.randrange(len(text))
        tables.append(text[:at] + chance.choice(slips) + text[at + 1 :])
    for table in tables:
        (tmp_path / "own.toml").write_text(table)
        ends_in_words(lambda: load_limits(str(tmp_path / "own.toml")))


def test_names_of_cases_never_lead_out_of_the_folder() -> None:
    for text in ("sub-../x_ses-1", "sub-a_ses-1/../..", "../sub-a_ses-1", "sub-a_ses-1\n", "", "sub-ä_ses-1"):
        with pytest.raises(KonsilError):
            Case.parse(text)


def test_pseudonyms_travel_to_a_worker_after_they_were_used() -> None:
    used = Pseudonyms(bytes(32))
    sealed = used.seal("Plantagenet/IM1")
    again = pickle.loads(pickle.dumps(used))  # noqa: S301 - our own bytes
    assert again.unseal(sealed) == "Plantagenet/IM1"
