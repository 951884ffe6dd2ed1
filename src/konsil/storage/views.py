"""What the embedded S3 server asks for every access key: its secret, and the buckets it is shown.

rclone runs this file (`--auth-proxy`) in the server's folder with {"user": key} on stdin and expects the settings of
a backend on stdout; whatever is not in the answer does not exist for that key. A site gets a `combine` of its own
bucket and of `published:`, a read-only union that rclone.conf defines over the bucket `global`; the centre gets the
whole data folder. It is started for every new key, so it uses the standard library only and runs with `python -I -S`.
"""

import json
import sys
from pathlib import Path


def view(users: dict, user: str) -> dict:  # type: ignore[type-arg]
    """The backend of one access key; empty = refused. Bucket names need no quoting: a-z, 0-9 and '-'."""
    found = users.get(user)
    if found is None:
        return {}
    secret = {"_root": "", "_secret_access_key": found["secret"]}
    if found["buckets"] is None:
        return {"type": "local", **secret, "_root": "data"}
    places = {"rw": "data/{}", "ro": "published:"}
    upstreams = [f"{bucket}={places[mode].format(bucket)}" for bucket, mode in found["buckets"].items()]
    return {"type": "combine", "upstreams": " ".join(upstreams), **secret}


if __name__ == "__main__":
    known = json.loads(Path("users.json").read_text(encoding="utf-8"))["users"]
    json.dump(view(known, json.load(sys.stdin)["user"]), sys.stdout)
