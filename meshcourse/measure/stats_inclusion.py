"""Whether a sidecar keeps the counters of calls: Istio has Envoy keep few statistics unless the pod's configuration names more.

The proxy's environment has its configuration: the mesh's default and the pod's annotation together. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import re2

from meshcourse.mesh.injection import sidecars

CURE: Final = (
    "add the annotation proxy.istio.io/config to the pods' template, with proxyStatsMatcher: "
    r'{inclusionRegexps: ["cluster\\.(in|out)bound.*(upstream_rq_|ssl\\.handshake).*"]}'
)
_KINDS: Final = ("Prefixes", "Suffixes", "Regexps")
_QUIET: Final = re2.Options()
_QUIET.log_errors = False


def keeps_calls(pod: Any, ports: Iterable[int]) -> bool:  # noqa: ANN401 - the Kubernetes client is untyped
    """Whether a pod's Envoy counts calls by status, to or from at least one of these ports."""
    wanted = {kind: [*_configured(pod, kind), *_annotated(pod, kind)] for kind in _KINDS}
    return any(_included(name, wanted) for port in sorted({*ports, 80}) for name in _names(port))


def _names(port: int) -> Iterator[str]:
    """Names as Envoy writes them, for proxies since Istio 1.23 and before."""
    for end in (";.", "."):
        yield f"cluster.outbound|{port}||web.shop.svc.cluster.local{end}upstream_rq_200"
        yield f"cluster.inbound|{port}||{end}upstream_rq_200"


def _configured(pod: Any, kind: str) -> list[str]:  # noqa: ANN401 - the Kubernetes client is untyped
    every = [*(pod.spec.init_containers or ()), *pod.spec.containers]
    texts = [each.value for one in every if one.name == sidecars.PROXY for each in one.env or () if each.name == "PROXY_CONFIG"]
    try:
        matcher = json.loads(next(iter(texts), None) or "{}").get("proxyStatsMatcher") or {}
    except ValueError:
        return []
    return [str(each) for each in matcher.get(f"inclusion{kind}") or ()]


def _annotated(pod: Any, kind: str) -> list[str]:  # noqa: ANN401 - the Kubernetes client is untyped
    text = (pod.metadata.annotations or {}).get(f"sidecar.istio.io/statsInclusion{kind}", "")
    return [each for each in text.split(",") if each]


def _included(name: str, wanted: Mapping[str, list[str]]) -> bool:
    return (
        any(map(name.startswith, wanted["Prefixes"]))
        or any(map(name.endswith, wanted["Suffixes"]))
        or any(_fits(each, name) for each in wanted["Regexps"])
    )


def _fits(pattern: str, name: str) -> bool:
    try:
        return bool(re2.fullmatch(pattern, name, _QUIET))
    except re2.error:
        return False
