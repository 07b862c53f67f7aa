"""Names of Envoy's clusters, as Istio writes them: `outbound|80|v2|web.shop.svc.cluster.local`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

_PARTS: Final = 4


@dataclass(frozen=True)
class ClusterName:
    """A cluster's name, for a port of a Service or one subset of it; `inbound` is the application beside the proxy.

    A name of another form (`PassthroughCluster`, `xds-grpc`, `-` in a log) is in `host`, without direction and port.
    """

    direction: str
    port: str
    subset: str
    host: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a name, with or without the semicolon that Istio's statistics append."""
        parts = name.rstrip(";").split("|")
        return cls(*parts) if len(parts) == _PARTS else cls("", "", "", name)

    @classmethod
    def outbound(cls, host: str, port: int | str, subset: str = "") -> Self:
        """The cluster of a Service, by its full name."""
        return cls("outbound", str(port), subset, host)

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.host}" if self.direction else self.host

    @property
    def inward(self) -> bool:
        """Whether it is the application beside the proxy."""
        return self.direction == "inbound"

    @property
    def service(self) -> str:
        """The Service's short name; the whole name of a host that is no Service; empty for none."""
        known = self.direction == "outbound" and ".svc." in self.host
        return self.host.partition(".")[0] if known else self.host.strip("-")

    @property
    def place(self) -> str:
        """Short form for a table: `reviews v2`."""
        return " ".join(filter(None, (self.service, self.subset)))
