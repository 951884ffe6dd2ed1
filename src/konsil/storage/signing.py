"""The `minio` client, signing with the server's clock.

S3 servers refuse requests whose signed time is some minutes off their own, and a presigned address that is too old. A
site's clock may be an hour wrong without anybody noticing, so after a refusal the server is asked for the time and the
difference is kept: `S3Store` does that, this client only signs accordingly.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from minio import Minio
from minio.time import to_amz_date

NOTICEABLE = timedelta(seconds=30)
"""A smaller difference is left alone: the server tells its time to the second, and its answer took a while."""


class SigningClient(Minio):
    """`ahead`: how much this computer's clock is ahead of the server's."""

    ahead = timedelta()

    def server_time(self) -> datetime:
        """The time to sign with."""
        return datetime.now(UTC) - self.ahead

    def learn(self, server: datetime) -> bool:
        """Take note of the server's time; whether that changes anything noticeably."""
        ahead = datetime.now(UTC) - server
        if abs(ahead - self.ahead) < NOTICEABLE:
            return False
        self.ahead = ahead
        return True

    def _build_headers(self, *args: Any, **named: Any) -> tuple[Any, datetime]:
        """The client's own, with another date; it is signed after this (minio 7.2)."""
        headers, _ = super()._build_headers(*args, **named)
        date = self.server_time()
        headers["x-amz-date"] = to_amz_date(date)
        return headers, date
