"""The chapters: what each needs from the cluster, and where its files are."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from meshcourse.core import errors


@dataclass(frozen=True)
class Chapter:
    """One chapter, and what its first cell prepares."""

    key: str
    title: str
    namespace: str
    """Its namespace."""
    profile: str = "demo"
    """The Istio profile that it needs; empty: it installs Istio itself."""
    injected: bool = True
    """Whether its namespace has the label istio-injection=enabled from the start."""
    minutes: int = 40
    objects: tuple[str, ...] = ()
    """The objects of its exercises, as `kind/name`: lab.clean_up deletes them where the namespace itself stays."""
    more_namespaces: tuple[str, ...] = ()
    """Further namespaces that its cells make: lab.clean_up deletes those that the chapter created."""
    alone: str = ""
    """Why learners in a shared cluster cannot do it at the same time; empty: they can."""

    @property
    def number(self) -> int:
        """5 for "05-canary"."""
        return int(self.key.partition("-")[0])

    @property
    def stem(self) -> str:
        """The name of its files: `05_canary` for "05-canary"."""
        return self.key.replace("-", "_")

    def belonging_to(self, learner: str) -> Chapter:
        """The chapter in that learner's own namespace; the chapter itself without a learner."""
        return replace(self, namespace=f"{learner}-{self.namespace}") if learner else self


CHAPTERS: Final = {
    chapter.key: chapter
    for chapter in (
        Chapter("00-start", "Start here", "start", minutes=20),
        Chapter(
            "01-components",
            "What Istio is made of",
            "components",
            minutes=50,
            objects=("gateway/hello", "virtualservice/hello", "virtualservice/billing"),
            more_namespaces=("components-outside",),
            alone="its requests leave through the egress gateway and a namespace that all learners would share",
        ),
        Chapter(
            "02-install-uninstall",
            "Install and uninstall",
            "install",
            profile="",
            injected=False,
            minutes=35,
            alone="it uninstalls and installs Istio, for everybody",
        ),
        Chapter(
            "03-injection",
            "Sidecar injection",
            "injection",
            injected=False,
            minutes=35,
            objects=("deployment/legacy",),
            more_namespaces=("injection-guests", *(f"injection-trial-{name}" for name in ("plain", "enabled", "disabled", "revision"))),
            alone="its cells make namespaces whose names all learners would share",
        ),
        Chapter("04-bookinfo", "Bookinfo", "bookinfo", minutes=50, objects=("virtualservice/ratings",)),
        Chapter("05-canary", "Canary releases", "canary", minutes=60, objects=("virtualservice/shop", "virtualservice/club")),
        Chapter(
            "06-circuit-breaking",
            "Circuit breaking",
            "breaking",
            minutes=55,
            objects=tuple(f"destinationrule/{name}" for name in ("reports", "orders", "tickets")),
        ),
        Chapter(
            "07-timeouts",
            "Timeouts",
            "timeouts",
            minutes=50,
            objects=tuple(f"virtualservice/{name}" for name in ("orders", "reviews", "desk")),
        ),
        Chapter(
            "08-faults-retries",
            "Faults and retries",
            "retries",
            minutes=65,
            objects=("virtualservice/chaos", "virtualservice/patient"),
        ),
        Chapter(
            "09-beyond",
            "Beyond the guide: security, mirroring, egress",
            "beyond",
            minutes=55,
            objects=(
                "peerauthentication/billing",
                "authorizationpolicy/billing",
                "serviceentry/files",
                "virtualservice/files",
                "gateway/desk",
                "virtualservice/desk",
            ),
            more_namespaces=("beyond-outside",),
            alone="its requests leave through a namespace that all learners would share",
        ),
        Chapter(
            "10-capstone",
            "Capstone: save the release",
            "capstone",
            minutes=50,
            alone="its cells count the lines of the ingress gateway's log, which hold everybody's requests",
        ),
    )
}


def find(key: str) -> Chapter:
    """The chapter `key`, or of that number. Raises CourseError, naming those that there are, when there is none."""
    numbered = {str(each.number): each for each in CHAPTERS.values()}
    if found := CHAPTERS.get(key) or numbered.get(key):
        return found
    known = ", ".join(CHAPTERS)
    raise errors.CourseError(
        f"There is no chapter {key!r}.", why=f"the chapters are {known}", next=f'lab.chapter("{next(iter(CHAPTERS))}")'
    )


def folder(holding: str = "manifests") -> Path:
    """The course's folder that has `holding` in it: the current one, the checkout's, or the installed package's.

    A learner's own copy of the notebooks has the manifests, but not the sources. Raises CourseError when there is none.
    """
    places = (
        Path.cwd(),
        Path.cwd() / "notebooks",
        Path(__file__).resolve().parents[2] / "notebooks",
        Path(sys.prefix) / "share" / "meshcourse" / "notebooks",
    )
    for place in places:
        if (place / holding).exists():
            return place
    raise errors.CourseError(
        f"The course's {holding} are not here.",
        why=f"there is no `{holding}` in {', '.join(map(str, places))}",
        next="open the notebook from the course's notebooks folder: meshcourse lab",
    )
