"""What `konsil init` makes for docker-compose.yaml: keys, passwords and certificates, into one folder.

    <folder>/stack.env                 variables of the compose file, for docker-compose --env-file
    <folder>/<place>/place.json        keys of its Airflow, the passwords of its people and of its database
    <folder>/<place>/database          the database's password alone, for PostgreSQL
    <folder>/<place>/tls/              certificate and key of its UI: replace them by the hospital's own
    <folder>/store/                    users of the store, one key file per user, policies; at a centre
    <folder>/pacs/                     password of the user `konsil` at the trial's Orthanc, and its settings; at a site
    <folder>/authority/                the authority that signed all certificates

The folder is for its owner alone (mode 700). The files in it can be read by anybody, because a container's user, who is
not root and not the owner either, must be able to read those that are mounted into it. Nothing that is there is written
over: a second `make` adds the places and sites that are new, and a certificate that was taken away.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from pathlib import Path

from konsil.files import as_bytes, read_json, write_bytes, write_json
from konsil.stack.accounts import roles
from konsil.stack.places import CENTRE, Place
from konsil.stack.wishes import PORTS, WORKER, Wish, standing, united
from konsil.storage.policies import user_policy
from konsil.trust.authority import Authority
from konsil.trust.roster import GLOBAL, bucket_of
from konsil.types import Json

READABLE = 0o444
PACS_SLOT, PACS_USER = "a", "konsil"
ORTHANC = {
    "Name": "Konsil trial",
    "StorageDirectory": "/var/lib/orthanc/db",
    "IndexDirectory": "/var/lib/orthanc/db",
    "Plugins": ["/usr/share/orthanc/plugins", "/usr/local/share/orthanc/plugins"],
    "RemoteAccessAllowed": True,
    "AuthenticationEnabled": True,
    "DicomServerEnabled": False,
    "ExecuteLuaEnabled": False,
    "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
}
"""Orthanc's settings but for its users (Orthanc book, *Configuration*). C-STORE asks for no password, so it is off."""


def make(wish: Wish, folder: Path) -> dict[str, dict[str, str]]:
    """Write what is not there yet; gives the passwords of the new places by place and account, which are shown once.

    Raises `BadInput`, before anything is written, for what `konsil.stack.wishes` refuses: another stack's or a strange
    folder, and what the compose file has no services for.
    """
    whole = united(wish, standing(folder))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = Authority(folder)
    logins = {}
    for slot, name in whole.places.items():
        if new := make_place(folder / slot, name, f"https://{whole.host}:{PORTS[slot]}"):
            logins[name] = new
        certify(authority, whole.host, folder / slot / "tls")
    if CENTRE in whole.places:
        make_store(folder / "store", whole.sites)
        certify(authority, whole.store, folder / "store" / "tls")
        unless_there(folder / "ca.pem", authority.pem.encode())
    if PACS_SLOT in whole.places:
        make_pacs(folder / "pacs")
    write_environment(folder / "stack.env", environment(whole, folder))
    return logins


def make_place(folder: Path, name: str, address: str) -> dict[str, str]:
    """The secrets of one Airflow; gives the passwords of its accounts, none where the place was there."""
    if (folder / "place.json").exists():
        unless_there(folder / "database", read_json(folder / "place.json")["database_password"].encode())
        return {}
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
    """Users of the store: the centre sees all buckets, a site its own and, read-only, `global`.

    Who is there keeps the key; the list is written last, and a key whose user is missing in it gets one.
    """
    path = folder / "users.json"
    there: Json = read_json(path)["users"] if path.exists() else {}
    users = dict(there)
    for name in (CENTRE, *sites):
        key = CENTRE if name == CENTRE else bucket_of(name)
        buckets = None if name == CENTRE else {key: "rw", GLOBAL: "ro"}
        users.setdefault(key, {"secret": secrets.token_urlsafe(30), "buckets": buckets})
        if key not in there:  # a key without its user opens nothing yet, so it is no loss
            write_bytes(folder / f"{key}.key", users[key]["secret"].encode(), mode=READABLE)
        if name != CENTRE and not (folder / f"{key}.policy.json").exists():
            write_json(folder / f"{key}.policy.json", user_policy(key), mode=READABLE)
    if users != there:
        write_json(path, {"users": users}, mode=READABLE)
    if users != there or not (folder / "seaweedfs.json").exists():
        write_json(folder / "seaweedfs.json", seaweedfs(users), mode=READABLE)


def seaweedfs(users: Json) -> Json:
    """The same users as SeaweedFS reads them (its wiki, *S3 Configuration*): a name for each bucket and deed."""
    deeds = {"rw": ("Read", "Write", "List", "Tagging"), "ro": ("Read", "List")}
    everything = ["Admin", *deeds["rw"]]
    identities = []
    for key, user in users.items():
        bound = [
            f"{deed}:{bucket}" for bucket, right in sorted((user["buckets"] or {}).items()) for deed in deeds[right]
        ]
        credentials = [{"accessKey": key, "secretKey": user["secret"]}]
        actions = everything if user["buckets"] is None else bound
        identities.append({"name": key, "credentials": credentials, "actions": actions})
    return {"identities": identities}


def make_pacs(folder: Path) -> None:
    """The trial's Orthanc knows one user with a password of its own, which is also handed to the site's scheduler."""
    unless_there(folder / "password", secrets.token_urlsafe(24).encode())
    users = {PACS_USER: (folder / "password").read_text(encoding="utf-8").strip()}
    unless_there(folder / "orthanc.json", as_bytes(ORTHANC | {"RegisteredUsers": users}))


def certify(authority: Authority, host: str, folder: Path) -> None:
    """A certificate for `host`, readable by the proxy's user; one that is there may be the hospital's own and stays."""
    if (folder / "server.crt").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    authority.certify(host, folder)
    for name in ("server.crt", "server.key"):
        (folder / name).chmod(READABLE)


def unless_there(path: Path, content: bytes) -> None:
    """Write a file of the containers unless it is there."""
    if not path.exists():
        write_bytes(path, content, mode=READABLE)


def environment(wish: Wish, folder: Path) -> dict[str, str]:
    """The variables of the compose file; none of them is secret."""
    made = {"COMPOSE_PROJECT_NAME": "konsil", "KONSIL_STACK": str(folder.resolve()), "KONSIL_STORE_NAME": wish.store}
    return made | ({WORKER: wish.worker} if wish.worker else {})


def write_environment(path: Path, variables: dict[str, str]) -> None:
    """Add the variables that are not set; what the operator wrote stays as it is."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    there = {line.partition("=")[0].strip() for line in text.splitlines()}
    lines = "".join(f"{name}={value}\n" for name, value in variables.items() if name not in there)
    if lines:
        write_bytes(path, f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{lines}".encode())
