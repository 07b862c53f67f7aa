from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import psutil
import pytest
from yarl import URL

from meshcourse.core.errors import TrafficError
from meshcourse.measure import labels
from meshcourse.traffic import pacing, results, sender, transport_errors
from meshcourse.traffic.results import Result
from meshcourse.traffic.targets import Target


async def test_each_request_gives_one_result_with_its_version(server: Any) -> None:
    found = await sender.send(Target(server.url), pacing.constant(200, requests=40), label=labels.body())
    assert len(found) == len(server.requests) == 40
    assert {result.version for result in found} == {"v1", "v2"}
    assert all(result.ok and result.status == 200 and result.size == len("<h1>hello from v1</h1>") for result in found)
    assert all(0 < result.service_time <= result.latency for result in found)
    assert abs(found[0].started - time.time()) < 60


async def test_a_header_may_tell_the_version(server: Any) -> None:
    found = await sender.send(Target(server.url), pacing.closed(requests=6), label=labels.header("X-Version"), in_flight=1)
    assert [result.version for result in found] == ["h2", "h1"] * 3


async def test_requests_leave_at_their_times(server: Any) -> None:
    began = time.monotonic()
    found = await sender.send(Target(server.url), pacing.constant(100, seconds=1))
    assert time.monotonic() - began >= 0.99
    starts = sorted(result.intended for result in found)
    assert [after - before for before, after in itertools.pairwise(starts)] == pytest.approx([0.01] * 99, abs=1e-6)
    assert all(result.delay >= 0 for result in found)


async def test_headers_cookies_and_host_reach_the_server(server: Any) -> None:
    target = Target(server.url, method="POST", headers={"x-team": "internal"}, cookies={"user": "jason", "a": "b"}, host="shop.example")
    await sender.send(target, pacing.closed(requests=2))
    for request in server.requests:
        assert request.method == "POST"
        assert request.headers["x-team"] == "internal"
        assert request.headers["Cookie"] == "user=jason; a=b"
        assert request.headers.getall("Host") == ["shop.example"]


async def test_a_stalled_server_shows_in_the_latency_of_the_requests_that_had_to_wait(server: Any) -> None:
    """Coordinated omission: 20 requests due within 0.2 s, one in flight, the server stalls for 0.5 s at the first."""
    stall = asyncio.get_running_loop().call_later(0.5, server.gate.set)
    found = await sender.send(Target(f"{server.url}/slow"), pacing.constant(100, requests=20), in_flight=1)
    assert stall.when() <= asyncio.get_running_loop().time()
    assert len(found) == 20
    # The last one was due 0.19 s after the first and could leave only after the stall: it waited about 0.3 s, though its answer was quick.
    assert found[-1].latency > 0.25
    assert found[-1].service_time < 0.2
    assert found[0].latency >= 0.49


async def test_late_and_dropped_slots_are_counted(server: Any) -> None:
    asyncio.get_running_loop().call_later(0.5, server.gate.set)
    found: list[Result] = []
    async with sender.Sender(Target(f"{server.url}/slow"), in_flight=1, patience=0.2) as client:
        counts = await client.run(pacing.constant(100, requests=40), found.append)
    assert counts.begun == counts.answered == len(found)
    assert counts.dropped > 0
    assert counts.late > 0
    assert counts.begun + counts.dropped == 40
    assert counts.in_flight == 0


async def test_in_flight_is_bounded(server: Any) -> None:
    async with sender.Sender(Target(f"{server.url}/slow"), in_flight=3) as client:
        running = asyncio.create_task(client.run(pacing.constant(500, requests=50), lambda _: None))
        await server.received(3)
        await asyncio.sleep(2 * 50 / 500)  # by then all 50 are due
        assert client.counts.in_flight == len(server.requests) == server.connections() == 3
        server.gate.set()
        counts = await running
    assert counts.answered == 50
    assert counts.late > 0


async def test_cancelling_ends_at_once_and_leaves_no_task_and_no_socket(server: Any) -> None:
    before = asyncio.all_tasks()
    async with sender.Sender(Target(f"{server.url}/slow")) as client:
        running = asyncio.create_task(client.run(pacing.constant(200), lambda _: None))
        await server.received(20)
        assert len(sockets_to(server.url)) >= 20
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert client.counts.in_flight >= 20
    assert sockets_to(server.url) == []
    assert {task for task in asyncio.all_tasks() - before if "Sender" in repr(task)} == set()


def sockets_to(url: str) -> list[object]:
    """This process's connections to the server, seen from the client's side."""
    port = URL(url).port
    return [each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port]


async def test_an_error_in_the_receiver_ends_the_run_and_is_raised(server: Any) -> None:
    def receive(result: Result) -> None:
        raise OSError(28, "No space left on device")

    async with sender.Sender(Target(server.url)) as client:
        with pytest.raises(OSError, match="No space"):
            await client.run(pacing.constant(100), receive)
    assert len(server.requests) < 50


async def test_an_error_status_is_an_answer_and_names_no_version(server: Any) -> None:
    (found,) = await sender.send(Target(f"{server.url}/broken"), pacing.closed(requests=1), label=labels.only(labels.body()))
    assert (found.status, found.code, found.version, found.fault, found.ok) == (503, "503", "", "", False)


async def test_a_closed_loop_ends_with_its_seconds(server: Any) -> None:
    began = time.monotonic()
    found = await sender.send(Target(server.url), pacing.closed(seconds=0.3), in_flight=2)
    assert 0.3 <= time.monotonic() - began < 3
    assert found
    assert all(result.intended == result.started for result in found)


async def test_a_sender_that_is_not_open_says_so() -> None:
    with pytest.raises(TrafficError, match="not open"):
        await sender.Sender(Target("http://127.0.0.1:1")).run(pacing.closed(requests=1), lambda _: None)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is bound, so nobody else takes it, and does not listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def test_nobody_listening_is_refused(closed_port: int) -> None:
    (found,) = await sender.send(Target(f"http://127.0.0.1:{closed_port}"), pacing.constant(10, requests=1))
    assert (found.status, found.fault, found.code) == (0, results.REFUSED, "refused")
    assert f"nothing listens on 127.0.0.1:{closed_port}" in found.error


async def test_a_target_that_is_down_does_not_make_a_closed_loop_busy(closed_port: int) -> None:
    found = await sender.send(Target(f"http://127.0.0.1:{closed_port}"), pacing.closed(seconds=0.5), in_flight=1)
    assert 1 <= len(found) <= 0.5 / sender.BREATH + 1


async def test_no_answer_in_time_is_a_timeout(server: Any) -> None:
    (found,) = await sender.send(Target(f"{server.url}/slow", timeout=0.1), pacing.constant(10, requests=1))
    assert (found.status, found.fault) == (0, results.TIMEOUT)
    assert "within 0.1 s" in found.error
    assert found.latency >= 0.1


async def test_a_connection_cut_in_the_middle_is_a_reset(server: Any) -> None:
    (found,) = await sender.send(Target(f"{server.url}/cut"), pacing.constant(10, requests=1))
    assert (found.status, found.fault) == (0, results.RESET)
    assert "before the answer was whole" in found.error


def test_a_door_that_resets_before_the_connection_was_seen_to_be_open_is_a_reset() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("127.0.0.1", 80, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
    error = aiohttp.ClientConnectorError(key, ConnectionResetError(errno.ECONNRESET, "Connect call failed"))
    fault, words = transport_errors.explain(error, Target("http://127.0.0.1:80"))
    assert fault == results.RESET
    assert "ssl" not in words


async def test_a_name_that_nobody_knows_is_unresolved() -> None:
    (found,) = await sender.send(Target("http://no-such-host.invalid/"), pacing.constant(10, requests=1))
    assert found.fault == results.UNRESOLVED


async def test_what_is_no_http_is_said_so() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        (found,) = await sender.send(Target(f"http://127.0.0.1:{port}"), pacing.constant(10, requests=1))
    assert (found.status, found.fault) == (0, results.NOT_HTTP)


@pytest.mark.parametrize("url", ["", "127.0.0.1:31718", "ftp://x/", "http:///path", "http://x:99999/"])
def test_a_url_that_cannot_be_asked_is_refused_before_any_load(url: str) -> None:
    with pytest.raises(TrafficError, match="No request can be sent"):
        Target(url)


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(TrafficError, match="line break"):
        Target("http://x/", headers={"a": "b\r\nc: d"})
    with pytest.raises(TrafficError, match="line break"):
        Target("http://x/", cookies={"a": "b\nc"})


async def test_a_crowd_sends_one_request_a_user_at_a_time_and_its_number_may_be_turned(server: Any) -> None:
    crowd, found = pacing.Crowd(3, pause=0.02, most=5), []
    async with sender.Sender(Target(f"{server.url}/slow")) as sending:
        run = asyncio.create_task(sending.run(crowd, found.append))
        await server.received(3)
        await asyncio.sleep(10 * crowd.pause)  # a user who does not wait has sent again by then
        assert len(server.requests) == 3, "each of the three waits for its answer"
        crowd.turn(5)
        await server.received(5)
        server.gate.set()
        await server.received(30)
        crowd.turn(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    assert len(found) >= 25
    assert all(result.ok for result in found)


def test_a_crowd_has_as_many_users_as_it_may() -> None:
    with pytest.raises(TrafficError, match="0 to 5 users"):
        pacing.Crowd(6, pause=0.1, most=5)
    with pytest.raises(TrafficError):
        pacing.Crowd(1, pause=0.0)
    assert pacing.Crowd(2, pause=0.5).describe() == {"shape": "crowd", "users": 2, "pause": 0.5}
