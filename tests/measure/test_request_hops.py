"""Hops of one request from the lines of several proxies' logs."""

from __future__ import annotations

from meshcourse.measure import access_logs, request_hops
from meshcourse.measure.request_hops import Hop, Journey, Place, Span

GATEWAY = Place("the gateway to nginx", "istio-system", "istio-ingressgateway")
INWARD = Place("nginx's Envoy, in", "timeouts", "nginx", inward=True)
OUTWARD = Place("nginx's Envoy to tomcat", "timeouts", "nginx")
MARK = "meshcourse-journey/ab12"
# As Istio 1.31's default format writes them.
LINE = (
    '[2026-11-25T10:02:00.{ms}Z] "GET /slow?seconds=3 HTTP/1.1" {code} {flags} {details} - "-" 0 24 {duration} - "-" "{agent}" "9c94a42f" '
    '"tomcat:8080" "10.244.0.33:8080" {cluster} 10.244.0.32:42818 10.96.131.151:8080 10.244.0.32:45226 - pages'
)


def entries(*lines: str) -> tuple[access_logs.Entry, ...]:
    return tuple(access_logs.parse(lines))


def line(ms: int, code: int, flags: str, duration: int, cluster: str, agent: str = MARK) -> str:
    details = "response_timeout" if flags == "UT" else "via_upstream"
    return LINE.format(ms=f"{ms:03}", code=code, flags=flags, details=details, duration=duration, cluster=cluster, agent=agent)


LOGGED = {
    GATEWAY: entries(line(100, 504, "-", 1010, "outbound|80||nginx"), line(900, 200, "-", 3, "outbound|80||nginx", agent="curl/8")),
    INWARD: entries(line(102, 504, "-", 1006, "inbound|80||")),
    OUTWARD: entries(line(104, 504, "UT", 1000, "outbound|8080||tomcat")),
}


def test_a_request_is_found_by_its_mark_in_each_place_in_order() -> None:
    found = request_hops.hops(MARK, LOGGED)
    assert [(each.place.name, each.code, each.flags, each.seconds) for each in found] == [
        ("the gateway to nginx", 504, (), 1.01),
        ("nginx's Envoy, in", 504, (), 1.006),
        ("nginx's Envoy to tomcat", 504, ("UT",), 1.0),
    ]
    assert round(found[2].started - found[0].started, 3) == 0.004
    assert request_hops.hops("another", LOGGED) == ()


def test_a_line_that_has_not_come_yet_is_left_out() -> None:
    assert [each.place for each in request_hops.hops(MARK, {**LOGGED, INWARD: ()})] == [GATEWAY, OUTWARD]


def test_an_answer_that_never_went_back_has_status_zero() -> None:
    (span,) = request_hops.hops(MARK, {INWARD: entries(line(1, 0, "DC", 995, "inbound|8080||"))})
    assert (span.code, span.flags) == (0, ("DC",))


def test_who_gave_up_and_how_long_the_wait_should_be() -> None:
    hops = request_hops.hops(MARK, LOGGED)
    journey = Journey(1, 3.0, (0.0, 1.0), 504, 1.02, hops)
    assert journey.quitter == Span(OUTWARD, hops[2].started, 1.0, 504, ("UT",))
    assert journey.expected == 1.0
    assert Journey(1, 3.0, (0.0, 0.0), 200, 3.0).expected == 3.0
    assert Journey(1, 0.5, (2.0, 1.0), 200, 0.5).expected == 0.5
    assert Journey(1, 3.0, (), 200, 3.0).quitter is None


HOP = (
    '[2026-11-25T09:00:00.{ms}Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 81 9 - "10.0.0.1" "{agent}" '
    '"{id}" "shop.example.com" "{to}" {cluster} 10.0.0.7:40000 10.0.0.9:80 10.0.0.1:5555 - split'
)


def hop(pod: str, ms: int, agent: str, identity: str, cluster: str, to: str = "10.0.0.9:80") -> Hop:
    (found,) = entries(HOP.format(ms=f"{ms:03}", agent=agent, id=identity, to=to, cluster=cluster))
    return Hop(pod, pod, found)


EVERY = (
    hop("web-v2-1", 104, "lynx", "id-1", "inbound|80||"),
    hop("web-v2-1", 110, "lynx", "id-2", "inbound|80||"),
    hop("gateway-1", 100, "mark", "id-1", "outbound|80|v2|web.canary.svc.cluster.local"),
    hop("gateway-1", 101, "other", "id-2", "outbound|80|v1|web.canary.svc.cluster.local"),
)


def test_mark_leads_to_the_id_and_the_id_to_every_other_proxy() -> None:
    first, second = request_hops.chosen("mark", EVERY)
    assert (first.pod, first.inward, first.address, first.cluster.place) == ("gateway-1", False, "10.0.0.9", "web v2")
    assert (second.pod, second.inward, second.seconds, second.cluster.place) == ("web-v2-1", True, 0.009, "")


def test_no_id_is_no_way_to_find_others() -> None:
    every = (hop("gateway-1", 100, "mark", "-", "-", to="-"), hop("web-1", 101, "other", "-", "inbound|80||"))
    (only,) = request_hops.chosen("mark", every)
    assert (only.pod, only.cluster.place, only.address) == ("gateway-1", "", "")
    assert request_hops.chosen("unknown", every) == ()
