"""How older Istio versions differ in what the lessons show, in one table. Pure.

The lessons' text is for Istio 1.31; on an older version lab.chapter first prints the lines of this table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Difference:
    """Before `since` Istio behaved as `before` says, from then on as `after`; `chapters` are the numbers of the chapters that show it."""

    name: str
    since: tuple[int, int]
    before: str
    after: str
    chapters: tuple[int, ...]


# Sources: istio.io's change notes of 1.14 (load balancing), 1.22 (APIs), 1.24 (retries, istioctl) and 1.27 (istioctl).
DIFFERENCES: Final = (
    Difference(
        "load balancing",
        (1, 14),
        "requests go to a service's pods in turn (ROUND_ROBIN) where no DestinationRule says otherwise",
        "of two pods chosen at random the one with fewer open requests gets it (LEAST_REQUEST)",
        (5, 6),
    ),
    Difference(
        "API version",
        (1, 22),
        "Istio's kinds are v1beta1; lab.apply translates, and for kubectl: sed -i 's#istio.io/v1$#istio.io/v1beta1#' manifests/*/*.yaml",
        "Istio's kinds are v1",
        tuple(range(11)),
    ),
    Difference(
        "503 retried by default",
        (1, 24),
        "an answer of 503 is retried twice by default, so fewer of them reach the caller than the text says",
        "an answer of 503 is retried only when `retryOn` asks for it",
        (6, 8, 10),
    ),
    Difference(
        "profiles",
        (1, 24),
        "`istioctl profile dump demo` shows a profile, too",
        "`istioctl manifest generate --set profile=demo` is the way to look into a profile",
        (2,),
    ),
    Difference(
        "proxy-status columns",
        (1, 27),
        "`istioctl proxy-status` has a column for each type (CDS, LDS, EDS, RDS), each SYNCED, STALE or NOT SENT",
        "`istioctl proxy-status` counts the types in one column, SUBSCRIBED TYPES",
        (1,),
    ),
)


def number(version: str) -> tuple[int, int]:
    """(1, 18) for 1.18.2, v1.18 and 1.18-alpha.1; for other text, such as a tag `latest`, the newest version that the lessons know."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (1, 31)


def older(version: str, difference: Difference) -> bool:
    """Whether `version` behaves as `before` says."""
    return number(version) < difference.since


def notes(version: str, chapter: int) -> tuple[str, ...]:
    """What differs from the chapter's text, one line each; none on the version of the text."""
    return tuple(
        f"Istio {version}: {each.before} ({'.'.join(map(str, each.since))} and newer: {each.after})"
        for each in DIFFERENCES
        if chapter in each.chapters and older(version, each)
    )
