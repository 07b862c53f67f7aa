"""Bookinfo's ratings: stars from two reviewers. `python3 -m apps.ratings 9080`."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from . import serving
from .serving import App, Reply, Request

STARS: Final = {"Reviewer1": 5, "Reviewer2": 4}
HALF: Final = 0.5
DELAY: Final = 7.0
DATABASE_SECONDS: Final = 5.0
AWAY: Final = {"v-unavailable": 60.0, "v-unhealthy": 900.0}


def from_database(where: tuple[str, int], number: int) -> dict[str, int]:
    """Ask our stand-in for a database (ratings_database.py). Raises OSError; ValueError for a real database's answer."""
    with socket.create_connection(where, DATABASE_SECONDS) as connection, connection.makefile("rb") as lines:
        connection.sendall(f"ratings {number}\n".encode())
        stars: dict[str, int] = json.loads(lines.readline())
        return stars


@dataclass(frozen=True)
class World:
    """Randomness and time, which tests replace."""

    die: Callable[[], float] = random.random
    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    ask: Callable[[tuple[str, int], int], dict[str, int]] = from_database


class Ratings:
    """The service."""

    def __init__(self, environment: Mapping[str, str], world: World) -> None:
        self._version = environment.get("SERVICE_VERSION", "v1")
        self._world = world
        self._began = world.now()
        self._stored: dict[int, dict[str, int]] = {}
        self._database = database(environment)

    def answer(self, request: Request) -> Reply:
        """Route one request."""
        if request.parts == ("health",):
            if self._version == "v-unhealthy" and self._away():
                return serving.as_json({"status": "Ratings is not healthy"}, 500)
            return serving.as_json({"status": "Ratings is healthy"})
        if request.parts[:1] != ("ratings",):
            return serving.not_found()
        try:
            number = int(request.parts[-1])
        except ValueError:
            return serving.as_json({"error": "please provide numeric product ID"}, 400)
        return self._write(number, request.body) if request.method == "POST" else self._read(number)

    def _read(self, number: int) -> Reply:
        if self._version == "v2":
            try:
                return serving.as_json({"id": number, "ratings": self._world.ask(self._database, number)})
            except (OSError, ValueError) as error:
                serving.say(f"{self._database[0]}:{self._database[1]}: {error}")
                return serving.as_json({"error": "could not connect to ratings database"}, 500)
        if self._away() or (self._version == "v-faulty" and self._world.die() < HALF):
            return serving.as_json({"error": "Service unavailable"}, 503)
        if self._version == "v-delayed" and self._world.die() < HALF:
            self._world.pause(DELAY)
        return serving.as_json({"id": number, "ratings": self._stored.get(number, STARS)})

    def _write(self, number: int, body: bytes) -> Reply:
        try:
            given = {str(name): int(stars) for name, stars in dict(json.loads(body)).items()}
        except (ValueError, TypeError):
            return serving.as_json({"error": "please provide valid ratings JSON"}, 400)
        self._stored[number] = given
        return serving.as_json({"id": number, "ratings": given})

    def _away(self) -> bool:
        """Odd periods since the start are the failing ones."""
        period = AWAY.get(self._version)
        return period is not None and int((self._world.now() - self._began) / period) % 2 == 1


def database(environment: Mapping[str, str]) -> tuple[str, int]:
    """Where v2's stars are, by the original's variables: MySQL's, or MongoDB's URL.

    >>> database({"MONGO_DB_URL": "mongodb://mongodb:27017/test"})
    ('mongodb', 27017)
    """
    if environment.get("DB_TYPE") == "mysql":
        return environment.get("MYSQL_DB_HOST", "mysqldb"), int(environment.get("MYSQL_DB_PORT") or 3306)
    url = urlsplit(environment.get("MONGO_DB_URL") or "mongodb://mongodb:27017/test")
    return url.hostname or "mongodb", url.port or 27017


def app(environment: Mapping[str, str], world: World | None = None) -> App:
    """The service."""
    return Ratings(environment, world or World()).answer


if __name__ == "__main__":
    serving.run(app(os.environ), sys.argv[1:], port=9080)
