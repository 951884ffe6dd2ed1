"""What one site may do at an S3 server, as policy documents: for stores that are not the embedded server.

A site opens its own bucket and reads `global`, nothing else. Two ways to say so, by what the server knows:

- **user policies** (AWS IAM, MinIO and its fork Silo, SeaweedFS): one document per site's user grants all it has.
- **bucket policies** (Ceph radosgw and others): the centre's user owns all buckets and sets one document on each. A
  user of Ceph may make buckets of its own unless it was created with `--max-buckets=-1`.

The language is that of AWS ("Version" 2012-10-17), of which only what all of them have is used: no conditions.
"""

from __future__ import annotations

from collections.abc import Mapping

from konsil.types import Json

READ_BUCKET = ["s3:GetBucketLocation", "s3:ListBucket"]
READ_OBJECT = ["s3:GetObject"]
WRITE_OBJECT = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
EVERYBODY_READS = "global"


def user_policy(bucket: str) -> Json:
    """The policy of the user of one site: its `bucket`, and `global` for reading."""
    return _document(
        _allow("OwnBucket", READ_BUCKET, [_arn(bucket)]),
        _allow("OwnObjects", READ_OBJECT + WRITE_OBJECT, [_arn(bucket, "*")]),
        _allow("GlobalBucket", READ_BUCKET, [_arn(EVERYBODY_READS)]),
        _allow("GlobalObjects", READ_OBJECT, [_arn(EVERYBODY_READS, "*")]),
    )


def bucket_policies(users: Mapping[str, str], centre: str) -> dict[str, Json]:
    """The policy of every bucket, by bucket; `users`: a site's bucket → the ARN of its user; `centre`: the centre's.

    The centre owns the buckets, but what a site has put there belongs to the site: so the centre is named, too.
    """
    policies = {EVERYBODY_READS: _document(*_readers(EVERYBODY_READS, sorted(users.values())))}
    for bucket, user in users.items():
        both = _allow("Objects", READ_OBJECT + WRITE_OBJECT, [_arn(bucket, "*")], [user, centre])
        policies[bucket] = _document(_allow("Bucket", READ_BUCKET, [_arn(bucket)], [user, centre]), both)
    return policies


def _readers(bucket: str, users: list[str]) -> list[Json]:
    if not users:
        return []
    objects = _allow("Objects", READ_OBJECT, [_arn(bucket, "*")], users)
    return [_allow("Bucket", READ_BUCKET, [_arn(bucket)], users), objects]


def _document(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(name: str, actions: list[str], resources: list[str], users: list[str] | None = None) -> Json:
    principal: Json = {} if users is None else {"Principal": {"AWS": users}}
    return {"Sid": name, "Effect": "Allow", **principal, "Action": sorted(actions), "Resource": resources}


def _arn(bucket: str, key: str = "") -> str:
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
