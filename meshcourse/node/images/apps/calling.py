"""Calls from one service to the next, with the headers that must be forwarded."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

# A proxy cannot know which outgoing call belongs to which incoming request: the program has to forward these. They are those that Istio's
# sample propagates: request and trace identifiers of several systems, then what the application itself needs.
PROPAGATED: Final = (
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "sw8",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
    "end-user",
)


def propagated(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request that are forwarded to the next service."""
    return {name: headers[name] for name in PROPAGATED if name in headers}


@dataclass(frozen=True)
class Answer:
    """A service's answer."""

    status: int
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever JSON can hold
        """The body as JSON. Raises ValueError when it is not JSON."""
        return json.loads(self.body)


class NoAnswer(Exception):  # noqa: N818 - reads as the sentence it is
    """No answer came in time."""


@dataclass(frozen=True)
class Place:
    """Where a service is: its host name and port, as environment variables of Istio's sample give them."""

    host: str
    port: int

    @classmethod
    def named(cls, name: str, environment: Mapping[str, str]) -> Place:
        """`name` (such as "reviews") with REVIEWS_HOSTNAME, REVIEWS_SERVICE_PORT and SERVICES_DOMAIN."""
        host = environment.get(f"{name.upper()}_HOSTNAME") or name
        domain = environment.get("SERVICES_DOMAIN")
        port = environment.get(f"{name.upper()}_SERVICE_PORT") or "9080"
        return cls(f"{host}.{domain}" if domain else host, int(port) if port.isdigit() else 9080)

    def url(self, path: str) -> str:
        """The URL of `path` there."""
        return f"http://{self.host}:{self.port}{path}"


def get(url: str, headers: Mapping[str, str], seconds: float) -> Answer:
    """Send one GET. `seconds` limits the connecting and each wait for data.

    Raises NoAnswer when refused, for an unknown host, when too slow, or when the answer is not HTTP.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=seconds)
    try:
        connection.request("GET", place.path, headers=dict(headers))
        answered = connection.getresponse()
        return Answer(answered.status, answered.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
