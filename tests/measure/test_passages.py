"""One request's lines among those of every proxy: found by its mark, and by the id that Envoy gave it."""

from __future__ import annotations

from meshcourse.measure import access_logs, passages
from meshcourse.measure.access_logs import Entry

LINE = (
    '[2026-11-25T09:00:00.{ms}Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 81 {duration} - "10.0.0.1" "{agent}" '
    '"{id}" "shop.example.com" "{to}" {cluster} 10.0.0.7:40000 10.0.0.9:80 10.0.0.1:5555 - {route}'
)


def entry(ms: int, agent: str, identity: str, cluster: str, to: str = "10.0.0.9:80") -> Entry:
    line = LINE.format(ms=f"{ms:03}", duration=9, agent=agent, id=identity, to=to, cluster=cluster, route="split")
    (found,) = access_logs.parse([line])
    return found


LOGS = {
    "web-v2-1": [entry(104, "lynx", "id-1", "inbound|80||"), entry(110, "lynx", "id-2", "inbound|80||")],
    "gateway-1": [
        entry(100, "mark", "id-1", "outbound|80|v2|web.canary.svc.cluster.local"),
        entry(101, "other", "id-2", "outbound|80|v1|web.canary.svc.cluster.local"),
    ],
}


def test_mark_leads_to_the_id_and_the_id_to_every_other_proxy() -> None:
    assert [(each.pod, each.inward) for each in passages.chosen("mark", LOGS)] == [("gateway-1", False), ("web-v2-1", True)]


def test_passage_tells_cluster_and_address() -> None:
    first, second = passages.chosen("mark", LOGS)
    assert first.destination == ("web.canary.svc.cluster.local", "v2")
    assert second.destination == ("", "")
    assert first.address == "10.0.0.9"


def test_no_id_is_no_way_to_find_others() -> None:
    logs = {"gateway-1": [entry(100, "mark", "-", "-", to="-")], "web-1": [entry(101, "other", "-", "inbound|80||")]}
    (only,) = passages.chosen("mark", logs)
    assert (only.pod, only.destination, only.address) == ("gateway-1", ("", ""), "")
    assert passages.chosen("unknown", logs) == ()
