"""A pod's service account tokens: requested, cached, and renewed in time."""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshcourse.node.api import ApiError

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api

_log = logging.getLogger(__name__)

_SHARE_OF_LIFE = 0.8
_LONGEST = 24 * 3600.0


@dataclass(frozen=True)
class Wanted:
    """The request in a projected source. An empty audience is the API server's own."""

    audience: str
    seconds: int


@dataclass(frozen=True)
class Token:
    """A token with its times, in seconds since the epoch."""

    text: str
    issued: float
    expires: float

    @property
    def renew_at(self) -> float:
        """When to request a new one."""
        return self.issued + min(_SHARE_OF_LIFE * (self.expires - self.issued), _LONGEST)


class Tokens:
    """The tokens of one pod."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kept: dict[Wanted, Token] = {}

    @property
    def next_renewal(self) -> float | None:
        """When the next token is due, in seconds since the epoch; None without tokens."""
        return min((token.renew_at for token in self._kept.values()), default=None)

    async def get(self, pod: Json, wanted: Wanted) -> Token:
        """A token that is not due for renewal. Raises ApiError when none is valid any more."""
        kept = self._kept.get(wanted)
        if kept is not None and time.time() < kept.renew_at:
            return kept
        try:
            token = read(await self._api.post(request_path(pod), request(pod, wanted)))
        except ApiError as error:
            if kept is None or time.time() >= kept.expires:
                raise
            _log.warning("token of pod %s not renewed, the old one stays: %s", pod["metadata"]["name"], error.what)
            return kept
        self._kept[wanted] = token
        return token


def request_path(pod: Json) -> str:
    """The path of the TokenRequest subresource of the pod's service account."""
    account = pod["spec"].get("serviceAccountName") or "default"
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/serviceaccounts/{account}/token"


def request(pod: Json, wanted: Wanted) -> Json:
    """The TokenRequest that binds a token to this pod."""
    metadata = pod["metadata"]
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [wanted.audience] if wanted.audience else [],
            "expirationSeconds": wanted.seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]},
        },
    }


def read(answer: Json) -> Token:
    """The token in the API server's answer, which may have another lifetime."""
    expires = dt.datetime.fromisoformat(answer["status"]["expirationTimestamp"]).timestamp()
    return Token(answer["status"]["token"], expires - float(answer["spec"]["expirationSeconds"]), expires)
