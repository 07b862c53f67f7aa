"""istiod and the proxy: upstream Istio programs from the engine, and upstream Envoy, not Istio's own build of it.

Paths, entry points and users are those of Istio's pilot/docker/Dockerfile.pilot and Dockerfile.proxyv2.
PILOT_* in the pilot image's environment keep istiod from configuring Envoy filters that only Istio's build has
(ARCHITECTURE.md, "Upstream Envoy").
"""

from __future__ import annotations

from meshcourse.core import settings
from meshcourse.engine import binaries
from meshcourse.node.images.image import Image, Program

_REGISTRIES = ("registry.istio.io/release", "docker.io/istio", "gcr.io/istio-release")

IMAGES = (
    Image(
        names=tuple(f"{registry}/pilot" for registry in _REGISTRIES),
        identity=f"istiod {settings.ISTIO}",
        entrypoint=("/usr/local/bin/pilot-discovery",),
        user="1337:1337",
        programs=(Program(lambda: binaries.program("pilot-discovery"), "/usr/local/bin/pilot-discovery"),),
        environment={
            "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            "PILOT_ENABLE_ALPN_FILTER": "false",
            "PILOT_DISABLE_MX_ALPN": "true",
        },
        tags=(settings.ISTIO,),
        part_of="istio",
    ),
    Image(
        names=tuple(f"{registry}/proxyv2" for registry in _REGISTRIES),
        identity=f"pilot-agent {settings.ISTIO}, upstream Envoy {settings.ENVOY}",
        entrypoint=("/usr/local/bin/pilot-agent",),
        programs=(
            Program(lambda: binaries.program("pilot-agent"), "/usr/local/bin/pilot-agent"),
            Program(binaries.envoy, "/usr/local/bin/envoy"),
            Program(binaries.bootstrap_template, "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json"),
        ),
        environment={"ISTIO_META_ISTIO_VERSION": settings.ISTIO},
        tags=(settings.ISTIO,),
        part_of="istio",
        stand_in="Envoy is the upstream build: Istio's own filters (istio.stats and friends) are not in it",
    ),
)
