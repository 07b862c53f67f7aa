"""Bookinfo's productpage: the page that people see, made from details and reviews. `python3 -m apps.productpage 9080`."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, quote, unquote

from . import calling, page, serving
from .calling import Place
from .page import Outcome
from .serving import App, Reply, Request

PATIENCE: Final = 3.0
TRIES: Final = {"details": 1, "reviews": 2, "ratings": 1}
BOOK: Final = {
    "id": 0,
    "title": "The Comedy of Errors",
    "descriptionHtml": (
        "One of <b>Shakespeare's</b> first plays, and one of his shortest. Two pairs of twins, parted in a storm at sea, come to the same "
        "town on the same day, and everybody takes everybody for somebody else."
    ),
}


class Productpage:
    """The service. `get(service, number, request)` asks one of the others; `answer` is the whole of it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._places = {name: Place.named(name, environment) for name in TRIES}
        flood = environment.get("FLOOD_FACTOR", "0")
        self._flood = int(flood) if flood.isdigit() else 0
        self._results: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """Route one request."""
        match request.parts:
            case ("health",):
                return serving.as_text("Product page is healthy")
            case ("metrics",):
                return serving.as_text(self._metrics(), kind="text/plain; version=0.0.4")
            case ("login",):
                return login(request) if request.method == "POST" else Reply(405, headers=(("allow", "POST"),))
            case ("logout",):
                return _back(request, "")
            case ("api", "v1", "products", *rest):
                return self._api(rest, request)
        return self._html(request)

    def get(self, service: str, number: str, request: Request) -> Outcome:
        """Ask a service about a book, with its number of tries."""
        headers = calling.propagated(request.headers)
        user = user_of(request)
        if user:
            headers["end-user"] = user.encode().decode("latin-1")  # how bytes of UTF-8 are put in a header
        status = 500
        for _ in range(TRIES[service]):
            try:
                answer = calling.get(self._places[service].url(f"/{service}/{number}"), headers, PATIENCE)
                status = answer.status
                content = answer.json() if status == 200 else {}  # noqa: PLR2004 - HTTP's OK
            except (calling.NoAnswer, ValueError) as error:
                sys.stdout.write(f"{service}: {error}\n")
                status, content = 500, {}
            with self._lock:
                self._results[service, status] += 1
            if status == 200:  # noqa: PLR2004 - HTTP's OK
                return Outcome(status, content)
        return Outcome(status, {"error": f"Sorry, product {service} are currently unavailable for this book."})

    def _html(self, request: Request) -> Reply:
        match request.parts:
            case () | ("index.html",):
                places = [(name, place.url("/")) for name, place in self._places.items()]
                return serving.as_text(page.index(places, user_of(request)), kind="text/html")
            case ("productpage",):
                for _ in range(self._flood):
                    threading.Thread(target=self.get, args=("reviews", "0", request), daemon=True).start()
                details = self.get("details", "0", request)
                reviews = self.get("reviews", "0", request)
                return serving.as_text(page.product(BOOK, details, reviews, user_of(request)), kind="text/html")
        return serving.not_found()

    def _api(self, words: list[str], request: Request) -> Reply:
        match words:
            case []:
                return serving.as_json([BOOK])
            case [number]:
                outcome = self.get("details", quote(number, safe=""), request)
            case [number, "reviews" | "ratings" as service]:
                outcome = self.get(service, quote(number, safe=""), request)
            case _:
                return serving.not_found()
        return serving.as_json(outcome.content, outcome.status)

    def _metrics(self) -> str:
        with self._lock:
            counted = sorted(self._results.items())
        lines = [f'request_result_total{{destination_app="{app}",response_code="{code}"}} {n}.0' for (app, code), n in counted]
        return "\n".join(["# HELP request_result_total Results of requests", "# TYPE request_result_total counter", *lines, ""])


def user_of(request: Request) -> str:
    """The signed-in user: the cookie `session`; "" for none. The name may contain nothing that could end a header's line."""
    for part in request.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == "session":
            user = unquote(value)
            return user if user.isprintable() else ""
    return ""


def login(request: Request) -> Reply:
    """Sign in the user that the form names."""
    given = parse_qs(request.body.decode("utf-8", "replace")).get("username", [""])[0].strip()
    return _back(request, given)


def _back(request: Request, user: str) -> Reply:
    """Redirect the browser to where it came from, with its session kept or dropped."""
    age = "" if user else "; Max-Age=0"
    cookie = f"session={quote(user, safe='')}; HttpOnly; Path=/; SameSite=Lax{age}"
    return Reply(302, headers=(("location", request.headers.get("referer") or "/productpage"), ("set-cookie", cookie)))


def app(environment: Mapping[str, str]) -> App:
    """The service."""
    return Productpage(environment).answer


if __name__ == "__main__":
    serving.run(app(os.environ), sys.argv[1:], port=9080)
