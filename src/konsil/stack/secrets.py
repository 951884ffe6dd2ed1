"""What `konsil init` makes for docker-compose.yaml: keys, passwords and certificates, once, into one folder.

    <folder>/stack.env                 variables of the compose file, for docker-compose --env-file
    <folder>/<place>/place.json        keys of its Airflow, the passwords of its people and of its database
    <folder>/<place>/database          the database's password alone, for PostgreSQL
    <folder>/<place>/tls/              certificate and key of its UI: replace them by the hospital's own
    <folder>/store/                    users of the store, one key file per user, policies; at a centre
    <folder>/authority/                the authority that signed all certificates

The folder is for its owner alone (mode 700). The files in it can be read by anybody, because a container's user, who is
not root and not the owner either, must be able to read those that are mounted into it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from konsil.errors import BadInput
from konsil.files import write_bytes, write_json
from konsil.stack.accounts import roles
from konsil.stack.places import CENTRE, Place, check_names
from konsil.storage.policies import user_policy
from konsil.trust.authority import Authority
from konsil.trust.roster import GLOBAL, bucket_of
from konsil.types import Json

READABLE = 0o444
SLOTS = (CENTRE, "a", "b", "c")
PORTS = {CENTRE: 8443, "a": 8444, "b": 8445, "c": 8446}
STORE_PORT = 9443
STORE_NAME = "store.konsil.internal"


@dataclass(frozen=True)
class Wish:
    """What is to be set up: a centre with its sites, one site, or both for a trial.

    `host` is the name under which people reach this machine, `sites` the sites' names (of the profile `site`: one).
    """

    profile: str
    host: str
    sites: tuple[str, ...]

    @property
    def places(self) -> dict[str, str]:
        """Slot of the compose file → name of the place."""
        sites = {} if self.profile == CENTRE else dict(zip(SLOTS[1:], self.sites, strict=False))
        return sites if self.profile == "site" else {CENTRE: CENTRE, **sites}

    @property
    def store(self) -> str:
        """Name of the store as the sites reach it: in a trial it is known to the containers only."""
        return self.host if self.profile == CENTRE else STORE_NAME


def make(wish: Wish, folder: Path) -> dict[str, dict[str, str]]:
    """Write everything; gives the passwords by place and account, which are shown once.

    Raises `BadInput` when the folder holds anything: keys that are in use must not be lost.
    """
    check(wish)
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(
            "the folder is not empty, and keys that may be in use are not written over", expected="a new folder",
            got=str(folder), hint="Name another one with --dir; --env-file chooses between them",
        )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = Authority(folder)
    logins = {}
    for slot, name in wish.places.items():
        logins[name] = make_place(folder / slot, name, f"https://{wish.host}:{PORTS[slot]}")
        certify(authority, wish.host, folder / slot / "tls")
    if CENTRE in wish.places:
        make_store(folder / "store", wish.sites)
        certify(authority, wish.store, folder / "store" / "tls")
        write_bytes(folder / "ca.pem", authority.pem.encode(), mode=READABLE)
    write_bytes(folder / "stack.env", environment(wish, folder).encode())
    return logins


def check(wish: Wish) -> None:
    """Refuse what the compose file has no services for."""
    check_names(wish.sites)
    if wish.profile not in (CENTRE, "site", "all-in-one"):
        raise BadInput("there is no such profile", expected="centre, site or all-in-one", got=wish.profile)
    most = {CENTRE: 100, "site": 1, "all-in-one": len(SLOTS) - 1}[wish.profile]
    if not 1 <= len(wish.sites) <= most:
        raise BadInput("the number of sites does not fit", expected=f"1 to {most}", got=str(len(wish.sites)))


def make_place(folder: Path, name: str, address: str) -> dict[str, str]:
    """The secrets of one Airflow; gives the passwords of its accounts."""
    place = Place(name, 0, folder)
    passwords = {account: secrets.token_urlsafe(15) for account in roles(place)}
    given: Json = {
        "name": name,
        "address": address,
        "prefix": place.prefix,
        "passwords": passwords,
        "database_password": secrets.token_urlsafe(24),
        "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "secret_key": secrets.token_urlsafe(48),
        "jwt_secret": secrets.token_urlsafe(64),
    }
    write_json(folder / "place.json", given, mode=READABLE)
    write_bytes(folder / "database", given["database_password"].encode(), mode=READABLE)
    return passwords


def make_store(folder: Path, sites: Sequence[str]) -> None:
    """Users of the store: the centre sees all buckets, a site its own and, read-only, `global`."""
    users: Json = {}
    for name in (CENTRE, *sites):
        key = CENTRE if name == CENTRE else bucket_of(name)
        secret = secrets.token_urlsafe(30)
        users[key] = {"secret": secret, "buckets": None if name == CENTRE else {key: "rw", GLOBAL: "ro"}}
        write_bytes(folder / f"{key}.key", secret.encode(), mode=READABLE)
        if name != CENTRE:
            write_json(folder / f"{key}.policy.json", user_policy(key), mode=READABLE)
    write_json(folder / "users.json", {"users": users}, mode=READABLE)


def certify(authority: Authority, host: str, folder: Path) -> None:
    """A certificate for `host`, readable by the proxy's user."""
    folder.mkdir(parents=True)
    authority.certify(host, folder)
    for name in ("server.crt", "server.key"):
        (folder / name).chmod(READABLE)


def environment(wish: Wish, folder: Path) -> str:
    """The variables of the compose file; none of them is secret."""
    lines = {"COMPOSE_PROJECT_NAME": "konsil", "KONSIL_STACK": str(folder.resolve()), "KONSIL_STORE_NAME": wish.store}
    return "".join(f"{name}={value}\n" for name, value in lines.items())
