"""CoreDNS, built from engine/coredns with the plugins that a cluster's DNS needs."""

from __future__ import annotations

from meshcourse.engine import binaries
from meshcourse.node.images.image import Image, Program

IMAGES = (
    Image(
        names=("registry.k8s.io/coredns/coredns", "docker.io/coredns/coredns"),
        identity="CoreDNS 1.13.1",
        entrypoint=("/coredns",),
        programs=(Program(lambda: binaries.program("coredns"), "/coredns"),),
        part_of="cluster",
    ),
)
