"""The page of a cohort: one sentence, the cases worst first, what is unusual among them, and who was set aside.

The table can be sorted and walked through with the keyboard; every mark on a strip leads to its case. The page names
the SHA-256 of each case's page.
"""

from __future__ import annotations

from dataclasses import dataclass

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.files import sha256_of
from konsil.quality.company import ORDER, Entry, keys, name_of, read_company
from konsil.quality.facts import number_text
from konsil.quality.pages import THUMBNAIL, digest, is_written, part_of, render, seen_of, write_page
from konsil.quality.reference import Reference
from konsil.quality.strips import HEIGHT, WIDTH, make_strip
from konsil.quality.vocabulary import ARTIFACTS

MORE_THAN_ONE = 2


@dataclass(frozen=True)
class Row:
    """One case in the table, with its page (file name and hashes; empty without one)."""

    entry: Entry
    page: str
    page_sha256: str
    seen: str
    thumbnail: str

    @property
    def order(self) -> int:
        """Place of the verdict, the worst first."""
        return ORDER[self.entry.verdict]


def write_cohort_page(cohort: CohortFolder, reference: Reference) -> None:
    """Write `cohort.html` from the cases' files; the same files and reference give the same bytes."""
    company = read_company(cohort)
    rows = [read_row(cohort, entry) for entry in company]
    aside = cohort.set_aside_cases()
    inputs = {"pages": [[row.entry.case, row.page_sha256, row.entry.verdict] for row in rows]}
    inputs["aside"] = [[name, entry.step, entry.reason] for name, entry in aside.items()]
    inputs["reference"] = [[reference.model_dump_json()]]
    path, mark = cohort.reports / "cohort.html", digest(inputs)
    if is_written(path, mark):
        return
    strips = [strip for key in keys(company) if (strip := make_strip(key, company, reference))]
    page = render(
        "cohort.html.j2",
        mark=mark,
        cohort=cohort.name,
        sentence=summary([entry.verdict for entry in company], len(aside)),
        rows=rows,
        unusual=unusual(company),
        strips=[strip for strip in strips if len(strip.dots) >= MORE_THAN_ONE],
        reference=f"{reference.name}: {reference.source}",
        aside=aside,
        width=WIDTH,
        height=HEIGHT,
        limits=next((entry.limits for entry in company if entry.limits), None),
        artifacts=ARTIFACTS,
    )
    write_page(path, page)


def read_row(cohort: CohortFolder, entry: Entry) -> Row:
    """The row of a case; one without a page is shown without a link."""
    page = cohort.report(Case.parse(entry.case))
    if not page.is_file():
        return Row(entry, "", "", "", "")
    thumbnail = part_of(page.read_text(encoding="utf-8"), THUMBNAIL)
    return Row(entry, page.name, sha256_of(page), seen_of(page), thumbnail)


def summary(verdicts: list[str], aside: int) -> str:
    """`24 cases: 20 pass, 3 warn, 1 fail. 2 were set aside.`"""
    if not verdicts:
        return f"No case came through; {aside} {'was' if aside == 1 else 'were'} set aside."
    words = {"pass": "pass", "warn": "warn", "fail": "fail", "none": "not measured"}
    found = ", ".join(f"{verdicts.count(verdict)} {word}" for verdict, word in words.items() if verdict in verdicts)
    rest = "none was set aside" if aside == 0 else f"{aside} {'was' if aside == 1 else 'were'} set aside"
    return f"{len(verdicts)} {'case' if len(verdicts) == 1 else 'cases'}: {found}; {rest}."


def unusual(company: list[Entry]) -> list[tuple[str, str]]:
    """(case, sentence) for every value far from the rest of this cohort, in the order of the cases."""
    found = []
    for entry in company:
        for key in sorted(entry.far, key=lambda key: (-entry.far[key], key)):
            line = entry.measures[key]
            words = f"{name_of(line)} is {number_text(line['value'])}, unlike the others here"
            found.append((entry.case, words))
    return found
