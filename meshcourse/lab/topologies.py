"""lab.topology: who calls whom in the chapter's namespace, as a table."""

from __future__ import annotations

from meshcourse.core import background
from meshcourse.lab import session
from meshcourse.measure import proxy_counters
from meshcourse.measure.topology import Topology, between
from meshcourse.traffic import bookstore, pacing, sender
from meshcourse.traffic.targets import Target


def topology(seconds: float = 4.0, *, rate: float = 10.0, path: str = "/productpage", user: str = "") -> Topology:
    """Send `rate` requests per second for `seconds`, signed in as `user` if one is named, and count the resulting calls at every Envoy.

    Raises TrafficError when signing in fails, KubernetesError when the proxies do not answer.
    """
    begun = session.current()
    target = Target(begun.connection.ingress_url + path, headers=bookstore.sign_in(begun.connection.ingress_url, user))
    before = proxy_counters.read(begun.connection, begun.namespace)
    background.run(sender.send(target, pacing.constant(rate, seconds=seconds)))
    return between(before, proxy_counters.read(begun.connection, begun.namespace))
