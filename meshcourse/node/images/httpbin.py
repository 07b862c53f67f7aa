"""go-httpbin, the httpbin of Istio's newer samples; it also answers for the two Python images of the older ones."""

from __future__ import annotations

from meshcourse.engine import binaries
from meshcourse.node.images.image import Image, Program

_PROGRAM = Program(lambda: binaries.program("go-httpbin"), "/usr/bin/go-httpbin")

IMAGES = (
    Image(
        names=("docker.io/mccutchen/go-httpbin", "ghcr.io/mccutchen/go-httpbin"),
        identity="go-httpbin",
        entrypoint=("/usr/bin/go-httpbin",),
        programs=(_PROGRAM,),
    ),
    Image(
        names=("docker.io/kennethreitz/httpbin", "docker.io/kong/httpbin"),
        identity="go-httpbin on port 80",
        entrypoint=("/usr/bin/go-httpbin",),
        programs=(_PROGRAM,),
        environment={"PORT": "80"},
        stand_in="go-httpbin answers in place of the Python httpbin, on its port 80",
    ),
)
