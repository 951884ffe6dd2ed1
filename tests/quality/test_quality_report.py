import base64
import hashlib
import html
import re
from pathlib import Path

import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.volume import Volume
from konsil.errors import Missing
from konsil.files import read_json, sha256_of, write_json
from konsil.quality.cohort_page import summary
from konsil.quality.facts import number_text
from konsil.quality.pages import KEPT, part_of, render, script_source, seen_of, template_text
from konsil.quality.panels import FIGURES, CaseImages, fullest
from konsil.quality.pictures import noise_window, outline_address
from konsil.quality.planes import bounding_box, cut, plane_at, tile
from konsil.quality.report import limit_texts, report
from konsil.quality.sections import TABLES, sections

GOOD, GHOSTED = Case("good", "1"), Case("ghosted", "1")
OBLIQUE = np.array([[2.0, 0, 0, -20], [0, 1.9, -0.3, -30], [0, 0.6, 0.95, -30], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def pages(prepared: CohortFolder) -> CohortFolder:
    assert report(prepared).exit_code == 0
    return prepared


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_page_of_a_case_begins_with_verdict_and_reasons(pages: CohortFolder) -> None:
    page = text_of(pages.report(GHOSTED))
    body = page[page.index("<main>") :]
    assert body.index('badge fail">fail') < body.index("Structure in the air of T1w is") < body.index("<img")
    assert "Every measure lies within its limits." in text_of(pages.report(GOOD))


def test_every_section_and_measure_is_there_in_the_order_of_the_description(pages: CohortFolder) -> None:
    page = text_of(pages.report(GOOD))
    places = [page.index(f'<section id="{one.key}">\n<h2>{one.title}</h2>') for one in sections()]
    assert places == sorted(places)
    for title in ("Signal to noise in parenchyma", "Brain outside the picture", "Similarity of the two brain volumes"):
        assert title in page
    assert "Research use only, not a medical device." in page


def test_measures_without_limits_are_folded_away(pages: CohortFolder) -> None:
    page = text_of(pages.report(GOOD))
    table, fold = page.index('<table class="measures">'), page.index("More measures, without limits")
    assert table < page.index("<td>Structure in the air<br>") < fold < page.index("<td>Signal to noise in fluid<br>")


def test_the_description_names_figures_and_images_that_exist() -> None:
    fields = {*CaseImages.__dataclass_fields__, ""}
    for one in sections():
        assert one.figure in {*FIGURES, *TABLES}
        assert {one.image, one.outline} <= fields
    assert len({one.key for one in sections()}) == len(sections())


def test_pages_load_nothing_and_stay_small(pages: CohortFolder) -> None:
    for path in (pages.report(GOOD), pages.reports / "cohort.html"):
        page = text_of(path)
        addresses = re.findall(r'(?:src|href|srcset|action)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
        assert all(a.startswith(("data:image/", "sub-", "cohort.html", "#")) for a in addresses)
        assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
        assert path.stat().st_size < 3_000_000


def test_the_only_script_is_ours_and_the_policy_names_its_hash(pages: CohortFolder) -> None:
    for path in (pages.report(GOOD), pages.reports / "cohort.html"):
        page = text_of(path)
        assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [template_text("review.js")]
        policy = html.unescape(re.findall(r'Security-Policy" content="([^"]*)"', page)[0])
        assert f"script-src {script_source()};" in policy
        found = hashlib.sha256(template_text("review.js").encode()).digest()
        assert base64.b64decode(script_source().strip("'").removeprefix("sha256-")) == found
        assert not re.search(r"<[^>]+\son\w+=", page), "handlers in attributes would not run"


def test_the_same_input_gives_the_same_bytes(pages: CohortFolder) -> None:
    paths = [pages.report(GOOD), pages.reports / "cohort.html"]
    before = [sha256_of(path) for path in paths]
    for path in paths:
        path.unlink()
    report(pages)
    assert [sha256_of(path) for path in paths] == before


def test_a_page_is_kept_until_its_files_change(pages: CohortFolder) -> None:
    path = pages.report(GOOD)
    made = path.stat().st_mtime_ns
    report(pages)
    assert path.stat().st_mtime_ns == made
    lesions = pages.lesions(GOOD)
    content = lesions.read_bytes()
    lesions.unlink()
    report(pages)
    assert "none drawn" in text_of(path)
    lesions.write_bytes(content)
    report(pages)
    assert "none drawn" not in text_of(path)


def test_another_case_changes_the_strips_and_neither_the_pictures_nor_what_was_seen(pages: CohortFolder) -> None:
    path = pages.report(GOOD)
    before, seen = text_of(path), seen_of(path)
    qc = read_json(pages.qc(GHOSTED))
    worse = {**qc["measures"]["t1w_brain_ml"], "value": 2.0 * qc["measures"]["t1w_brain_ml"]["value"]}
    write_json(pages.qc(GHOSTED), {**qc, "measures": {**qc["measures"], "t1w_brain_ml": worse}})
    report(pages)
    after = text_of(path)
    write_json(pages.qc(GHOSTED), qc)
    report(pages)
    assert after != before == text_of(path)
    assert seen_of(pages.report(GOOD)) == seen
    assert part_of(after, KEPT) == part_of(before, KEPT) != ""


def test_the_pages_of_the_cases_lead_through_the_cohort_the_worst_first(pages: CohortFolder) -> None:
    first, last = text_of(pages.report(GHOSTED)), text_of(pages.report(GOOD))
    assert '<a id="after" href="sub-good_ses-1.html"' in first
    assert 'id="before"' not in first
    assert '<a id="before" href="sub-ghosted_ses-1.html"' in last
    assert "2 of 2" in last
    assert 'id="after"' not in last


def test_warnings_of_sorting_and_converter_are_told(pages: CohortFolder) -> None:
    sidecar = pages.raw(GOOD, "T1w").with_name("sub-good_ses-1_T1w.json")
    write_json(sidecar, {"Konsil": {"Warnings": ["<odd> slices"]}, "RepetitionTime": 1.9, "MagneticFieldStrength": 3})
    write_json(pages.work / "scan.json", {"cases": {str(GOOD): {"warnings": ["the contrast agent is not known."]}}})
    report(pages)
    page = text_of(pages.report(GOOD))
    sidecar.unlink()
    (pages.work / "scan.json").unlink()
    report(pages)
    assert "Converting T1w: &lt;odd&gt; slices" in page
    assert "Sorting: the contrast agent is not known." in page
    assert "3 T; TR 1900 ms" in page
    assert "Neither the sorting nor the converter warned" in text_of(pages.report(GOOD))


def test_the_cohort_shows_the_worst_first_and_links_and_hashes_every_case(pages: CohortFolder) -> None:
    page = text_of(pages.reports / "cohort.html")
    assert "2 cases: 1 pass, 1 fail; none was set aside." in page
    assert page.index('href="sub-ghosted_ses-1.html"') < page.index('href="sub-good_ses-1.html"')
    for case in (GOOD, GHOSTED):
        assert sha256_of(pages.report(case)) in page


def test_a_case_set_aside_appears_with_its_sentence(pages: CohortFolder) -> None:
    gone = Case("gone", "1")
    pages.set_aside(gone, "convert", "the T1w series has a <missing> slice.")
    report(pages)
    page = text_of(pages.reports / "cohort.html")
    pages.take_back(gone)
    assert "sub-gone_ses-1" in page
    assert "a &lt;missing&gt; slice." in page
    assert "1 was set aside" in page


def test_a_cohort_without_cases_names_the_steps_to_run(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"has no cases.*konsil scan"):
        report(SiteFolder(tmp_path).cohort("none"))


def test_templates_escape_what_they_are_given() -> None:
    page = render(
        "cohort.html.j2", mark="", cohort="<b>x</b>", sentence="<i>", rows=[], unusual=[], strips=[], aside={},
        width=1, height=1, limits=None, artifacts={},
    )  # fmt: skip
    assert "<b>x" not in page
    assert "&lt;b&gt;x" in page


def test_axial_pictures_show_the_patients_right_on_the_left_and_the_nose_at_the_top() -> None:
    data = np.zeros((10, 12, 8), np.float32)
    data[8, 10, 4] = 1  # right front
    volume = Volume(data, np.eye(4))
    box = bounding_box(np.ones(data.shape, bool), np.zeros(3))
    row, column = np.unravel_index(cut(volume, plane_at(volume, "axial", 4, box, 1.0)).argmax(), (12, 10))
    assert (row, column) == (1, 1)
    sagittal = cut(volume, plane_at(volume, "sagittal", 8, box, 1.0))
    assert np.unravel_index(sagittal.argmax(), sagittal.shape) == (3, 1)


def test_two_images_cut_by_one_plane_lie_on_each_other() -> None:
    """The same function of world space, sampled on two grids, must give the same picture."""

    def sampled(affine: np.ndarray, shape: tuple[int, int, int]) -> Volume:
        points = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
        return Volume((points @ [1.0, 2.0, 3.0]).astype(np.float32), affine)

    grid, other = sampled(np.diag([1.0, 1, 1, 1]), (10, 10, 10)), sampled(OBLIQUE, (30, 40, 40))
    box = bounding_box(np.ones((10, 10, 10), bool), np.zeros(3))
    plane = plane_at(grid, "coronal", 5, box, 0.5)
    np.testing.assert_allclose(cut(grid, plane), cut(other, plane), atol=1e-3)


def test_thick_slices_are_shown_in_true_proportion() -> None:
    volume = Volume(np.ones((10, 10, 5), np.float32), np.diag([1.0, 1, 4, 1]))
    plane = plane_at(volume, "coronal", 5, bounding_box(np.ones((10, 10, 5), bool), np.zeros(3)), 1.0)
    assert (plane.width, plane.height) == (10, 17)


def test_tiles_fill_rows_and_leave_a_gap() -> None:
    sheet = tile([np.full((2, 3), float(n)) for n in (1, 2, 3)], columns=2, gap=1)
    np.testing.assert_array_equal(sheet[:2], [[1, 1, 1, 0, 2, 2, 2]] * 2)
    np.testing.assert_array_equal(sheet[3:], [[3, 3, 3, 0, 0, 0, 0]] * 2)


def test_an_empty_mask_has_no_outline() -> None:
    assert outline_address(np.zeros((5, 5)), "#ffffff") == ""
    assert outline_address(np.ones((5, 5)), "#ffffff").startswith("data:image/png;base64,")


def test_the_fullest_slices_keep_their_distance() -> None:
    data = np.zeros((5, 5, 20))
    for index, voxels in ((3, 9), (4, 8), (10, 4), (18, 1)):
        data.reshape(25, 20)[:voxels, index] = 1
    assert fullest(Volume(data, np.eye(4)), 5.0) == [18, 10, 3]


def test_the_air_is_shown_inverted() -> None:
    window = noise_window(np.full((3, 3, 3), 100.0), np.ones((3, 3, 3), bool))
    assert (window.black, window.white) == (20.0, 0.0)


@pytest.mark.parametrize(
    ("verdicts", "aside", "sentence"),
    [
        ([], 2, "No case came through; 2 were set aside."),
        (["pass"], 0, "1 case: 1 pass; none was set aside."),
        (["warn", "fail"], 1, "2 cases: 1 warn, 1 fail; 1 was set aside."),
    ],
)
def test_the_summary_is_one_sentence(verdicts: list[str], aside: int, sentence: str) -> None:
    assert summary(verdicts, aside) == sentence


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (4.5678, "4.57"), (1771.9, "1772"), (0, "0"), (-0.0, "0")]
)
def test_numbers_have_no_powers_of_ten(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("bounds", "texts"),
    [
        ({}, ["none"]),
        ({"warn_above": 0.5}, ["warn above 0.5"]),
        ({"warn_below": 10, "fail_below": 5}, ["warn below 10", "fail below 5"]),
        (
            {"warn_below": 950, "warn_above": 2100, "fail_below": 700, "fail_above": 2400},
            ["warn outside 950 to 2100", "fail outside 700 to 2400"],
        ),
    ],
)
def test_limits_are_said_in_as_few_words_as_they_need(bounds: dict[str, float], texts: list[str]) -> None:
    assert limit_texts(bounds) == texts
