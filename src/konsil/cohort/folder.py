"""Where everything of a site lies.

One home per site; under it the inbox (DICOM as it came), one BIDS folder per cohort, the work between the two, and
what a training keeps. Rooms that do not know each other meet through these names, so the names are given out here and
nowhere else. Raw BIDS holds what the scanner made; `derivatives/konsil` holds what was computed from it. Asking for a
path makes no file.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from konsil.cohort.cases import Case
from konsil.errors import BadInput
from konsil.files import read_json, write_json

COHORT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
SUFFIXES = ("T1w", "FLAIR")


@dataclass(frozen=True)
class SetAside:
    """Why a case goes no further: the step that refused it, and the sentence it gave."""

    step: str
    reason: str


@dataclass(frozen=True)
class SiteFolder:
    """The home of one hospital (or of the centre)."""

    home: Path

    @property
    def inbox(self) -> Path:
        """DICOM as it came; the only place where patients have names."""
        return self.home / "inbox"

    @property
    def runs(self) -> Path:
        """What trainings keep between rounds; never leaves the site."""
        return self.home / "runs"

    @property
    def keys(self) -> Path:
        """Secrets of this site, mode 600."""
        return self.home / "keys"

    @property
    def nnunet_raw(self) -> Path:
        """nnU-Net's own folder for images (`nnUNet_raw`)."""
        return self.home / "nnUNet_raw"

    @property
    def nnunet_preprocessed(self) -> Path:
        """nnU-Net's own folder for resampled crops and plans (`nnUNet_preprocessed`)."""
        return self.home / "nnUNet_preprocessed"

    @property
    def nnunet_results(self) -> Path:
        """nnU-Net's own folder for trained models (`nnUNet_results`)."""
        return self.home / "nnUNet_results"

    def cohort(self, name: str) -> CohortFolder:
        """The folder of one cohort; it need not exist yet. Raises `BadInput` for a name that is no safe folder name."""
        check_cohort_name(name)
        return CohortFolder(self, name)

    def locate(self, text: str) -> CohortFolder:
        """A cohort as a person names it: by its name, or by the path of its folder `<home>/cohorts/<name>`."""
        path = Path(text)
        if path.parent.name == "cohorts":
            return SiteFolder(path.absolute().parent.parent).cohort(path.name)
        return self.cohort(text)


@dataclass(frozen=True)
class CohortFolder:
    """The files of one cohort: raw BIDS, derivatives, and the work between inbox and BIDS."""

    site: SiteFolder
    name: str

    @property
    def path(self) -> Path:
        """The BIDS folder."""
        return self.site.home / "cohorts" / self.name

    @property
    def work(self) -> Path:
        """Between inbox and BIDS: scan.json, de-identified DICOM, cases set aside."""
        return self.site.home / "work" / self.name

    @property
    def derivatives(self) -> Path:
        """Everything computed from the raw images."""
        return self.path / "derivatives" / "konsil"

    @property
    def reports(self) -> Path:
        """One page per case and one for the cohort."""
        return self.derivatives / "reports"

    @property
    def frozen(self) -> Path:
        """The frozen version; once there, it never changes."""
        return self.path / "cohort.json"

    def cases(self) -> list[Case]:
        """Cases with a raw T1w or FLAIR that are not set aside, sorted."""
        found = set()
        for suffix in SUFFIXES:
            for file in self.path.glob(f"sub-*/ses-*/anat/sub-*_ses-*_{suffix}.nii.gz"):
                found.add(Case.parse(file.name.removesuffix(f"_{suffix}.nii.gz")))
        gone = self.set_aside_cases()
        return sorted(case for case in found if str(case) not in gone)

    def raw(self, case: Case, suffix: str) -> Path:
        """The converted image as the scanner's grid has it; `suffix` is T1w or FLAIR."""
        return self._anat(self.path, case, f"_{suffix}.nii.gz")

    def oriented(self, case: Case, suffix: str) -> Path:
        """The raw image with its axes in RAS+ order (closest canonical), nothing resampled."""
        return self._derived(case, f"_desc-oriented_{suffix}.nii.gz")

    def brain_mask(self, case: Case, suffix: str) -> Path:
        """uint8 mask of the brain on the oriented grid of `suffix`."""
        return self._derived(case, f"_space-{suffix}_desc-brain_mask.nii.gz")

    def registered(self, case: Case) -> Path:
        """T1w on the oriented FLAIR grid."""
        return self._derived(case, "_space-FLAIR_desc-registered_T1w.nii.gz")

    def brain(self, case: Case, suffix: str) -> Path:
        """T1w or FLAIR on the oriented FLAIR grid, 0 outside the brain with a margin."""
        return self._derived(case, f"_space-FLAIR_desc-brain_{suffix}.nii.gz")

    def channels(self, case: Case) -> dict[str, Path]:
        """What a learner can ask for, all on the oriented FLAIR grid: the whole head, or the brain alone."""
        heads = {"T1w": self.registered(case), "FLAIR": self.oriented(case, "FLAIR")}
        return heads | {f"{suffix}Brain": self.brain(case, suffix) for suffix in SUFFIXES}

    def transform(self, case: Case) -> Path:
        """ITK text transform that maps points of FLAIR to points of T1w, LPS mm."""
        return self._derived(case, "_from-T1w_to-FLAIR_mode-image_xfm.txt")

    def lesions(self, case: Case) -> Path:
        """uint8 lesion mask on the oriented FLAIR grid; absent if nobody drew one."""
        return self._derived(case, "_space-FLAIR_label-L_mask.nii.gz")

    def qc(self, case: Case) -> Path:
        """Measures and verdict of the case."""
        return self._derived(case, "_qc.json")

    def report(self, case: Case) -> Path:
        """The page of the case."""
        return self.reports / f"{case}.html"

    def set_aside(self, case: Case, step: str, reason: str) -> None:
        """Take a case out of all later steps, with the sentence that says why."""
        write_json(self._aside(case), asdict(SetAside(step, reason)))

    def take_back(self, case: Case) -> None:
        """Undo `set_aside`: the step that refused the case has accepted it now."""
        self._aside(case).unlink(missing_ok=True)

    def set_aside_cases(self) -> dict[str, SetAside]:
        """Every case that was set aside, by name, sorted."""
        files = sorted((self.work / "set_aside").glob("sub-*.json"))
        return {file.stem: read_set_aside(file) for file in files}

    def _aside(self, case: Case) -> Path:
        return self.work / "set_aside" / f"{case}.json"

    def _derived(self, case: Case, ending: str) -> Path:
        return self._anat(self.derivatives, case, ending)

    @staticmethod
    def _anat(base: Path, case: Case, ending: str) -> Path:
        return base / f"sub-{case.subject}" / f"ses-{case.session}" / "anat" / f"{case}{ending}"


def read_set_aside(file: Path) -> SetAside:
    """Why one case was set aside; `BadInput` for a file that was changed."""
    content = read_json(file)
    if content.keys() != {"step", "reason"} or not all(isinstance(value, str) for value in content.values()):
        raise BadInput(
            f"set_aside/{file.name} was changed",
            expected="a step and a reason",
            hint="Remove the file and run the step that refused the case again",
        )
    return SetAside(**content)


def check_cohort_name(name: str) -> None:
    """Raise `BadInput` unless `name` is a folder name that every file system and bucket accepts."""
    if not COHORT_NAME.fullmatch(name):
        raise BadInput(
            "this cannot be the name of a cohort",
            expected="2 to 41 lower-case letters, digits and hyphens, beginning with a letter or digit",
            got=repr(name[:60]),
            hint="Choose a name such as ms-2024",
        )
