"""Contrast is told from physics. Each row is a protocol in use somewhere (vendor manuals and public protocol files)."""

from __future__ import annotations

import math

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from konsil.dicom.contrast import classify, nulling_ms

GR, SE, IR, EP = "GR", "SE", "IR", "EP"
PROTOCOLS = [
    ("T1w", "Siemens MPRAGE", {"s": [GR, IR], "tr": 2300, "te": 2.98, "ti": 900, "fa": 9}),
    ("T1w", "Philips T1-TFE without TI", {"s": [GR], "tr": 8.1, "te": 3.7, "fa": 8, "v": ["MP"]}),
    ("T1w", "GE BRAVO", {"s": [GR], "tr": 7.9, "te": 3.1, "ti": 450, "fa": 12, "v": ["SS", "SP", "SK"]}),
    ("T1w", "GE SPGR", {"s": [GR], "tr": 20, "te": 5, "fa": 25, "v": ["SS", "SP"]}),
    ("T1w", "FLASH 2D", {"s": [GR], "tr": 250, "te": 2.5, "fa": 70, "v": ["SP"]}),
    ("T1w", "spin echo", {"s": [SE], "tr": 500, "te": 9.5, "fa": 75}),
    ("T1w", "SPACE T1", {"s": [SE], "tr": 700, "te": 11, "fa": 120}),
    ("T1w", "GE T1 FLAIR", {"s": [SE, IR], "tr": 2200, "te": 24, "ti": 860}),
    ("FLAIR", "Siemens SPACE", {"s": [SE, IR], "tr": 5000, "te": 387, "ti": 1800}),
    ("FLAIR", "Philips VISTA", {"s": [SE, IR], "tr": 4800, "te": 340, "ti": 1650}),
    ("FLAIR", "GE CUBE", {"s": [SE, IR], "tr": 6300, "te": 120, "ti": 1800}),
    ("FLAIR", "2D turbo", {"s": [SE, IR], "tr": 10000, "te": 90, "ti": 2600}),
    ("FLAIR", "Hyperfine", {"s": [SE, IR], "tr": 4000, "te": 194, "ti": 1400}),
    ("FLAIR", "inversion time not noted", {"s": [SE, IR], "tr": 9000, "te": 120}),
    ("T2w", "turbo spin echo", {"s": [SE], "tr": 4000, "te": 92}),
    ("T2w", "SPACE T2", {"s": [SE], "tr": 3200, "te": 409}),
    ("PDw", "turbo spin echo", {"s": [SE], "tr": 3000, "te": 12}),
    ("STIR", "fat nulled", {"s": [SE, IR], "tr": 4000, "te": 60, "ti": 150}),
    ("T2*w", "susceptibility", {"s": [GR], "tr": 28, "te": 20, "fa": 15}),
    ("other", "balanced gradient echo", {"s": [GR], "tr": 5.5, "te": 2.5, "fa": 50, "v": ["SS"]}),
    ("other", "proton-density gradient echo", {"s": [GR], "tr": 25, "te": 3, "fa": 3, "v": ["SP"]}),
    ("other", "echo-planar FLAIR", {"s": [EP, SE, IR], "tr": 9000, "te": 90, "ti": 2500}),
    ("other", "time of flight", {"s": [GR], "tr": 22, "te": 3.6, "fa": 18, "v": ["SP"], "AngioFlag": "Y"}),
    ("other", "diffusion", {"s": [SE], "tr": 700, "te": 30, "DiffusionBValue": 1000.0}),
    ("not told", "no times", {"s": [SE]}),
    ("other", "MP2RAGE, first inversion", {"s": [GR, IR], "tr": 5000, "te": 2.98, "ti": 700, "fa": 4}),
    ("other", "MP2RAGE, second inversion", {"s": [GR, IR], "tr": 5000, "te": 2.98, "ti": 2500, "fa": 5}),
    (
        "T1w",
        "MP2RAGE, uniform",
        {"s": [GR, IR], "tr": 5000, "te": 2.98, "fa": 4, "ImageType": ["DERIVED", "PRIMARY", "M", "ND", "UNI"]},
    ),
    ("FLAIR", "2D at 0.5 T", {"s": [SE, IR], "tr": 6000, "te": 110, "ti": 2000}),
    ("FLAIR", "Siemens 2D, long", {"s": [SE, IR], "tr": 9000, "te": 81, "ti": 2500}),
    ("FLAIR", "propeller", {"s": [SE, IR], "tr": 10000, "te": 120, "ti": 2200}),
    ("T2w after another inversion", "Siemens DIR", {"s": [SE, IR], "tr": 7500, "te": 308, "ti": 3000}),
    ("T2w after another inversion", "Philips DIR", {"s": [SE, IR], "tr": 5500, "te": 252, "ti": 2550}),
    ("T2w after another inversion", "fat and half of water", {"s": [SE, IR], "tr": 6000, "te": 80, "ti": 700}),
    ("other", "fat of a Dixon", {"s": [GR], "tr": 6, "te": 2.4, "fa": 12, "ImageType": ["ORIGINAL", "PRIMARY", "F"]}),
    ("other", "called perfusion", {"s": [GR], "tr": 600, "te": 3, "fa": 30, "AcquisitionContrast": "PERFUSION"}),
    ("T1w", "contrast named by habit", {"s": [SE], "tr": 500, "te": 9.5, "AcquisitionContrast": "T2"}),
    (
        "mosaic",
        "Siemens mosaic",
        {"s": [EP], "tr": 3000, "te": 30, "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]},
    ),
    (
        "localiser",
        "three planes",
        {"s": [GR], "tr": 8.6, "te": 4, "fa": 20, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    ),
    ("T1w post-contrast", "agent named", {"s": [SE], "tr": 500, "te": 9.5, "ContrastBolusAgent": "10ml multihance"}),
    ("T1w", "agent named NONE", {"s": [SE], "tr": 500, "te": 9.5, "ContrastBolusAgent": "NONE"}),
    ("T1w post-contrast", "volume noted", {"s": [SE], "tr": 500, "te": 9.5, "ContrastBolusVolume": 7.5}),
    ("other", "computed tomography", {"s": [SE], "tr": 500, "te": 9.5, "Modality": "CT"}),
    (
        "annotated picture",
        "saved from a screen",
        {"s": [SE], "tr": 500, "te": 9.5, "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
    ),
    ("annotated picture", "captured from film", {"s": [SE], "tr": 500, "te": 9.5, "ConversionType": "DF"}),
    ("annotated picture", "text burned in", {"s": [SE], "tr": 500, "te": 9.5, "BurnedInAnnotation": "YES"}),
    ("secondary capture", "screenshot", {"s": [SE], "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}),
]


def header(
    s: list[str],
    tr: float | None = None,
    te: float | None = None,
    ti: float | None = None,
    fa: float | None = None,
    v: list[str] | None = None,
    **tags: object,
) -> Dataset:
    """A header whose name lies about what it is, since names must not decide."""
    made = Dataset()
    made.Modality, made.SOPClassUID, made.SeriesDescription = "MR", MRImageStorage, "FLAIR T1 T2 post"
    numbers = {"RepetitionTime": tr, "EchoTime": te, "InversionTime": ti, "FlipAngle": fa}
    for keyword, value in {"ScanningSequence": s, "SequenceVariant": v, **numbers, **tags}.items():
        if value is not None:
            setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(("expected", "protocol", "tags"), PROTOCOLS, ids=[f"{row[0]}: {row[1]}" for row in PROTOCOLS])
def test_a_protocol_is_recognised(expected: str, protocol: str, tags: dict[str, object]) -> None:
    contrast = classify(header(**tags))  # type: ignore[arg-type]
    assert contrast.name == expected, contrast.why


def test_the_reason_names_the_values() -> None:
    why = classify(header([SE, IR], tr=10000, te=90, ti=2600)).why
    assert "SE IR, TR 10000, TE 90, TI 2600 ms" in why


def test_a_broken_number_counts_as_absent() -> None:
    made = header([SE], tr=500)
    made.add_new(0x00180081, "LO", "soon")
    assert "no echo or repetition time" in classify(made).why


@pytest.mark.parametrize(("tr_ms", "ti_ms"), [(4300, 1634), (8600, 2435), (1e6, 2981)])
def test_water_is_nulled_at_the_time_of_the_formula(tr_ms: float, ti_ms: float) -> None:
    assert nulling_ms(tr_ms) == pytest.approx(ti_ms, abs=1)
    recovered = 1 - 2 * math.exp(-nulling_ms(tr_ms) / 4300) + math.exp(-tr_ms / 4300)
    assert recovered == pytest.approx(0, abs=1e-9)
