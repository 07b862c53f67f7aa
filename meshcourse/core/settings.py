"""The versions that the lessons show, and constants that several packages share."""

from __future__ import annotations

from typing import Final

KUBERNETES: Final = "1.36.3"
ISTIO: Final = "1.31.0"
ENVOY: Final = "1.39.3"
ISTIO_HUB: Final = "registry.istio.io/release"
ISTIO_NAMESPACE: Final = "istio-system"
INGRESS_GATEWAY: Final = "istio-ingressgateway"

DEFAULT_CLUSTER: Final = "meshcourse"
DEFAULT_PROFILE: Final = "demo"
INGRESS_NODE_PORT: Final = 31718
"""The NodePort of istio-ingressgateway's http2 port, as the guide shows it; embedded serves it on 127.0.0.1 too."""
HTTPS_NODE_PORT: Final = 31719
"""The NodePort of its port 443."""
HTTP_PORT: Final = 80
"""The ingress gateway's port that Gateways open and `ingress_url` leads to, unless several learners share the gateway."""

TABLE: Final = "table"
REGISTRY: Final = "registry"
ISTIOS_OWN: Final = "istio"
MADE: Final = "made"
"""Where a kind cluster's images come from when it asks no public registry: they are made on this machine."""
IMAGE_SOURCES: Final = (TABLE, REGISTRY, ISTIOS_OWN)
"""Where an embedded cluster's images come from: the node's own table; registries, with the table as a fallback, but Istio from the table;
registries for Istio too, with Istio's own Envoy instead of the upstream one."""

CLUSTER_VARIABLE: Final = "MESHCOURSE_CLUSTER"
"""The name of the cluster that lessons and commands use."""
URL_VARIABLE: Final = "MESHCOURSE_INGRESS_URL"
"""Together with KUBECONFIG it names any cluster."""
OWNER_LABEL: Final = "meshcourse.dev/made-for"
"""Label of everything that the course made or labelled in an existing cluster. Its value names the owner: `down` finds it by that."""
OWNER_VARIABLE: Final = "MESHCOURSE_OWNER"
"""The environment variable with that value; not set where the whole cluster belongs to the course."""
LEARNER_VARIABLE: Final = "MESHCOURSE_LEARNER"
"""The environment variable with the learner's name in a shared cluster; not set in other clusters."""
PORT_VARIABLE: Final = "MESHCOURSE_GATEWAY_PORT"
"""The environment variable with that learner's own port of the ingress gateway."""
LEARNER_LABEL: Final = "meshcourse.dev/learner"
PORT_LABEL: Final = "meshcourse.dev/gateway-port"
"""Labels of a learner's namespaces, with the same values; the policies in backends/learners.yaml read the second."""
NOTE: Final = "meshcourse.dev/brought-by"
"""Annotation of the same objects: `<chapter> created` or `<chapter> labelled`."""
