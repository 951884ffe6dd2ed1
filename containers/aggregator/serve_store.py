"""Serve konsil's embedded S3 server where the stack has a MinIO: same port, same secret, no console.

The secret `store-users` (made by `konsil init`) names every access key, its secret and its buckets, in the format of
`konsil.storage.users`. A site's key sees its own bucket and, read-only, `global`; the centre's sees all. The server
speaks http, inside the centre's network only: the proxy before it speaks TLS.
"""

from __future__ import annotations

from pathlib import Path

from konsil.files import read_json, write_json
from konsil.storage.server import StoreServer

FOLDER = Path("/data/store")
USERS = Path("/run/secrets/store-users")


def main() -> None:
    """Take over the users as they are today, make their buckets, and become the server."""
    users = read_json(USERS)
    buckets = {name for user in users["users"].values() for name in user["buckets"] or ()}
    for bucket in sorted(buckets | {"global"}):
        (FOLDER / "data" / bucket).mkdir(parents=True, exist_ok=True)
    write_json(FOLDER / "users.json", users, mode=0o600)
    StoreServer(FOLDER, "http://127.0.0.1:9000", listen=":9000").become()


if __name__ == "__main__":
    main()
