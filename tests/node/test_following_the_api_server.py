"""What the node knows from the API server: objects followed through lost connections, tokens, events."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self, cast

import pytest

from meshcourse.node import events
from meshcourse.node.api import Api, ApiError, client_tls
from meshcourse.node.object_cache import Objects
from meshcourse.node.status.patches import Report
from meshcourse.node.status.statuses import ContainerRecord, PodRecord, Running
from meshcourse.node.volume import tokens

pytestmark = pytest.mark.cluster


class Relay:
    """A proxy to the API server that can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._there = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        self._writers |= {writer, there_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.fixture
async def relay(cluster: Any) -> AsyncIterator[Relay]:
    host, _, port = kubeconfig(cluster)["clusters"][0]["cluster"]["server"].removeprefix("https://").partition(":")
    async with Relay(host, int(port)) as relay:
        yield relay


@pytest.fixture
async def api(cluster: Any, relay: Relay, tmp_path: Path) -> AsyncIterator[Api]:
    config = kubeconfig(cluster)
    authority, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    pems = {
        "ca": authority["certificate-authority-data"],
        "cert": user["client-certificate-data"],
        "key": user["client-key-data"],
    }
    paths = {name: tmp_path / name for name in pems}
    for name, path in paths.items():
        path.write_bytes(base64.b64decode(pems[name]))
    async with Api(f"https://127.0.0.1:{relay.port}", client_tls(paths["ca"], paths["cert"], paths["key"])) as api:
        yield api


def kubeconfig(cluster: Any) -> Any:
    return json.loads(Path(cluster.kubeconfig).read_text(encoding="utf-8"))


async def next_named(queue: asyncio.Queue[Any], name: str) -> Any:
    async with asyncio.timeout(20):
        while (change := await queue.get())[2] != name:
            pass
    return change


async def test_a_refusal_keeps_the_servers_status(api: Api) -> None:
    with pytest.raises(ApiError, match='namespaces "no-such" not found') as caught:
        await api.get("/api/v1/namespaces/no-such")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")


async def test_a_server_that_is_not_there_is_code_zero_with_what_to_type() -> None:
    async with Api("http://127.0.0.1:9") as api:
        with pytest.raises(ApiError) as caught:
            await api.get("/version")
    assert caught.value.code == 0
    assert caught.value.next.startswith("meshcourse status")


async def test_a_collection_is_followed_through_a_lost_connection(api: Api, relay: Relay, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    seen: list[tuple[str, Any]] = []
    arrived = asyncio.Event()

    async def follow() -> None:
        async with contextlib.aclosing(api.list_and_watch(path)) as changes:
            async for kind, what in changes:
                seen.append((kind, {each["metadata"]["name"] for each in what} if kind == "SYNC" else what["metadata"]["name"]))
                arrived.set()

    async def until(kind: str, name: str) -> None:
        async with asyncio.timeout(20):
            while (kind, name) not in seen:
                arrived.clear()
                await arrived.wait()

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        async with asyncio.timeout(20):
            await arrived.wait()
        await api.post(path, {"metadata": {"name": "before"}})
        await until("ADDED", "before")
        relay.cut()
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(ApiError):  # this request may meet the cut as well
                    await api.post(path, {"metadata": {"name": "after"}})
                    break
        await until("ADDED", "after")
        await api.delete(f"{path}/after")
        await until("DELETED", "after")
        following.cancel()
    assert [kind for kind, _ in seen].count("SYNC") == 1  # it went on where it was


async def test_items_of_a_list_say_what_they_are(api: Api) -> None:
    async with contextlib.aclosing(api.list_and_watch("/api/v1/namespaces")) as changes:
        kind, items = await anext(changes)
    assert kind == "SYNC"
    assert {(item["kind"], item["apiVersion"]) for item in items} == {("Namespace", "v1")}


async def test_objects_are_kept_current_and_changes_are_told(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    async with Objects(api) as objects, objects.subscribe() as changes:
        assert objects.get("Service", "default", "kubernetes") is not None
        await api.post(path, {"metadata": {"name": "pass"}, "stringData": {"word": "one"}})
        assert await next_named(changes, "pass") == ("Secret", namespace, "pass")
        await api.patch(f"{path}/pass", {"stringData": {"word": "two"}})
        await next_named(changes, "pass")
        found = objects.get("Secret", namespace, "pass")
        assert found is not None
        assert base64.b64decode(found["data"]["word"]) == b"two"
        assert [each["metadata"]["name"] for each in objects.list("Secret", namespace)] == ["pass"]
        await api.delete(f"{path}/pass")
        await next_named(changes, "pass")
        assert objects.get("Secret", namespace, "pass") is None


async def test_an_object_of_a_megabyte_arrives_whole(api: Api, namespace: str) -> None:
    async with Objects(api) as objects, objects.subscribe() as changes:
        await api.post(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "big"}, "data": {"x": "y" * 1_000_000}})
        await next_named(changes, "big")
        found = objects.get("ConfigMap", namespace, "big")
    assert found is not None
    assert len(found["data"]["x"]) == 1_000_000


async def test_a_token_is_good_for_its_audience_while_its_pod_lives(api: Api, kubectl: Any, apply: Any, get: Callable[..., Any]) -> None:
    apply("web", [{"name": "app", "image": "busybox", "command": ["sleep", "600"]}])
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=30s")
    kept = tokens.Tokens(api)
    pod, wanted = get("pod", "web"), tokens.Wanted("istio-ca", 600)
    token = await kept.get(pod, wanted)
    assert await kept.get(pod, wanted) is token
    assert kept.next_renewal == pytest.approx(token.issued + 480)
    assert await reviewed(api, token, "istio-ca") == f"system:serviceaccount:{pod['metadata']['namespace']}:default"
    assert await reviewed(api, token, "somebody-else") is None
    kubectl("delete", "pod", "web", "--now")
    async with asyncio.timeout(30):
        while await reviewed(api, token, "istio-ca") is not None:  # noqa: ASYNC110 - the API server remembers a good token for some seconds
            await asyncio.sleep(0.5)  # asked again, since nobody tells


async def reviewed(api: Api, token: tokens.Token, audience: str) -> str | None:
    """The user of the token, by the API server."""
    review = {"spec": {"token": token.text, "audiences": [audience]}}
    answer = await api.post("/apis/authentication.k8s.io/v1/tokenreviews", review)
    name: str | None = answer["status"].get("user", {}).get("username")
    return name


async def test_events_are_counted_in_the_api_server(api: Api, namespace: str) -> None:
    about = {"kind": "Pod", "apiVersion": "v1", "name": "ghost", "namespace": namespace, "uid": "u"}
    async with events.Events(api, "kubelet", "node") as recorder:
        for _ in range(3):
            recorder.record(about, "Warning", "Unhealthy", "Readiness probe failed: once more")
        recorder.record({**about, "fieldPath": "spec.containers{app}"}, "Normal", "Pulled", "it is there")
    found = (await api.get(f"/api/v1/namespaces/{namespace}/events"))["items"]
    assert {(each["reason"], each["count"]) for each in found} == {("Unhealthy", 3), ("Pulled", 1)}


async def test_an_event_in_a_namespace_that_is_gone_harms_no_other(api: Api, namespace: str) -> None:
    gone = {"kind": "Pod", "apiVersion": "v1", "name": "x", "namespace": "no-such", "uid": "u"}
    async with events.Events(api, "kubelet", "node") as recorder:
        recorder.record(gone, "Normal", "Lost", "nowhere to write it")
        recorder.record({**gone, "namespace": namespace}, "Normal", "Kept", "this one is written")
    assert [each["reason"] for each in (await api.get(f"/api/v1/namespaces/{namespace}/events"))["items"]] == ["Kept"]


class Interrupted:
    """An API on which somebody else says once that the pod is not ready, between our patch and its answer; `observed` sees that first."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.observed: Callable[[Any], None] | None = None

    async def patch(self, path: str, body: Any, content_type: str) -> Any:
        answer = await self._api.patch(path, body, content_type)
        if self.observed is not None:
            observed, self.observed = self.observed, None
            theirs = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
            observed(await self._api.patch(path, theirs, content_type))
        return answer


async def test_a_status_that_is_written_over_before_our_answer_comes_is_written_again(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"nodeName": "nowhere", "containers": [{"name": "app", "image": "nginx"}]}
    pod = await api.post(path, {"metadata": {"name": "pod"}, "spec": spec})
    running = ContainerRecord("app", "main", "nginx", Running("2026-01-01T00:00:00Z"), started=True, ready=True)
    record = PodRecord("172.18.0.2", "2026-01-01T00:00:00Z", (running,), networked=True, initialized=True)
    between = Interrupted(api)
    async with Report(cast("Api", between), pod, lambda: record) as report:
        between.observed = report.observe
        await report.flush()
    assert await ready(api, f"{path}/pod") == "True"


async def ready(api: Api, path: str) -> str:
    return next(each["status"] for each in (await api.get(path))["status"]["conditions"] if each["type"] == "Ready")


async def test_a_pods_new_address_takes_the_place_of_its_old_one(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"nodeName": "nowhere", "containers": [{"name": "app", "image": "nginx"}]}
    pod = await api.post(path, {"metadata": {"name": "pod"}, "spec": spec})
    address = "10.244.1.2"

    def record() -> PodRecord:
        return PodRecord("172.18.0.2", "2026-01-01T00:00:00Z", pod_ip=address)

    async with Report(api, pod, record) as report:
        await report.flush()
        address = "10.244.1.3"
        await report.flush()
    assert (await api.get(f"{path}/pod"))["status"]["podIPs"] == [{"ip": "10.244.1.3"}]
