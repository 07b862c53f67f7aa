"""Bookinfo, the bookstore of Istio's samples: six images, served by programs of ours with the same interfaces.

productpage (Python), details (Ruby), ratings (Node.js) and three versions of reviews (Java) become small Python programs (apps/).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from meshcourse.node.images import host_python
from meshcourse.node.images.image import Image, Program

APPS: Final = Path(__file__).parent / "apps"
HOME: Final = "/opt/microservices"
HUBS: Final = ("docker.io/istio", "registry.istio.io/release", "gcr.io/istio-release")
PROGRAMS: Final = (*host_python.HERE.programs(), Program(lambda: APPS, f"{HOME}/apps"))
# One malloc arena for all threads: it keeps a service below 15 MB.
ENVIRONMENT: Final = {"PYTHONPATH": HOME, "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "1"}


def names(image: str) -> tuple[str, ...]:
    """The repositories under which Istio publishes a sample's image."""
    return tuple(f"{hub}/examples-{image}" for hub in HUBS)


def start(app: str, port: int) -> tuple[str, ...]:
    """The command of one of our programs, without site-packages, which it does not need."""
    return ("python3", "-s", "-S", "-m", f"apps.{app}", str(port))


def _image(service: str, version: str, environment: Mapping[str, str]) -> Image:
    return Image(
        names=names(f"bookinfo-{service}-{version}"),
        identity=f"meshcourse's {service} {version}",
        command=start(service, 9080),
        environment={**ENVIRONMENT, **environment},
        working_dir=HOME,
        programs=PROGRAMS,
        links=host_python.HERE.links,
        stand_in=f"meshcourse's own {service} {version}, with the interface of Istio's",
    )


_ENTRYPOINT: Final = "/usr/local/bin/docker-entrypoint.sh"


def _database(name: str, port: int, program: str) -> Image:
    return Image(
        names=names(f"bookinfo-{name}"),
        identity=f"meshcourse's {name} of Bookinfo",
        entrypoint=(_ENTRYPOINT,),
        command=(program,),
        scripts={_ENTRYPOINT: f"#!/bin/sh\nexec {' '.join(start('ratings_database', port))}\n"},  # a database's options have no effect here
        environment=ENVIRONMENT,
        working_dir=HOME,
        programs=PROGRAMS,
        links=host_python.HERE.links,
        stand_in=f"no database: two stars in meshcourse's own words, which only its ratings v2 understands (port {port}, as {name})",
    )


IMAGES = (
    _image("productpage", "v1", {}),
    _image("details", "v1", {"SERVICE_VERSION": "v1"}),
    _image("details", "v2", {"SERVICE_VERSION": "v2"}),
    _image("ratings", "v1", {"SERVICE_VERSION": "v1"}),
    _image("ratings", "v2", {"SERVICE_VERSION": "v2"}),
    _database("mongodb", 27017, "mongod"),
    _database("mysqldb", 3306, "mysqld"),
    _image("reviews", "v1", {"SERVICE_VERSION": "v1", "ENABLE_RATINGS": "false"}),
    _image("reviews", "v2", {"SERVICE_VERSION": "v2", "ENABLE_RATINGS": "true", "STAR_COLOR": "black"}),
    _image("reviews", "v3", {"SERVICE_VERSION": "v3", "ENABLE_RATINGS": "true", "STAR_COLOR": "red"}),
)
