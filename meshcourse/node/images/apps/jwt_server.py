"""Istio's sample server of JSON Web Keys, by HTTP (8000) and HTTPS. `python3 -m apps.jwt_server -https 8443 -cert FILE -key FILE`.

Every path answers with one public key, the original's; `?delay=2s` answers later.
"""

from __future__ import annotations

import argparse
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from . import serving
from .serving import App, Reply, Request

# The public key that the original serves: a fact of the sample, not a secret. It is not the key of security/tools/jwt/samples.
MODULUS: Final = (
    "raJ7ZEhMfrBUo2werGKOow9an1B6Ukc6dKY2hNi10eaQe9ehJCjLpmJpePxoqaCi2VYt6gncLfhEV71JDGsodbfYMlaxwWTt6lXBcjlVXHWDXLC45rHVfi9FjSSXloHqmSStpjv3"
    "mrW3R6fx2VeVVP_mrA6ZHtcynq6ecJqO11STvVoeeM3lEsASVSWsUrKltC1Crfo0sI7YG34QjophVTEi8B9gVepAJZV-Bso5sinRABnxfLUM7DU5c8MO114uvXThgSIuAOM9PbVi"
    "SC3X6Y9Gsjsy881HGO-EJaUCrwSWnwQW5sp0TktrYL70-M4_ug-X51Yt_PErmncKupx8Hw"
)
KEY_ID: Final = "tT_w9LRNrY7wJalGsTYSt7rutZi86Gvyc0EKR4CaQAw"
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float | None:
    """A duration as Go writes it ("1.5s", "1m30s", "200ms"); None for what is none.

    >>> seconds("1m30s"), seconds("soon")
    (90.0, None)
    """
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    whole = "".join(number + unit for number, unit in parts) == text and text != ""
    try:
        return sum(float(number) * UNITS[unit] for number, unit in parts) if whole else None
    except ValueError:
        return None


def app(pause: Callable[[float], None] = time.sleep) -> App:
    """The service."""
    keys = serving.as_json({"keys": [{"e": "AQAB", "kid": KEY_ID, "kty": "RSA", "n": MODULUS}]})

    def answer(request: Request) -> Reply:
        if "delay" in request.query:
            delay = seconds(request.query["delay"])
            if delay is None:
                return serving.as_text("Invalid delay parameter", 400)
            pause(delay)
        return keys

    return answer


def main(words: Sequence[str]) -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="jwt-server", allow_abbrev=False)
    parser.add_argument("-http", "--http", type=int, default=8000)
    parser.add_argument("-https", "--https", type=int, default=8443)
    parser.add_argument("-cert", "--cert", default="")
    parser.add_argument("-key", "--key", default="")
    given = parser.parse_args(words)
    if given.cert and given.key:
        from . import tls  # noqa: PLC0415 - see there

        server = serving.Server(app(), given.https, wrap=tls.wrapping(given.cert, given.key))
        serving.say(f"Starting HTTPS server on port {given.https}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
    serving.run(app(), [], port=given.http)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
