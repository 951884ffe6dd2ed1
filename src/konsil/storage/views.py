"""What the embedded S3 server asks for every access key: its secret, and the buckets it is shown.

rclone runs this file (`--auth-proxy`) in the server's folder with {"user": key} on stdin and expects the settings of
a backend on stdout; whatever is not in the answer does not exist for that key. A site gets a `combine` of its own
bucket and of a read-only union over the bucket `global`, both through the link `grants/<key>`; the centre gets the
whole data folder. rclone keeps an answer for as long as the key is in use, so that taking the key out of users.json
is not enough: without the link, everything behind it is gone at once (konsil.storage.users). This file is started
for every new key, so it uses the standard library only and runs with `python -I -S`.
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
    places = {"rw": "grants/{key}/{bucket}", "ro": ":union,upstreams='./grants/{key}/{bucket}:ro ./nothing:ro':"}
    shown = {bucket: places[mode].format(key=user, bucket=bucket) for bucket, mode in found["buckets"].items()}
    upstreams = " ".join(f'"{bucket}={place}"' for bucket, place in shown.items())  # quoted: there are spaces inside
    return {"type": "combine", "upstreams": upstreams, **secret}


if __name__ == "__main__":
    known = json.loads(Path("users.json").read_text(encoding="utf-8"))["users"]
    json.dump(view(known, json.load(sys.stdin)["user"]), sys.stdout)
