"""The HTTP request that is sent, and where.

Cookies are sent as given and never taken from answers, so that all requests are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

from yarl import URL

from meshcourse.core import errors

_UNSENDABLE: Final = re.compile(r"[^\x21-\x7e]+")
"""Spaces, control characters and non-ASCII characters, which a request line cannot contain."""


@dataclass(frozen=True)
class Target:
    """One request. `host` replaces the Host header, as a Gateway's hosts need; `timeout` is in seconds, from sending to the last byte."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    timeout: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a request that cannot be sent, before any load runs. Raises TrafficError."""
        try:
            url = URL(self.url)
        except (ValueError, TypeError) as error:
            raise _unusable(self.url, str(error)) from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise _unusable(self.url, "a target is a full URL with http:// or https:// and a host")
        if not self.timeout > 0:
            raise errors.TrafficError(
                f"The timeout cannot be {self.timeout} s.",
                why="every answer takes longer than that",
                next="give timeout=10.0, for example",
            )
        for name, value in self.sent_headers().items():
            if any(character in name + value for character in "\r\n\0"):
                raise errors.TrafficError(
                    f"The header {name!r} holds a line break or a zero byte.", why="HTTP ends a header there", next="leave it out"
                )

    def as_sent(self) -> URL:
        """The URL with its path as given, spaces escaped: yarl would normalise `..` and `%79`, which is the gateway's task."""
        if not urlsplit(self.url).netloc.isascii():
            return URL(self.url)
        return URL(_UNSENDABLE.sub(lambda found: quote(found[0]), self.url), encoded=True)

    def sent_headers(self) -> dict[str, str]:
        """The headers of every request, in the order they are sent. Without compression, since labellers read the body."""
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "meshcourse"}
        given = {name.lower() for name in self.headers}
        sent = {name: value for name, value in sent.items() if name.lower() not in given}
        sent.update(self.headers)
        if self.host:
            sent["Host"] = self.host
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return sent

    @property
    def address(self) -> str:
        """`host:port`, for messages."""
        url = URL(self.url)
        return f"{url.host}:{url.port}"

    def describe(self) -> dict[str, Any]:
        """The target as JSON, for a recording's first line."""
        return {
            "url": self.url,
            "method": self.method,
            "headers": dict(self.headers),
            "cookies": dict(self.cookies),
            "host": self.host,
            "timeout": self.timeout,
        }


def _unusable(url: str, why: str) -> errors.TrafficError:
    return errors.TrafficError(f"No request can be sent to {url!r}.", why=why, next="give a URL such as http://127.0.0.1:31718/")
