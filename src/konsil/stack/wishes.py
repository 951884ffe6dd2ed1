"""What a container stack is to hold, and what the folder of `konsil init` holds already.

A second `konsil init` adds what is new and keeps what is there, so the two are united before anything is written. The
folder is its own record: a place is there with its `place.json`, a site of a centre's store with its key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from konsil.errors import BadInput
from konsil.files import read_json
from konsil.stack.places import CENTRE, check_names
from konsil.trust.roster import bucket_of

SLOTS = (CENTRE, "a", "b", "c")
PORTS = {CENTRE: 8443, "a": 8444, "b": 8445, "c": 8446}
STORE_NAME = "store.konsil.internal"
MOST = {CENTRE: 100, "site": 1, "all-in-one": len(SLOTS) - 1}
LOCAL = "localhost"
WORKER = "KONSIL_WORKER_IMAGE"
PINNED = re.compile(r"([a-z0-9][\w.:/-]*@)?sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Wish:
    """What is to be set up: a centre with its sites, one site, or both for a trial.

    `host` is the name under which people reach this machine (empty: the one it has, else localhost), `sites` the sites'
    names (of the profile `site`: one), `worker` the image that does the work, by digest (empty: by tag).
    """

    profile: str
    host: str
    sites: tuple[str, ...]
    worker: str = ""

    @property
    def places(self) -> dict[str, str]:
        """Slot of the compose file → name of the place."""
        sites = {} if self.profile == CENTRE else dict(zip(SLOTS[1:], self.sites, strict=False))
        return sites if self.profile == "site" else {CENTRE: CENTRE, **sites}

    @property
    def profiles(self) -> tuple[str, ...]:
        """Profiles of the compose file that start it: a trial with fewer sites than slots names its parts."""
        if self.profile != "all-in-one" or len(self.sites) == MOST[self.profile]:
            return (self.profile,)
        return (CENTRE, "site", *(f"site-{slot}" for slot in SLOTS[2 : len(self.sites) + 1]))

    @property
    def store(self) -> str:
        """Name of the store as the sites reach it: in a trial it is known to the containers only."""
        return self.host if self.profile == CENTRE else STORE_NAME


def standing(folder: Path) -> Wish | None:
    """What a folder holds; None where it is not there or empty.

    Raises `BadInput` where it holds something that `konsil init` did not make.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not (folder / "authority" / "authority.pem").is_file():
        raise BadInput(
            "the folder is not one of konsil init and not empty, and nothing is written over", expected="a new folder",
            got=str(folder), hint="Name another one with --dir; --env-file chooses between them",
        )  # fmt: skip
    slots = [slot for slot in SLOTS if (folder / slot / "place.json").exists()]
    made = {slot: read_json(folder / slot / "place.json") for slot in slots}
    sites = [str(given["name"]) for slot, given in made.items() if slot != CENTRE]
    if [slot for slot in slots if slot != CENTRE] != list(SLOTS[1 : len(sites) + 1]):
        raise BadInput("a place before another one is gone", expected="a, then b, then c", got=", ".join(slots))
    host = [str(given["address"]).removeprefix("https://").rpartition(":")[0] for given in made.values()]
    if CENTRE in made and not sites:
        return Wish(CENTRE, host[0], tuple(sites_of(folder / "store" / "users.json")), worker_of(folder))
    profile = "all-in-one" if CENTRE in made else "site" if made else ""
    return Wish(profile, host[0] if host else "", tuple(sites), worker_of(folder))


def worker_of(folder: Path) -> str:
    """The image that `stack.env` names for the work; empty where it names none."""
    return variable_of(folder, WORKER)


def variable_of(folder: Path, name: str) -> str:
    """A variable of `stack.env`, as the last line that sets it has it; empty where none does."""
    env = folder / "stack.env"
    lines = env.read_text(encoding="utf-8").splitlines() if env.is_file() else []
    named = [line.partition("=")[2].strip() for line in lines if line.startswith(f"{name}=")]
    return named[-1] if named else ""


def sites_of(users: Path) -> list[str]:
    """Names of the sites that a centre's store knows, in small letters, as its buckets have them."""
    known = read_json(users)["users"] if users.exists() else {}
    return [key.removeprefix(bucket_of("")) for key in known if key != CENTRE]


def united(wish: Wish, there: Wish | None) -> Wish:
    """What the folder is to hold: all that is there, as it is, and what the wish adds.

    Raises `BadInput` where the compose file has no services for it, or where it says otherwise than what is there.
    """
    there = there or Wish("", "", ())
    same(wish.profile, there.profile, "profile")
    same(wish.host, there.host, "host")
    same(wish.worker, there.worker, "worker image")
    known = {name.lower() for name in there.sites}
    new = [name for name in wish.sites if name.lower() not in known]
    check(Wish(wish.profile, LOCAL, wish.sites, wish.worker))
    whole = Wish(wish.profile, there.host or wish.host or LOCAL, (*there.sites, *new), there.worker or wish.worker)
    check(Wish(whole.profile, whole.host, whole.sites))
    return whole


def same(asked: str, there: str, what: str) -> None:
    """Refuse to turn a stack into another one."""
    if asked and there and asked != there:
        raise BadInput(
            f"the folder holds a stack of another {what}, and what is there is not changed", expected=there, got=asked,
            hint="Name a new folder with --dir; an image is changed in stack.env",
        )  # fmt: skip


def check(wish: Wish) -> None:
    """Refuse what the compose file has no services for."""
    check_names(wish.sites)
    if wish.profile not in MOST:
        raise BadInput("there is no such profile", expected="centre, site or all-in-one", got=wish.profile)
    if wish.worker and not PINNED.fullmatch(wish.worker):
        raise BadInput(
            "the image of the worker is not pinned", expected="name@sha256:… or an ID, sha256:…",
            got=wish.worker, hint="docker image inspect --format '{{.Id}}' konsil/worker",
        )  # fmt: skip
    if not 1 <= len(wish.sites) <= MOST[wish.profile]:
        raise BadInput(
            "the number of sites does not fit", expected=f"1 to {MOST[wish.profile]}", got=str(len(wish.sites))
        )
