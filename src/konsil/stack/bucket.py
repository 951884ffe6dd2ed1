"""The S3 server of a stack and the trust between its places, made by the same verbs that people use.

The centre makes its keys and one bucket per site, invites each site, and each site joins with its pass. What exists is
left alone, so that a second `up` is quick and an interrupted one continues.
"""

from __future__ import annotations

from konsil.stack.health import Say
from konsil.stack.places import Plan

NAME = "bucket"


def start_bucket(plan: Plan, *, say: Say) -> None:
    """Start the S3 server unless it runs; return when it answers."""


def make_trust(plan: Plan, *, say: Say) -> None:
    """Keys, buckets, passes: whatever is missing of them."""
