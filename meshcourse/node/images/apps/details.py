"""Bookinfo's details: the data of a book, always the same. `python3 -m apps.details 9080`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from . import serving
from .serving import App, Reply, Request


def app(environment: Mapping[str, str]) -> App:
    """The service."""
    if environment.get("ENABLE_EXTERNAL_BOOK_SERVICE") == "true":
        sys.stdout.write("ENABLE_EXTERNAL_BOOK_SERVICE is set, which this program cannot do: it answers with its own details\n")

    def answer(request: Request) -> Reply:
        if request.parts == ("health",):
            return serving.as_json({"status": "Details is healthy"})
        if request.parts[:1] != ("details",):
            return serving.not_found()
        try:
            number = int(request.parts[-1])
        except ValueError:
            return serving.as_json({"error": "please provide numeric product id"}, 400)
        return serving.as_json(
            {
                "id": number,
                "author": "William Shakespeare",
                "year": 1595,
                "type": "paperback",
                "pages": 200,
                "publisher": "PublisherA",
                "language": "English",
                "ISBN-10": "1234567890",
                "ISBN-13": "123-1234567890",
            }
        )

    return answer


if __name__ == "__main__":
    serving.run(app(os.environ), sys.argv[1:], port=9080)
