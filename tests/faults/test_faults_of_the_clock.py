"""The wall clock is set on by an hour, for every process of a cluster at once."""

from __future__ import annotations

import datetime as dt
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import pytest
import wall_clock
from healing import heal, pod
from process_tree import tree
from waiting import until

from meshcourse.cluster import clusters

pytestmark = pytest.mark.slow

HOUR = 3600
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
ASKS = 'wget -q -O /dev/null --no-check-certificate --header "Authorization: Bearer $0" https://kubernetes.default/api'


@pytest.mark.skipif(os.geteuid() != 0 or platform.machine() != "x86_64", reason="changes other processes, as root, by machine code")
def test_a_clock_that_is_set_on_by_an_hour(
    faulty: clusters.Cluster, cluster: Any, namespace: str, healed: Callable[[str, float], None]
) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=pod("runs", "sleep 600", terminationGracePeriodSeconds=0))
    cluster.kubectl("-n", namespace, "wait", "pod/runs", "--for=condition=Ready", "--timeout=30s")

    def token() -> str:
        return cluster.run("kubectl", "-n", namespace, "exec", "runs", "--", "cat", TOKEN, check=False).stdout

    def holds(token: str) -> bool:
        return cluster.run("kubectl", "-n", namespace, "exec", "runs", "--", "sh", "-c", ASKS, token, check=False).returncode == 0

    before = token()
    short_lived = cluster.kubectl("-n", namespace, "create", "token", "default", "--duration=10m").strip()
    until(lambda: holds(before))
    until(lambda: holds(short_lived))
    wall_clock.set_on(tree(faulty.pid), HOUR)
    began = time.monotonic()
    heal(cluster, namespace)
    until(lambda: token() not in {before, ""}, within=90)
    assert holds(token())
    seconds = time.monotonic() - began
    healed("the clock set on by an hour (until a new pod runs and an old one has a new token)", seconds)
    assert not holds(short_lived)
    made = cluster.kubectl("get", "namespace", namespace, "-o", "jsonpath={.metadata.creationTimestamp}")
    cluster.kubectl("-n", namespace, "create", "configmap", "later")
    later = cluster.kubectl("-n", namespace, "get", "configmap", "later", "-o", "jsonpath={.metadata.creationTimestamp}")
    assert dt.datetime.fromisoformat(later) - dt.datetime.fromisoformat(made) > dt.timedelta(seconds=HOUR)
    status = cluster.get("-n", namespace, "pod", "runs")["status"]
    assert (status["phase"], status["containerStatuses"][0]["restartCount"]) == ("Running", 0)
    assert seconds < 30
