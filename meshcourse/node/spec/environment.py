"""A container's environment, by kubelet's rules.

Order, later wins: service links, envFrom in order, env in order. `$(NAME)` in a value sees what came before it (envFrom, earlier env,
service links); an unknown name stays as written; `$$` is a dollar. Source: makeEnvironmentVariables in pkg/kubelet/kubelet_pods.go.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Literal, Protocol

from meshcourse.node.spec import downward_api

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshcourse.core.json_types import Json

    Kind = Literal["ConfigMap", "Secret", "Service"]

_REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\))", re.DOTALL)
_NO_ADDRESS = ("", "None")
_API_SERVER = ("default", "kubernetes")


class MissingReference(Exception):  # noqa: N818 - reads as the sentence it is
    """A ConfigMap, a Secret, a key or a field that the environment needs does not exist (yet)."""


class Source(Protocol):
    """The objects that are read from the cluster; node.object_cache.Objects is one implementation."""

    def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """One object, or None."""

    def list(self, kind: Kind, namespace: str) -> list[Json]:
        """All objects of a kind in a namespace."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value, `$$` by a dollar; what has no value stays as it is."""

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else env.get(name, match[0])

    return _REFERENCE.sub(value, text)


def resolve(pod: Json, container: Json, objects: Source, *, pod_ip: str, host_ip: str) -> dict[str, str]:
    """All variables of the container; raises MissingReference."""
    namespace = pod["metadata"]["namespace"]
    links = service_links(_linked_services(objects, namespace, links=pod["spec"].get("enableServiceLinks", True)))
    env: dict[str, str] = {}
    for entry in container.get("envFrom") or []:
        env.update(_from_all_keys(entry, objects, namespace))
    addresses = downward_api.Addresses(pod_ip=pod_ip, host_ip=host_ip)
    for entry in container.get("env") or []:
        if entry.get("value"):
            env[entry["name"]] = expand(entry["value"], {**links, **env})
            continue
        value = _from_source(entry.get("valueFrom") or {}, pod, container, objects, addresses)
        if value is not None:
            env[entry["name"]] = value
    for name, value in env.items():
        if "\0" in value:  # execve cannot pass it on; a container runtime refuses it too
            msg = f"environment variable {name} holds a NUL byte"
            raise MissingReference(msg)
    return {**links, **env}


def service_links(services: Iterable[Json]) -> dict[str, str]:
    """{NAME}_SERVICE_HOST, {NAME}_SERVICE_PORT and the older Docker variables of every Service that has an address."""
    env: dict[str, str] = {}
    for service in services:
        address, ports = service["spec"].get("clusterIP", ""), service["spec"].get("ports") or []
        if address in _NO_ADDRESS or not ports:
            continue
        name = _variable(service["metadata"]["name"])
        host = f"[{address}]" if ":" in address else address
        env[f"{name}_SERVICE_HOST"] = address
        env[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        env.update({f"{name}_SERVICE_PORT_{_variable(port['name'])}": str(port["port"]) for port in ports if port.get("name")})
        for index, port in enumerate(ports):
            protocol, number = port.get("protocol", "TCP"), port["port"]
            url = f"{protocol.lower()}://{host}:{number}"
            if index == 0:
                env[f"{name}_PORT"] = url
            prefix = f"{name}_PORT_{number}_{protocol.upper()}"
            env |= {prefix: url, f"{prefix}_PROTO": protocol.lower(), f"{prefix}_PORT": str(number), f"{prefix}_ADDR": address}
    return env


def _linked_services(objects: Source, namespace: str, *, links: bool) -> list[Json]:
    """The Services of the pod's namespace (unless `enableServiceLinks: false`) and, always, the API server's, for clients in pods."""
    api_server = objects.get("Service", *_API_SERVER)
    found = [] if api_server is None else [api_server]
    if links:
        # With another Service named `kubernetes` kubelet's choice is random; here the one in the pod's namespace always wins.
        found += [service for service in objects.list("Service", namespace) if service is not api_server]
    return found


def _from_all_keys(entry: Json, objects: Source, namespace: str) -> dict[str, str]:
    kind: Kind = "ConfigMap" if "configMapRef" in entry else "Secret"
    reference = entry.get("configMapRef") or entry.get("secretRef") or {}
    data = _data(kind, reference, objects, namespace)
    prefix = entry.get("prefix", "")
    return {prefix + key: value for key, value in (data or {}).items()}  # any key is a valid name since Kubernetes 1.34


def _from_source(source: Json, pod: Json, container: Json, objects: Source, addresses: downward_api.Addresses) -> str | None:
    """The value, or None when an optional key does not exist."""
    namespace = pod["metadata"]["namespace"]
    try:
        if "fieldRef" in source:
            return downward_api.pod_field(pod, source["fieldRef"]["fieldPath"], addresses)
        if "resourceFieldRef" in source:
            return downward_api.resource_field(pod, source["resourceFieldRef"], container, downward_api.allocatable())
    except downward_api.UnsupportedField as error:
        raise MissingReference(str(error)) from error
    if "configMapKeyRef" in source:
        return _key("ConfigMap", source["configMapKeyRef"], objects, namespace)
    if "secretKeyRef" in source:
        return _key("Secret", source["secretKeyRef"], objects, namespace)
    if source:
        msg = f"env valueFrom {', '.join(source)} is not supported by the embedded node"
        raise MissingReference(msg)
    return ""


def _key(kind: Kind, reference: Json, objects: Source, namespace: str) -> str | None:
    data = _data(kind, reference, objects, namespace)
    if data is None:
        return None
    value = data.get(reference["key"])
    if value is None and not reference.get("optional"):
        msg = f"couldn't find key {reference['key']} in {kind} {namespace}/{reference.get('name', '')}"
        raise MissingReference(msg)
    return value


def _data(kind: Kind, reference: Json, objects: Source, namespace: str) -> dict[str, str] | None:
    """An object's data as text, or None when an optional object does not exist."""
    name = reference.get("name", "")
    found = objects.get(kind, namespace, name)
    if found is None:
        if reference.get("optional"):
            return None
        msg = f'{kind.lower()} "{name}" not found'
        raise MissingReference(msg)
    data: dict[str, str] = found.get("data") or {}
    if kind == "Secret":
        return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in data.items()}
    return data


def _variable(name: str) -> str:
    return name.replace("-", "_").upper()
