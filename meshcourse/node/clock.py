"""The wall clock as Kubernetes writes it."""

from __future__ import annotations

import datetime as dt


def now() -> str:
    """The present time in seconds, as in statuses."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """The present time with microseconds, as in a Lease."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
