"""Who the patient is said to be: invented identifiers, planted where real files hold them.

None of these people exists. Every value is written into the DICOM files on purpose and listed in the truth file, so
that a test can search whatever leaves the inbox for each of them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import numpy as np

from konsil.phantom.profile import Site

FAMILY_NAMES = (
    "Abendroth Bianchi Çelik Dvořáková Eriksen Fontaine González Hüttner Iwaszkiewicz Jørgensen Kowalska "
    "Lindqvist Müllenhoff Nowakowa Oberhänsli Pellegrini Quispe Rautenberg Szymborska Tachikawa Uhlenbeck "
    "Vandermeulen Wójcik Xanthopoulou Yamaguchi Zimmerli"
)  # separated by spaces
GIVEN_NAMES = (
    "Aurelia Bartholomäus Chiara Désirée Eleftheria Friedrich Giuseppina Heinrike Ingeborg Joaquín Klementine "
    "Ludovica Maximilian Niccolò Ottoline Philippine Radoslaw Sebastiano Theodora Ursulina Valentina "
    "Wilhelmina Xaver Yolanda Zbigniew"
)  # separated by spaces
STREETS = "Ahornweg Birkenallee Via_Garibaldi Rue_des_Tanneurs Quellenstrasse Piazza_Castello Holunderpfad"
FIRST_BIRTHDAY, FIRST_STUDY = date(1948, 1, 1), date(2021, 1, 4)
BIRTH_SPAN_DAYS, STUDY_SPAN_DAYS = 50 * 365, 3 * 365


@dataclass(frozen=True)
class Identity:
    """Invented identifiers of one patient and visit, named by the DICOM keyword that holds them."""

    PatientName: str
    PatientID: str
    PatientBirthDate: str
    PatientSex: str
    StudyDate: str
    AccessionNumber: str
    PatientAddress: str
    people: tuple[str, str]  # referring physician, operator


def invent(rng: np.random.Generator, number: int) -> Identity:
    """Draw the identity of patient `number`; the number keeps the IDs of one hospital apart."""
    families, givens = FAMILY_NAMES.split(), GIVEN_NAMES.split()
    family, given = rng.choice(families), rng.choice(givens)
    study = FIRST_STUDY + timedelta(days=int(rng.integers(STUDY_SPAN_DAYS)))
    birth = FIRST_BIRTHDAY + timedelta(days=int(rng.integers(BIRTH_SPAN_DAYS)))
    street = rng.choice(STREETS.split()).replace("_", " ")
    people = [f"{rng.choice(families)}^{rng.choice(givens)}^^Dr." for _ in range(2)]
    return Identity(
        PatientName=f"{family}^{given}",
        PatientID=f"{rng.integers(1000, 9999)}{number:04d}{rng.integers(10, 99)}",
        PatientBirthDate=f"{birth:%Y%m%d}",
        PatientSex=str(rng.choice(["F", "M"], p=[0.7, 0.3])),
        StudyDate=f"{study:%Y%m%d}",
        AccessionNumber=f"ACC{rng.integers(10**7, 10**8)}",
        PatientAddress=f"{street} {rng.integers(1, 180)}, {rng.integers(10000, 99999)}",
        people=(people[0], people[1]),
    )


def folder_name(identity: Identity) -> str:
    """The folder of the patient as a careless export names it: name and ID, in ASCII."""
    plain = unicodedata.normalize("NFKD", identity.PatientName.replace("^", "_")).encode("ascii", "ignore").decode()
    return f"{plain.upper()}_{identity.PatientID}"


def age_years(identity: Identity) -> int:
    """Age at the visit in whole years."""
    return (int(identity.StudyDate) - int(identity.PatientBirthDate)) // 10000


def comment(identity: Identity) -> str:
    """What somebody typed at the console."""
    family, given = identity.PatientName.split("^")
    return f"{given} {family} called twice, born {identity.PatientBirthDate}, please send report home"


def planted(identity: Identity, site: Site) -> dict[str, str]:
    """Every planted value that must not leave the inbox, by the keyword or place where it was put."""
    values = {k: v for k, v in asdict(identity).items() if k not in ("people", "PatientSex")}
    values |= {
        "InstitutionName": site.institution,
        "ReferringPhysicianName": identity.people[0],
        "OperatorsName": identity.people[1],
        "ImageComments": comment(identity),
        "PrivateTag": f"{identity.PatientName} {identity.PatientID}",
        "FolderName": folder_name(identity),
    }
    family, given = identity.PatientName.split("^")
    return values | {"FamilyName": family, "GivenName": given}
