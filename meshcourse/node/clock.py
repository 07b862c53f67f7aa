"""The wall clock as Kubernetes writes it."""

from __future__ import annotations

import datetime as dt


def now() -> str:
    """Give the present second, as statuses show it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """Give the present moment with microseconds, as a Lease wants it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
