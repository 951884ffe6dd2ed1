"""Fits the artifact score: one logistic model per image, its calibration, and the figures that say how good it is.

Nothing is judged on a patient that it was fitted on: patients are cut into five folds, scores are those of the model
that did not see the patient's fold, and the calibration (Platt 1999: a line through the log-odds) is likewise that of
the other folds. A second judgement leaves out a whole site. Both classes weigh the same. Weights are held at 0 or more,
so that a trace can only raise the probability, never excuse another one, and only on the side to which artifacts push
it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.metrics import brier_score_loss, roc_auc_score

from konsil.provenance import versions
from konsil.quality.artifact_score import derived, hinges, matrix, scaled

Rows = list[dict[str, Any]]
Floats = npt.NDArray[np.float64]

# Scale; which side of clean images an artifact pushes it to; and the least spread it is given. Phantoms are more alike
# than patients: the least spreads are of the size by which a few clean public images differ from them.
SCALES: dict[str, tuple[str, str, float]] = {
    "snr_parenchyma": ("log", "down", 0.2),
    "spike_score": ("linear", "up", 0.1),
    "gradient_entropy": ("linear", "up", 0.004),
    "fwhm_avg": ("log", "up down", 0.2),
    "air_structure": ("log", "up", 0.05),
    "qi_1": ("linear", "up", 0.005),
    "qi_2": ("linear", "up", 0.005),
    "gsr_strongest": ("linear", "up", 0.005),
    "streak_strongest": ("linear", "up", 0.005),
    "line_jitter": ("log", "up", 0.2),
    "detail": ("linear", "down", 0.2),
    "shadow_ratio": ("log", "up", 0.05),
    "face_excess": ("linear", "up", 0.05),
    "hole_ml": ("linear", "up", 2.0),
    "bright_share": ("linear", "up", 0.003),
    "shading": ("log", "up", 0.2),
    "edge_strength": ("log", "down", 0.05),
    "air_level": ("log", "up", 0.3),
}
# Severity from which a planted artifact counts as one, by eye; milder ones are only looked at in the curve.
VISIBLE = {
    "motion": 0.15,
    "ghosting": 0.2,
    "spike": 0.4,
    "aliasing": 0.3,
    "noise": 0.7,
    "blur": 0.6,
    "bias": 0.7,
    "void": 0.4,
}
FOLDS = 5
FIRST_FINE_SEED = 95_000  # of patients at 1 mm
PENALTY = 0.02  # on the squared weights, per row
SPECIFICITY = 0.95
STEPS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.3, 2.51)  # borders of the curve over severity


def fit_models(rows: Rows) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of artifact_score.json, and the figures for its card."""
    models, figures = {}, {}
    for suffix in ("T1w", "FLAIR"):
        own = [{**row, "features": derived(row["features"])} for row in rows if row["suffix"] == suffix]
        models[suffix], figures[suffix] = fit_and_judge(own)
    seeds = sorted({row["seed"] for row in rows})
    fine = sum(seed >= FIRST_FINE_SEED for seed in seeds)
    training = {
        "patients": len(seeds),
        "fine": fine,
        "seeds": [seeds[0], seeds[-1]],
        "images": len(rows),
        "visible_from": VISIBLE,
    }
    return {
        "format": "konsil-artifact-score/1",
        "models": models,
        "training": training,
        "software": versions(),
    }, figures


def fit_and_judge(rows: Rows) -> tuple[dict[str, Any], dict[str, Any]]:
    """One image's model, fitted on all its rows, and what is known of it from rows it was not fitted on."""
    seeds = np.array([row["seed"] for row in rows])
    folds = np.array([sorted(set(seeds)).index(seed) % FOLDS for seed in seeds])
    scores = held_out(rows, folds)
    fair = np.concatenate([scores[folds == fold] for fold in range(FOLDS)])
    order = np.concatenate([np.flatnonzero(folds == fold) for fold in range(FOLDS)])
    probabilities = np.empty(len(rows))
    for fold in range(FOLDS):
        line = calibrate(scores[folds != fold], [row for row, f in zip(rows, folds, strict=True) if f != fold])
        probabilities[folds == fold] = sigmoid(line["slope"] * scores[folds == fold] + line["offset"])
    model = fit(rows)
    model["calibration"] = calibrate(fair, [rows[index] for index in order])
    figures = judge(rows, probabilities)
    figures["auc_without_site"] = without_site(rows)
    model["checks"] = checks(rows, model)
    return model, figures


def held_out(rows: Rows, folds: npt.NDArray[np.intp]) -> Floats:
    """Scores (log-odds) of every row by the model of the other folds."""
    scores = np.empty(len(rows))
    for fold in sorted(set(folds.tolist())):
        model = fit([row for row, own in zip(rows, folds, strict=True) if own != fold])
        inside = np.flatnonzero(folds == fold)
        scores[inside] = score(model, [rows[index] for index in inside])
    return scores


def score(model: dict[str, Any], rows: Rows) -> Floats:
    """Log-odds before calibration."""
    values = hinges(matrix([row["features"] for row in rows], model), model)
    result: Floats = values @ np.array(model["weights"]) + model["intercept"]
    return result


def fit(rows: Rows) -> dict[str, Any]:
    """Scale of clean images, and weights of a logistic regression with weights of 0 or more."""
    model = scale_of([row["features"] for row in rows if row["fault"] == "clean"])
    used = [row for row in rows if label(row) is not None]
    values = hinges(matrix([row["features"] for row in used], model), model)
    truth = np.array([label(row) for row in used], dtype=np.float64)
    weight = balance(truth)

    def loss(beta: Floats) -> tuple[float, Floats]:
        odds = values @ beta[1:] + beta[0]
        cost = float((weight * (np.logaddexp(0, odds) - truth * odds)).sum() + PENALTY * (beta[1:] ** 2).sum())
        slope = weight * (sigmoid(odds) - truth)
        return cost, np.concatenate([[slope.sum()], values.T @ slope + 2 * PENALTY * beta[1:]])

    free = [side in sides for side in ("up", "down") for _, sides, _ in SCALES.values()]
    bounds = [(None, None)] + [(0.0, None if one else 0.0) for one in free]
    found = minimize(loss, np.zeros(values.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B")
    weights = [round(float(value), 5) for value in found.x[1:]]
    return {**model, "weights": weights, "intercept": round(float(found.x[0]), 5)}


def scale_of(clean: list[dict[str, float | None]]) -> dict[str, Any]:
    """Median and spread (from the 10th to the 90th percentile, as of a normal distribution) of clean images."""
    medians, spreads = [], []
    for name, (kind, _, least) in SCALES.items():
        values = [value for row in clean if (value := scaled(row.get(name), kind)) is not None]
        low, middle, high = np.percentile(values, [10, 50, 90])
        medians.append(round(float(middle), 5))
        spreads.append(round(max(float(high - low) / 2.563, least), 5))
    kinds = [kind for kind, _, _ in SCALES.values()]
    return {"features": list(SCALES), "scales": kinds, "medians": medians, "spreads": spreads}


def visible_from(fault: str) -> float:
    """The severity from which this artifact counts; those of TorchIO as ours of the same kind."""
    return VISIBLE[fault.removeprefix("torchio ")]


def label(row: dict[str, Any]) -> float | None:
    """1 = artifact, 0 = clean, None = too mild to ask a model for."""
    if row["fault"] == "clean":
        return 0.0
    return 1.0 if row["severity"] >= visible_from(row["fault"]) else None


def balance(truth: Floats) -> Floats:
    """Weights that give both classes half of 1."""
    share: Floats = np.where(truth == 1, 0.5 / max(truth.sum(), 1), 0.5 / max((1 - truth).sum(), 1))
    return share


def sigmoid(odds: Floats) -> Floats:
    """Probability of log-odds."""
    result: Floats = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    return result


def calibrate(scores: Floats, rows: Rows) -> dict[str, float]:
    """Slope and offset of the line through the log-odds, each class weighing the same; targets smoothed as by Platt."""
    labels = [label(row) for row in rows]
    kept = np.array([value is not None for value in labels])
    truth = np.array([value for value in labels if value is not None], dtype=np.float64)
    positive, negative = truth.sum(), (1 - truth).sum()
    target = np.where(truth == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    weight, values = balance(truth), scores[kept]

    def loss(beta: Floats) -> float:
        odds = beta[0] * values + beta[1]
        return float((weight * (np.logaddexp(0, odds) - target * odds)).sum())

    found = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead")
    return {"slope": round(float(found.x[0]), 5), "offset": round(float(found.x[1]), 5)}


def judge(rows: Rows, probabilities: Floats) -> dict[str, Any]:
    """AUC, Brier score, reliability, and sensitivity per artifact at a specificity of 0.95."""
    labels = [label(row) for row in rows]
    kept = np.array([value is not None for value in labels])
    truth = np.array([value for value in labels if value is not None], dtype=np.float64)
    given = probabilities[kept]
    clean = np.sort(given[truth == 0])
    limit = float(np.quantile(clean, SPECIFICITY, method="higher"))
    faults = sorted({row["fault"] for row in rows} - {"clean"})
    return {
        "clean": int((1 - truth).sum()),
        "spoiled": int(truth.sum()),
        "auc": round(float(roc_auc_score(truth, given)), 4),
        "auc_95": interval(lambda pick: float(roc_auc_score(truth[pick], given[pick])), truth),
        "brier": round(float(brier_score_loss(truth, given, sample_weight=balance(truth))), 4),
        "limit": round(limit, 4),
        "specificity": round(float((clean <= limit).mean()), 4),
        "reliability": reliability(truth, given),
        "sensitivity": {fault: caught(rows, probabilities, fault, limit, visible_from(fault)) for fault in faults},
        "curve": {
            f"{low:g} to {high:g}": caught(rows, probabilities, None, limit, low, high) for low, high in pairwise(STEPS)
        },
    }


def caught(
    rows: Rows, probabilities: Floats, fault: str | None, limit: float, low: float, high: float = np.inf
) -> list[int]:
    """[how many exceed the limit, how many there are] of one artifact (None = all) and a range of severities."""
    chosen = [
        probability > limit
        for row, probability in zip(rows, probabilities, strict=True)
        if row["fault"] != "clean" and fault in (None, row["fault"]) and low <= row["severity"] < high
    ]
    return [int(sum(chosen)), len(chosen)]


def interval(statistic: Callable[[npt.NDArray[np.intp]], float], truth: Floats, draws: int = 500) -> list[float]:
    """95 % bootstrap interval, rows drawn within each class."""
    chance = np.random.default_rng(1)
    parts = [np.flatnonzero(truth == value) for value in (0, 1)]
    values = [statistic(np.concatenate([chance.choice(part, part.size) for part in parts])) for _ in range(draws)]
    return [round(float(value), 4) for value in np.percentile(values, [2.5, 97.5])]


def reliability(truth: Floats, given: Floats) -> list[dict[str, float]]:
    """What share of images holds an artifact where the score says so much, with equal weight of both classes."""
    weight, table = balance(truth), []
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 0.9), (0.9, 1.01)):
        inside = (given >= low) & (given < high)
        if inside.any():
            share = float((weight * truth)[inside].sum() / weight[inside].sum())
            said = float(np.average(given[inside], weights=weight[inside]))
            table.append({"images": int(inside.sum()), "said": round(said, 3), "true": round(share, 3)})
    return table


def without_site(rows: Rows) -> dict[str, float]:
    """AUC at each site of a model that saw the other two sites only."""
    sites = sorted({row["site"] for row in rows})
    result = {}
    for site in sites:
        model = fit([row for row in rows if row["site"] != site])
        own = [row for row in rows if row["site"] == site and label(row) is not None]
        truth = [label(row) for row in own]
        result[site] = round(float(roc_auc_score(truth, score(model, own))), 4)
    return result


def checks(rows: Rows, model: dict[str, Any]) -> list[dict[str, Any]]:
    """Six rows, least to most suspicious, with the probability that the finished model gives them; tests read them."""
    order = np.argsort(score(model, rows), kind="stable")
    chosen = [rows[index] for index in order[np.linspace(0, len(rows) - 1, 6).astype(int)]]
    line = model["calibration"]
    given = sigmoid(line["slope"] * score(model, chosen) + line["offset"])
    kept = [{name: row["features"].get(name) for name in SCALES} for row in chosen]
    rounded = [{name: None if v is None else round(v, 6) for name, v in row.items()} for row in kept]
    return [
        {"fault": row["fault"], "severity": row["severity"], "features": features, "probability": round(float(p), 4)}
        for row, features, p in zip(chosen, rounded, given, strict=True)
    ]
