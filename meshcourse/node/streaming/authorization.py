"""Authorization of kubelet API requests: kube-apiserver may do everything; others, with a token, what the API server allows them.

As in a kubelet's webhook mode, a TokenReview is followed by a SubjectAccessReview: may the user `get` nodes/metrics, nodes/stats or,
for all other paths, nodes/proxy?
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from meshcourse.node.api import Api

Allowed = Callable[[str, str, str], Awaitable[tuple[int, str]]]
"""(token, verb, subresource of nodes) -> 200, 401 or 403 and the message for it."""
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}


def subresource(path: str) -> str:
    """The subresource of nodes that a path of the kubelet API stands for.

    >>> subresource("/metrics/resource"), subresource("/stats/summary"), subresource("/exec/a/b/c")
    ('metrics', 'stats', 'proxy')
    """
    first = path.strip("/").partition("/")[0]
    return first if first in ("metrics", "stats") else "proxy"


def reviewer(api: Api, node: str) -> Allowed:
    """Asks the API server for every request; nothing is cached."""

    async def allowed(token: str, verb: str, which: str) -> tuple[int, str]:
        authentication, authorization = "authentication.k8s.io/v1", "authorization.k8s.io/v1"
        asked: dict[str, Any] = {"apiVersion": authentication, "kind": "TokenReview", "spec": {"token": token}}
        who = (await api.post(f"/apis/{authentication}/tokenreviews", asked)).get("status") or {}
        if not who.get("authenticated"):
            return 401, "Unauthorized"
        user = who["user"]
        wanted = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": which, "name": node}
        spec = {"user": user.get("username", ""), "groups": user.get("groups") or [], "resourceAttributes": wanted}
        asked = {"apiVersion": authorization, "kind": "SubjectAccessReview", "spec": spec}
        answer = (await api.post(f"/apis/{authorization}/subjectaccessreviews", asked)).get("status") or {}
        if answer.get("allowed"):
            return 200, ""
        return 403, f"Forbidden (user={user.get('username')}, verb={verb}, resource=nodes, subresource={which})"

    return allowed


def guard(allowed: Allowed | None) -> Any:  # noqa: ANN401 - aiohttp's middleware
    """Let in whoever has shown kube-apiserver's certificate, and others as `allowed` says."""

    @web.middleware
    async def look(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        tls = None if request.transport is None else request.transport.get_extra_info("ssl_object")
        if tls is not None and tls.getpeercert():
            return await handler(request)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if allowed is None or kind.lower() != "bearer" or not token:
            raise web.HTTPUnauthorized(text="Unauthorized")
        code, why = await allowed(token.strip(), _VERBS.get(request.method, "get"), subresource(request.path))
        if code != web.HTTPOk.status_code:
            raise (web.HTTPForbidden if code == web.HTTPForbidden.status_code else web.HTTPUnauthorized)(text=why)
        return await handler(request)

    return look
