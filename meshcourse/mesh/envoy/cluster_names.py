"""Names of Envoy's clusters, as Istio writes them: `outbound|80|v2|web.shop.svc.cluster.local`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

_PARTS: Final = 4


@dataclass(frozen=True)
class ClusterName:
    """A group of addresses: those of a Service's port, or of one subset of it; `inbound` is the program beside the proxy.

    A name of another form (`PassthroughCluster`, `xds-grpc`, `-` in a log) has neither direction nor port, and stands in `host`.
    """

    direction: str
    port: str
    subset: str
    host: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a name, with the semicolon that Istio's statistics put behind it or without."""
        parts = name.rstrip(";").split("|")
        return cls(*parts) if len(parts) == _PARTS else cls("", "", "", name)

    @classmethod
    def outbound(cls, host: str, port: int | str, subset: str = "") -> Self:
        """The cluster of a Service's full name."""
        return cls("outbound", str(port), subset, host)

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.host}" if self.direction else self.host

    @property
    def inward(self) -> bool:
        """Whether it is the program beside the proxy."""
        return self.direction == "inbound"

    @property
    def service(self) -> str:
        """The Service's short name, or the whole name of what is no Service; empty for none."""
        known = self.direction == "outbound" and ".svc." in self.host
        return self.host.partition(".")[0] if known else self.host.strip("-")

    @property
    def place(self) -> str:
        """In a word or two: `reviews v2`."""
        return " ".join(filter(None, (self.service, self.subset)))
