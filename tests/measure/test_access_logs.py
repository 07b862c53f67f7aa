"""Envoy's access log lines, read into fields."""

from __future__ import annotations

from pathlib import Path

from meshcourse.core import settings
from meshcourse.kube.connection import Connection
from meshcourse.measure import access_logs
from meshcourse.mesh.install import installation

LINE = (
    '[2026-11-25T09:00:00.123Z] "GET /a b?c=1 HTTP/1.1" 503 UO,UT upstream_reset - "TLS_error:|say \\"no\\"" 0 81 5 - "10.0.0.1" '
    '"curl/8 \\"x\\"" "4711-id" "web:8000" "10.244.0.9:8080" outbound|8000||web.ns.svc.cluster.local 10.244.0.7:4 10.96.0.2:8000 '
    "10.244.0.7:5 - default"
)


def test_line_is_read_field_by_field() -> None:
    (entry,) = access_logs.parse([LINE])
    assert entry.code == 503
    assert entry.flags == ("UO", "UT")
    assert (entry["method"], entry["path"], entry["protocol"]) == ("GET", "/a b?c=1", "HTTP/1.1")
    assert entry["transport_failure"] == 'TLS_error:|say \\"no\\"'
    assert entry["upstream_cluster"] == "outbound|8000||web.ns.svc.cluster.local"
    assert (entry["server_name"], entry["route"]) == ("-", "default")
    assert set(entry.fields) == set(access_logs.MEANING)


def test_other_lines_are_left_out() -> None:
    envoys_own = "[2026-11-25 09:00:00.000][12][warning][main] [external/envoy/source/x.cc:1] starting"
    assert list(access_logs.parse(["", "2026-11-25T09:00:00Z\tinfo\tready", envoys_own, LINE[:60]])) == []


def test_request_without_an_answer_has_code_0_and_no_flags_for_a_dash() -> None:
    (entry,) = access_logs.parse([LINE.replace(" 503 UO,UT ", " 0 - ")])
    assert entry.code == 0
    assert entry.flags == ()


def test_of_a_gateway_that_several_share_a_learner_reads_the_lines_of_the_own_port() -> None:
    alone = Connection(Path("none"), "")
    ada, bob = (
        Connection(Path("none"), "", {settings.LEARNER_VARIABLE: name, settings.PORT_VARIABLE: port})
        for name, port in (("ada", "8000"), ("bob", "800"))
    )
    assert access_logs.own(alone, installation.NAMESPACE) == access_logs.own(ada, "ada-canary") == ""
    assert access_logs.own(ada, installation.NAMESPACE) in LINE
    assert access_logs.own(bob, installation.NAMESPACE) not in LINE
