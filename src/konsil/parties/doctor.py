"""What is wrong at this place, and what to do: one sentence per thing that has to work.

A check changes nothing and says nothing of patients and keys. `good`: works. `warning`: works, but not for long or not
well. `bad`: something that this place needs does not work; the command ends with exit code 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

from konsil.cohort.folder import SiteFolder
from konsil.errors import Fault, KonsilError
from konsil.federation.enrolment_site import is_accepted
from konsil.federation.mailbox import open_store
from konsil.provenance import versions
from konsil.trust.audit import Audit
from konsil.trust.identity import Identity
from konsil.trust.membership import is_centre, membership
from konsil.trust.roster import GLOBAL, bucket_of
from konsil.types import Json

LEAST_GB, SCARCE_GB = 2.0, 20.0
"""A round of nnU-Net writes some hundred MB; a cohort of 50 patients takes about 10 GB."""
ASTRAY_S, WRONG_S = 60.0, 300.0
"""S3 servers refuse requests that are 15 minutes off (AWS Signature Version 4); deadlines suffer before."""
NEEDED = ("numpy", "SimpleITK", "pydicom", "nibabel")


@dataclass(frozen=True)
class Check:
    """One thing that has to work."""

    name: str
    state: Literal["good", "warning", "bad"]
    sentence: str
    advice: str = ""

    def as_json(self) -> Json:
        """For `--json`."""
        return asdict(self)


def examine(home: Path) -> Iterator[Check]:
    """Every check in turn; one that cannot be made is bad, and the next one is made all the same."""
    checks: dict[str, Callable[[Path], Check]] = {
        "home": check_home,
        "keys": check_keys,
        "store": check_store,
        "clock": check_clock,
        "audit": check_audit,
        "disk": check_disk,
        "gpu": check_gpu,
        "nnunet": check_nnunet,
        "versions": check_versions,
        "dcm2niix": check_dcm2niix,
    }
    for name, check in checks.items():
        try:
            yield check(home)
        except KonsilError as error:
            expected = "; ".join(part for part in (error.what, error.got) if part)
            yield Check(name, "bad", f"{expected}.", error.hint)
        except Exception as error:  # noqa: BLE001 - a doctor who faints helps nobody
            yield Check(name, "bad", Fault.of(error).sentence)


def check_home(home: Path) -> Check:
    """Somebody lives here, and files can be written."""
    who = "the centre" if is_centre(home) else f"the site {membership(home).me}"
    if not os.access(home, os.W_OK | os.X_OK):
        return Check(
            "home", "bad", f"This home of {who} cannot be written to.", "Give this user the folder KONSIL_HOME"
        )
    return Check("home", "good", f"This is the home of {who}.")


def check_keys(home: Path) -> Check:
    """The keys are there, nobody else can read them, and at a site the centre knows them."""
    spoken = Identity.load(home).public.fingerprint
    if not is_centre(home) and not is_accepted(home):
        return Check(
            "keys", "bad", f"The centre does not know this site's keys ({spoken}).",
            "Wait for the centre, or ask it: konsil central sites there shows why",
        )  # fmt: skip
    return Check("keys", "good", f"The keys are there; their fingerprint is {spoken}.")


def check_store(home: Path) -> Check:
    """Both buckets answer: the own one, and the centre's."""
    store, party = open_store(home), membership(home)
    for bucket in dict.fromkeys((bucket_of(party.me), GLOBAL)):
        next(iter(store.list(bucket, "")), None)
    return Check("store", "good", "The store answers, and lets this place see what it has to.")


def check_clock(home: Path) -> Check:
    """This computer's clock agrees with the store's."""
    off = abs((datetime.now(UTC) - open_store(home).now()).total_seconds())
    told, advice = f"This computer's clock and the store's differ by {off:.0f} s.", "Switch on network time (NTP)"
    if off > ASTRAY_S:
        return Check("clock", "bad" if off > WRONG_S else "warning", told, advice)
    return Check("clock", "good", told)


def check_audit(home: Path) -> Check:
    """The audit log is a chain."""
    number = Audit(home / "audit.jsonl").verify()
    return Check("audit", "good", f"The audit log is whole: {number} entries.")


def check_disk(home: Path) -> Check:
    """There is room for a cohort and a run."""
    free = shutil.disk_usage(home).free / 1e9
    told, advice = (
        f"{free:.1f} GB are free where the home lies.",
        "Free some space, or use a larger disk",
    )
    if free < SCARCE_GB:
        return Check("disk", "bad" if free < LEAST_GB else "warning", told, advice)
    return Check("disk", "good", told)


def check_gpu(home: Path) -> Check:
    """A graphics card, where this place trains."""
    if is_centre(home):
        return Check("gpu", "good", "The centre needs no graphics card.")
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("gpu", "warning", "There is no NVIDIA graphics card.", "nnU-Net at full size takes days without")
    query = [program, "--query-gpu=name,memory.free", "--format=csv,noheader"]
    ran = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    if ran.returncode != 0 or not ran.stdout.strip():
        return Check("gpu", "bad", "The graphics card does not answer.", "Run nvidia-smi and follow what it says")
    return Check("gpu", "good", f"Graphics card: {'; '.join(ran.stdout.split(chr(10))).strip('; ')} free.")


def check_nnunet(home: Path) -> Check:
    """nnU-Net is installed, and its folders can be made."""
    if "nnunetv2" not in versions():
        state: Literal["warning", "bad"] = "warning" if is_centre(home) else "bad"
        return Check("nnunet", state, "nnU-Net is not installed.", "Run: pip install 'konsil[nnunet]'")
    site = SiteFolder(home)
    closed = [
        folder.name
        for folder in (site.nnunet_raw, site.nnunet_preprocessed, site.nnunet_results)
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK)
    ]
    if closed:
        told = f"nnU-Net's folder {', '.join(closed)} cannot be written to."
        return Check("nnunet", "bad", told, "Give this user the folders nnUNet_* below KONSIL_HOME")
    return Check("nnunet", "good", f"nnU-Net {versions()['nnunetv2']} is installed; its folders can be written to.")


def check_versions(home: Path) -> Check:
    """The packages that every step needs."""
    found = versions()
    lacking = [name for name in NEEDED if name not in found]
    if lacking:
        told = f"Not installed: {', '.join(lacking)}."
        return Check("versions", "bad", told, "Run: pip install 'konsil[imaging]'")
    return Check("versions", "good", ", ".join(f"{name} {version}" for name, version in found.items()) + ".")


def check_dcm2niix(home: Path) -> Check:
    """The converter runs; the centre needs none."""
    if is_centre(home):
        return Check("dcm2niix", "good", "The centre converts no images.")
    try:
        import dcm2niix  # type: ignore[import-untyped]  # the wheel publishes no types

        ran = subprocess.run([dcm2niix.bin, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (ImportError, OSError):
        return Check("dcm2niix", "bad", "dcm2niix cannot be run.", "Run: pip install --force-reinstall dcm2niix")
    words = ran.stdout.strip().splitlines()
    return Check("dcm2niix", "good", f"dcm2niix {words[-1] if words else metadata.version('dcm2niix')} runs.")
