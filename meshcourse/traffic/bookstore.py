"""Bookinfo as a visitor uses it: sign in, and read the stars in an answer.

Works the same on Istio's own images.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from meshcourse.core import errors

REVIEWS: Final = "/api/v1/products/0/reviews"
RATINGS: Final = "/api/v1/products/0/ratings"
COLOURS: Final = ("none", "black", "red")
"""The text for the stars of reviews v1, v2 and v3."""
PATIENCE: Final = 10.0
_COLOUR: Final = re.compile(rb'"color":\s*"(\w+)"')


def sign_in(ingress_url: str, user: str, *, host: str = "") -> dict[str, str]:
    """Sign in as `user` (any password works) and return the headers of that user's requests; none without a user.

    Raises TrafficError when productpage does not answer or returns no session.
    """
    if not user:
        return {}
    place = urlsplit(ingress_url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)
    form = {"content-type": "application/x-www-form-urlencoded", **({"host": host} if host else {})}
    try:
        connection.request("POST", "/login", f"username={quote(user, safe='')}&passwd=", form)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        why = f"{ingress_url}/login: {type(error).__name__}: {error}"
        raise errors.TrafficError(f"Signing in as {user} failed.", why=why, next='lab.request("/productpage")') from error
    finally:
        connection.close()
    cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
    if not cookie.startswith("session="):
        why = f"{ingress_url}/login answered {answer.status}, without a session"
        raise errors.TrafficError(f"Signing in as {user} failed.", why=why, next='lab.request("/productpage")')
    return {"cookie": cookie}


def stars(status: int, headers: Mapping[str, str], content: bytes) -> str:  # noqa: ARG001 - a Labeller
    """`none`, or the colour of the stars in productpage's JSON of reviews; empty where there are no reviews."""
    found = _COLOUR.search(content)
    if found:
        return found[1].decode()
    return "none" if b'"reviews"' in content and b'"rating"' not in content else ""
