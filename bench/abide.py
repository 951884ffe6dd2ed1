"""How far measures like ours agree with people: MRIQC's measures of ABIDE against three raters.

ABIDE I: 1101 T1w of 17 sites, measured by MRIQC and rated by people (Esteban et al., PLoS ONE 2017; Scientific Data
2019). Only those of MRIQC's measures are used that we take as well. Asked is whether a rater excluded the scan (-1)
or not (0 doubtful, 1 accept). Every site is judged by a model that saw the other sites only. Three models: logistic
regression; the same with each measure standardised within its site, which needs no ratings, as a cohort's page does it;
and a random forest. AUC over all sites together, with a 95 % bootstrap interval over scans, and the mean of the sites
that have at least five of either kind. Beside it stands what one rater's opinion says about another's.

The table is public (nipreps/mriqc-learn); it is looked for in KONSIL_TEST_DATA or beside the checkout.

    python bench/abide.py --json build/bench/abide.json --docs docs/quality.md

With `--reference` it writes the percentiles that reports show beside a cohort (src/konsil/quality/reference.json): of
the scans that no rater excluded, for the measures whose definition is the same here.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from konsil.files import write_json
from konsil.quality.reference import Reference, reference_of

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("KONSIL_TEST_DATA", ROOT.parent / "shared" / "data"))
SHARED_NAMES = ("cjv", "cnr", "efc", "fber", "inu_range", "qi_1", "qi_2", "snr_gm", "snr_wm")
MEASURES = [*SHARED_NAMES, *(f"{kind}_{axis}" for kind in ("fwhm", "spacing") for axis in "xyz"), "fwhm_avg"]
SAME = ("efc", "fwhm_x", "fwhm_y", "fwhm_z", "fwhm_avg")  # see the column MRIQC in docs/quality.md
LOGARITHMIC = {"cjv", "cnr", "fber", "qi_1", "qi_2", "snr_gm", "snr_wm"}
RATERS = ("rater_1", "rater_2", "rater_3")
FEWEST = 5  # scans of either kind at a site
BEGIN, END = "<!-- abide: written by bench/abide.py -->", "<!-- abide: end -->"

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


def read_table(path: Path) -> tuple[Floats, npt.NDArray[np.str_], dict[str, Floats]]:
    """Measures (scans, len(MEASURES)), sites, and each rater's opinions (-1, 0, 1; NaN = not asked)."""
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    values = np.array([[number(row[name]) for name in MEASURES] for row in rows])
    for column, name in enumerate(MEASURES):
        if name in LOGARITHMIC:
            values[:, column] = np.log(np.maximum(values[:, column], 1e-6))
    sites = np.array([row["site"] for row in rows])
    return values, sites, {rater: np.array([number(row[rater]) for row in rows]) for rater in RATERS}


def number(text: str) -> float:
    """A cell as number; `n/a` is NaN."""
    return float("nan") if text in ("n/a", "") else float(text)


def within_sites(values: Floats, sites: npt.NDArray[np.str_]) -> Floats:
    """Each measure in robust spreads from the median of its own site."""
    result = np.empty_like(values)
    for site in np.unique(sites):
        own = values[sites == site]
        low, middle, high = np.percentile(own, [25, 50, 75], axis=0)
        result[sites == site] = np.clip((own - middle) / np.maximum(high - low, 1e-6), -8, 8)
    return result


def out_of_site(model: Any, values: Floats, excluded: Labels, sites: npt.NDArray[np.str_]) -> Floats:
    """For every scan the probability that it is excluded, by a model that saw no scan of its site."""
    given = np.empty(len(values))
    for site in np.unique(sites):
        inside = sites == site
        given[inside] = model.fit(values[~inside], excluded[~inside]).predict_proba(values[inside])[:, 1]
    return given


def agreement(excluded: Labels, given: Floats, sites: npt.NDArray[np.str_]) -> dict[str, Any]:
    """AUC over all scans with its interval, and site by site."""
    by_site = {}
    for site in np.unique(sites).tolist():
        own = sites == site
        if FEWEST <= excluded[own].sum() <= own.sum() - FEWEST:
            by_site[site] = round(float(roc_auc_score(excluded[own], given[own])), 3)
    chance = np.random.default_rng(1)
    draws = []
    for _ in range(1000):
        pick = chance.integers(len(excluded), size=len(excluded))
        draws.append(float(roc_auc_score(excluded[pick], given[pick])))
    return {
        "auc": round(float(roc_auc_score(excluded, given)), 3),
        "auc_95": [round(float(value), 3) for value in np.percentile(draws, [2.5, 97.5])],
        "auc_site_mean": round(float(np.mean(list(by_site.values()))), 3),
        "auc_by_site": by_site,
    }


def between_raters(opinions: dict[str, Floats]) -> list[dict[str, Any]]:
    """What one rater's three grades say about another's exclusions, on the scans that both saw."""
    found = []
    for judge in RATERS:
        for other in RATERS:
            both = ~np.isnan(opinions[judge]) & ~np.isnan(opinions[other])
            if judge == other or not both.any():
                continue
            truth, grade = opinions[judge][both] == -1, opinions[other][both]
            kappa = cohen_kappa_score(truth, grade == -1)
            auc = roc_auc_score(truth, -grade)
            found.append({"of": judge, "by": other, "scans": int(both.sum()), "auc": round(float(auc), 3)})
            found[-1]["kappa"] = round(float(kappa), 3)
    return found


def figures(path: Path) -> dict[str, Any]:
    """All figures: per rater the scans, and the agreement of each model; the raters among themselves."""
    values, sites, opinions = read_table(path)
    own = within_sites(values, sites)
    result: dict[str, Any] = {"measures": MEASURES, "scans": len(values), "raters": {}}
    for rater in RATERS:
        asked = ~np.isnan(opinions[rater])
        excluded = opinions[rater][asked] == -1
        line = make_pipeline(RobustScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
        forest = RandomForestClassifier(300, min_samples_leaf=5, class_weight="balanced", random_state=1)
        models = {"logistic": (line, values), "logistic within sites": (line, own), "forest": (forest, values)}
        result["raters"][rater] = {"scans": int(asked.sum()), "excluded": int(excluded.sum())} | {
            name: agreement(excluded, out_of_site(model, table[asked], excluded, sites[asked]), sites[asked])
            for name, (model, table) in models.items()
        }
    return result | {"between_raters": between_raters(opinions)}


def section(found: dict[str, Any]) -> str:
    """The section for docs/quality.md."""
    lines = [
        f"{found['scans']} T1w of ABIDE I (17 sites), {len(found['measures'])} of MRIQC's measures that we take as",
        'well, ratings by three people. Each site is judged by a model that saw the other sites only. AUC for "this',
        'person excluded the scan", 95 % interval over scans; last column: mean of the AUC within sites.',
        "",
        "| rater | scans | excluded | model | AUC (95 %) | within sites |",
        "|---|---|---|---|---|---|",
    ]
    for rater, own in found["raters"].items():
        for model in ("logistic", "logistic within sites", "forest"):
            value = own[model]
            low, high = value["auc_95"]
            counts = f"{own['scans']} | {own['excluded']}"
            auc = f"{value['auc']:.2f} ({low:.2f} to {high:.2f})"
            lines.append(f"| {rater[-1]} | {counts} | {model} | {auc} | {value['auc_site_mean']:.2f} |")
    pairs = ", ".join(
        f"{pair['by'][-1]} about {pair['of'][-1]}: {pair['auc']:.2f} (κ {pair['kappa']:.2f})"
        for pair in found["between_raters"]
    )
    lines += ["", f"What one rater's grades say about another's exclusions, as AUC: {pairs}."]
    return "\n".join(lines)


def reference(path: Path) -> Reference:
    """Percentiles of the scans that nobody excluded, in the units of our measures."""
    with path.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if not any(number(row[r]) == -1 for r in RATERS)]
    values = {f"t1w_{name}": [number(row[name]) for row in rows] for name in SAME}
    source = f"{len(rows)} T1w of 17 sites of ABIDE I that no rater excluded, measured by MRIQC (nipreps/mriqc-learn)"
    return reference_of(values, name="ABIDE", source=source)


def put(path: Path, text: str) -> None:
    """Write the section between its two marks."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=SHARED / "tables" / "mriqc_iqm" / "abide.tsv")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--reference", type=Path, help="write the percentiles for reports here")
    parser.add_argument("--docs", type=Path, help="write the section into this file, between its marks")
    chosen = parser.parse_args()
    if not chosen.table.is_file():
        parser.exit(0, "the ABIDE table is not there; set KONSIL_TEST_DATA to the public data\n")
    if chosen.reference:
        write_json(chosen.reference, reference(chosen.table).model_dump(mode="json"))
    result = figures(chosen.table)
    print(section(result))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
    if chosen.docs:
        put(chosen.docs, section(result))
