"""The versions that the lessons show and the few numbers that several packages share.

Comes in: nothing. Goes out: constants. `tests/engine` checks the versions against engine/go.mod.
"""

from __future__ import annotations

from typing import Final

KUBERNETES: Final = "1.36.3"
ETCD: Final = "3.6"
ISTIO: Final = "1.31.0"
ENVOY: Final = "1.39.3"
ISTIO_HUB: Final = "registry.istio.io/release"

DEFAULT_CLUSTER: Final = "meshcourse"
DEFAULT_PROFILE: Final = "demo"
INGRESS_NODE_PORT: Final = 31718
"""The NodePort of istio-ingressgateway's http2 port, as the guide shows it; embedded serves it on 127.0.0.1 too."""
