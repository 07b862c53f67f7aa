"""How to reach one cluster: kubeconfig, clients, ingress URL.

Constructing a Connection does no I/O; the first client reads the kubeconfig.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes import client, config

from meshcourse.core import errors, settings


@dataclass(frozen=True)
class Connection:
    """One cluster. `ingress_url` is where the ingress gateway's `gateway_port` answers on this machine, without a trailing slash."""

    kubeconfig: Path
    ingress_url: str
    environment: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    """PATH with kubectl and istioctl, and KUBECONFIG; laid over this process's own environment by `child_environment`."""

    def api(self) -> client.ApiClient:
        """The HTTP client under all the others. Raises ClusterError when the kubeconfig cannot be used."""
        try:
            return _api(self.kubeconfig, self.kubeconfig.stat().st_mtime_ns)
        except (OSError, config.ConfigException) as error:
            raise errors.ClusterError(
                f"The kubeconfig {self.kubeconfig} cannot be used.",
                why=str(error).strip().splitlines()[0],
                next=look(self.environment),
            ) from error

    def core(self) -> client.CoreV1Api:
        """Pods, Services, Namespaces, ConfigMaps."""
        return client.CoreV1Api(self.api())

    def apps(self) -> client.AppsV1Api:
        """Deployments and ReplicaSets."""
        return client.AppsV1Api(self.api())

    def custom(self) -> client.CustomObjectsApi:
        """Istio's own kinds: VirtualService, DestinationRule, Gateway."""
        return client.CustomObjectsApi(self.api())

    def admission(self) -> client.AdmissionregistrationV1Api:
        """Webhooks and admission policies."""
        return client.AdmissionregistrationV1Api(self.api())

    def authorization(self) -> client.AuthorizationV1Api:
        """What this login may do."""
        return client.AuthorizationV1Api(self.api())

    def version(self) -> client.VersionApi:
        """Which Kubernetes it is."""
        return client.VersionApi(self.api())

    def plain(self, answer: object) -> Any:  # noqa: ANN401 - JSON has no one shape
        """An answer of these clients as JSON, with the API's own names: what `kubectl -o json` prints."""
        return self.api().sanitize_for_serialization(answer)  # type: ignore[no-untyped-call]

    @property
    def learner(self) -> str:
        """The learner's name in a shared cluster; empty in other clusters."""
        return self.environment.get(settings.LEARNER_VARIABLE, "")

    @property
    def gateway_port(self) -> int:
        """The ingress gateway's port that the chapters' Gateways open: 80, or a learner's own."""
        return int(self.environment.get(settings.PORT_VARIABLE, settings.HTTP_PORT))

    def child_environment(self) -> dict[str, str]:
        """The environment for a kubectl, an istioctl or a shell that this process starts."""
        return {**os.environ, **self.environment, "KUBECONFIG": str(self.kubeconfig)}


def look(environment: Mapping[str, str] | None = None) -> str:
    """What to type when a cluster does not answer, with the name of the one that is meant."""
    given = {**os.environ, **(environment or {})}
    if settings.URL_VARIABLE in given:
        return "kubectl cluster-info    # does the cluster of your KUBECONFIG answer?"
    name = given.get(settings.CLUSTER_VARIABLE, settings.DEFAULT_CLUSTER)
    named = "" if name == settings.DEFAULT_CLUSTER else f" --name {name}"
    return f"meshcourse status{named}    # and `meshcourse up{named}` if it does not run"


@functools.lru_cache(maxsize=16)
def _api(kubeconfig: Path, changed: int) -> client.ApiClient:  # noqa: ARG001 - `changed` makes a rewritten kubeconfig a new key
    """Read once per kubeconfig: reading it writes certificates to temporary files, too slow for a slider's every move."""
    configuration = client.Configuration()
    configuration.retries = 1  # a cluster that is silent costs two timeouts, not four
    config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call]
    return client.ApiClient(configuration)
