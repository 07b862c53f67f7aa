"""Bookinfo's reviews: two opinions on a book, with stars if the version has them. `python3 -m apps.reviews 9080`."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

from . import calling, serving
from .calling import Place
from .serving import App, Reply, Request

PATIENCE_BLACK: Final = 10.0
PATIENCE_OTHERS: Final = 2.5
NO_RATINGS: Final = "Ratings service is currently unavailable"
TEXTS: Final = {
    "Reviewer1": "Two pairs of twins, one town, and nobody who asks the right question. I laughed from the first page to the last.",
    "Reviewer2": "Quick, noisy and good fun. Those who look for depth will find it in his later plays.",
}


def app(environment: Mapping[str, str]) -> App:
    """The service."""
    rated = environment.get("ENABLE_RATINGS") == "true"
    colour = environment.get("STAR_COLOR") or "black"
    patience = PATIENCE_BLACK if colour == "black" else PATIENCE_OTHERS
    ratings = Place.named("ratings", environment)

    def stars(number: str, headers: Mapping[str, str]) -> dict[str, int]:
        """Stars by reviewer; empty when ratings does not answer well."""
        try:
            answer = calling.get(ratings.url(f"/ratings/{number}"), calling.propagated(headers), patience)
            given = answer.json()["ratings"] if answer.status == 200 else {}  # noqa: PLR2004 - HTTP's OK
            return {name: int(given[name]) for name in TEXTS if name in given}
        except (calling.NoAnswer, ValueError, KeyError, TypeError) as error:
            sys.stdout.write(f"no ratings: {error}\n")
            return {}

    def review(reviewer: str, given: Mapping[str, int]) -> dict[str, Any]:
        opinion: dict[str, Any] = {"reviewer": reviewer, "text": TEXTS[reviewer]}
        if rated:
            opinion["rating"] = {"stars": given[reviewer], "color": colour} if reviewer in given else {"error": NO_RATINGS}
        return opinion

    def answer(request: Request) -> Reply:
        if request.parts == ("health",):
            return serving.as_json({"status": "Reviews is healthy"})
        if request.parts[:1] != ("reviews",) or not request.parts[-1].isdecimal():
            return serving.not_found()
        number = request.parts[-1]
        given = stars(number, request.headers) if rated else {}
        return serving.as_json(
            {
                "id": number,
                "podname": environment.get("HOSTNAME") or socket.gethostname(),
                "clustername": environment.get("CLUSTER_NAME") or "null",
                "reviews": [review(reviewer, given) for reviewer in TEXTS],
            }
        )

    return answer


if __name__ == "__main__":
    serving.run(app(os.environ), sys.argv[1:], port=9080)
