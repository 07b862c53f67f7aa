"""Which Kubernetes goes with which Istio, and the node image of each Kubernetes that the kind backend offers.

Pure. Sources: istio.io's table of supported releases (data/compatibility/supportStatus.yml; its rows for 1.23 to 1.29 as endoflife.date
takes them from it, products/istio.md), Istio's announcement of 1.30.0, and the release notes of kind v0.22.0, v0.25.0 and v0.33.0 for the
images and their digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshcourse.core import settings
from meshcourse.core.errors import ClusterError


@dataclass(frozen=True)
class Pair:
    """Kubernetes by its minor version, Istio by its full one. `note` is a remark on the pair, or empty."""

    kubernetes: str
    istio: str
    note: str = ""

    @property
    def options(self) -> str:
        """What to type for it."""
        return f"--k8s {self.kubernetes} --istio-version {self.istio}"


PRESETS: Final = (
    Pair("1.36", settings.ISTIO),
    Pair("1.28", "1.18.2", "the guide's newer track; Istio's own table ends at Kubernetes 1.27 for 1.18"),
    Pair("1.23", "1.13.1"),
)
"""Today's pair, and the two tracks of the guide that this course is based on."""

IMAGES: Final = {
    "1.36": "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
    "1.28": "kindest/node:v1.28.15@sha256:a7c05c7ae043a0b8c818f5a06188bc2c4098f6cb59ca7d1856df00375d839251",
    "1.23": "kindest/node:v1.23.17@sha256:14d0a9a892b943866d7e6be119a06871291c517d279aedb816a4b4bc0ec0a5b3",
}

SUPPORTED: Final = {
    "1.31": range(32, 38),
    "1.30": range(32, 37),
    "1.29": range(31, 36),
    "1.28": range(30, 35),
    "1.27": range(29, 34),
    "1.26": range(29, 34),
    "1.25": range(29, 33),
    "1.24": range(28, 32),
    "1.23": range(27, 31),
    "1.22": range(27, 31),
    "1.21": range(26, 30),
    "1.20": range(25, 30),
    "1.19": range(25, 29),
    "1.18": range(24, 28),
    "1.17": range(23, 27),
    "1.16": range(22, 26),
    "1.15": range(22, 26),
    "1.14": range(21, 25),
    "1.13": range(20, 24),
}
"""Istio's minor versions, and the Kubernetes 1.x that each supports."""


def choose(kubernetes: str = "", istio: str = "") -> Pair:
    """The pair for the given versions; an empty one is chosen to fit the other. Raises ClusterError for an unsupported pair."""
    kubernetes, istio = minor(kubernetes), whole(istio)
    if not istio:
        known = next((each for each in PRESETS if each.kubernetes == kubernetes), None)
        if kubernetes and known is None:
            raise _unknown_node(kubernetes)
        return known or PRESETS[0]
    if not kubernetes:
        preset = next((each for each in PRESETS if each.istio == istio), None)
        return preset or _supported(_first(istio), istio)
    if kubernetes not in IMAGES:
        raise _unknown_node(kubernetes)
    return _supported(kubernetes, istio)


def _supported(kubernetes: str, istio: str) -> Pair:
    preset = next((each for each in PRESETS if (each.kubernetes, each.istio) == (kubernetes, istio)), None)
    if preset:
        return preset
    supported = SUPPORTED.get(minor(istio))
    if supported is None:
        raise ClusterError(
            f"Istio {istio} is not in the course's table.",
            why=f"it knows {', '.join(SUPPORTED)}",
            next=f"meshcourse up ... --backend kind {PRESETS[0].options}",
        )
    if _number(kubernetes) in supported:
        return Pair(kubernetes, istio)
    raise ClusterError(
        f"Istio {istio} does not support Kubernetes {kubernetes}.",
        why=f"it supports 1.{supported.start} to 1.{supported.stop - 1}",
        next=f"meshcourse up ... --backend kind {nearest(kubernetes, istio).options}",
    )


def nearest(kubernetes: str, istio: str) -> Pair:
    """A supported pair: this Istio on another Kubernetes with a node image, else the preset of this Kubernetes."""
    preset = next((each for each in PRESETS if each.istio == istio), None)
    supported = SUPPORTED.get(minor(istio), range(0))
    able = [each for each in IMAGES if _number(each) in supported]
    if preset:
        return preset
    if able:
        return Pair(min(able, key=lambda each: abs(_number(each) - _number(kubernetes))), istio)
    return next((each for each in PRESETS if each.kubernetes == kubernetes), PRESETS[0])


def minor(version: str) -> str:
    """1.28 for 1.28, v1.28.15 and 1.28.0-rc.1."""
    return ".".join(version.removeprefix("v").split(".")[:2])


def _first(istio: str) -> str:
    supported = SUPPORTED.get(minor(istio), range(0))
    return next((each for each in IMAGES if _number(each) in supported), PRESETS[0].kubernetes)


def whole(istio: str) -> str:
    """A version with its patch level: the preset's when only 1.x was given, else .0."""
    istio = istio.removeprefix("v")
    if not istio or istio.count(".") > 1:
        return istio
    return next((each.istio for each in PRESETS if minor(each.istio) == istio), f"{istio}.0")


def _number(kubernetes: str) -> int:
    return int(kubernetes.partition(".")[2])


def _unknown_node(kubernetes: str) -> ClusterError:
    return ClusterError(
        f"There is no node image for Kubernetes {kubernetes} in the course's table.",
        why=f"it has {', '.join(IMAGES)}",
        next=f"meshcourse up ... --backend kind {PRESETS[0].options}",
    )
