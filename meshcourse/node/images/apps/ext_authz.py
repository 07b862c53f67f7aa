"""Istio's sample external authorizer, by HTTP (8000) and gRPC (9000). `python3 -m apps.ext_authz`.

A request with the header `x-ext-authz: allow` is allowed. By gRPC, one without that header is allowed when its client's certificate is of
the service account `a` (-allow_service_account). Answers, their headers and the body of a refusal are those of the original.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from . import grpc_unary, protobuf, serving
from .serving import App, Reply, Request

CHECK: Final = "x-ext-authz"
ALLOW: Final = "allow"
RESULT: Final = "x-ext-authz-check-result"
RECEIVED: Final = "x-ext-authz-check-received"
OVERRIDE: Final = "x-ext-authz-additional-header-override"
OVERRIDE_BY_GRPC: Final = "grpc-additional-header-override-value"
REFUSAL: Final = f"denied by ext_authz for not found header `{CHECK}: {ALLOW}` in the request"
LONGEST: Final = 16_000
FORBIDDEN, PERMISSION_DENIED = 403, 7


def http(request: Request) -> Reply:
    """The HTTP check: Envoy sends the request itself."""
    allowed = request.headers.get(CHECK) == ALLOW
    headers = json.dumps(dict(request.headers))
    where = f"{request.method} {request.headers.get('host', '')}{request.path}"
    line = f"{where}, headers: {headers}, body: [{request.body.decode(errors='replace')}]"
    serving.say(f"[HTTP][{'allowed' if allowed else 'denied'}]: {line}")
    told = ((RESULT, "allowed" if allowed else "denied"), (OVERRIDE, request.headers.get(OVERRIDE, "")), (RECEIVED, _short(line)))
    return Reply(200 if allowed else FORBIDDEN, b"" if allowed else REFUSAL.encode(), "text/plain; charset=utf-8", told)


def grpc(account: str) -> grpc_unary.Method:
    """The gRPC check: a CheckRequest (envoy.service.auth.v3) in, a CheckResponse out."""

    def check(message: bytes) -> bytes:
        attributes = protobuf.get(message, 1)
        request = protobuf.get(attributes, 4, 2)
        headers = dict(_pair(value) for number, value in protobuf.fields(request) if number == 3)  # noqa: PLR2004 - HttpRequest.headers
        principal = protobuf.get(attributes, 1, 4).decode(errors="replace")
        allowed = headers[CHECK] == ALLOW if CHECK in headers else principal.endswith(f"/sa/{account}")
        method, path, host = (protobuf.get(request, number).decode(errors="replace") for number in (2, 4, 5))
        received = json.dumps({"source": principal, "method": method, "host": host, "path": path, "headers": headers})
        serving.say(f"[gRPCv3][{'allowed' if allowed else 'denied'}]: {host}{path}, attributes: {received}")
        return response(allowed=allowed, received=_short(received))

    return check


def response(*, allowed: bool, received: str) -> bytes:
    """A CheckResponse: status (1), and denied_response (2) or ok_response (3)."""
    told = {RESULT: "allowed" if allowed else "denied", RECEIVED: received, OVERRIDE: OVERRIDE_BY_GRPC}
    options = b"".join(protobuf.field(2, protobuf.field(1, _header(name, value))) for name, value in told.items())
    if allowed:
        return protobuf.field(1, b"") + protobuf.field(3, options)
    denied = protobuf.field(1, protobuf.field(1, FORBIDDEN)) + options + protobuf.field(3, REFUSAL)
    return protobuf.field(1, protobuf.field(1, PERMISSION_DENIED)) + protobuf.field(2, denied)


def _header(name: str, value: str) -> bytes:
    return protobuf.field(1, name) + protobuf.field(2, value)


def _pair(entry: bytes) -> tuple[str, str]:
    return protobuf.get(entry, 1).decode(errors="replace"), protobuf.get(entry, 2).decode(errors="replace")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else "<too-long>"


def app(_: Mapping[str, str]) -> App:
    """The HTTP half."""
    return http


def main(words: Sequence[str]) -> int:
    """Serve both until killed."""
    parser = argparse.ArgumentParser(prog="extauthz", allow_abbrev=False)
    parser.add_argument("-http", "--http", type=int, default=8000)
    parser.add_argument("-grpc", "--grpc", type=int, default=9000)
    parser.add_argument("-allow_service_account", "--allow_service_account", default="a")
    given = parser.parse_args(words)
    server = grpc_unary.Server(grpc(given.allow_service_account), given.grpc)
    serving.say(f"Starting gRPC server at [::]:{given.grpc}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serving.run(app({}), [], port=given.http)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
