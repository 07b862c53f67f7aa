"""Servers of Istio's samples besides Bookinfo and helloworld, and Kubernetes' agnhost: programs of ours with the same interface (apps/).

Entry points and arguments are those of the originals' Dockerfiles. Each `imageID` says that it is a stand-in.
"""

from __future__ import annotations

from meshcourse.node.images import bookinfo, host_python
from meshcourse.node.images.image import Image

_RELEASE = ("registry.istio.io/release", "docker.io/istio", "gcr.io/istio-release")
_TESTING = ("registry.istio.io/testing", "gcr.io/istio-testing")


def _image(names: tuple[str, ...], program: str, app: str, *command: str, lacks: str = "") -> Image:
    """A program of ours at the path of the original."""
    called = names[0].rpartition("/")[2]
    return Image(
        names=names,
        identity=f"meshcourse's {called}",
        entrypoint=(program,),
        command=command,
        environment=bookinfo.ENVIRONMENT,
        programs=bookinfo.PROGRAMS,
        links=host_python.HERE.links,
        scripts={program: f'#!/bin/sh\nexec python3 -s -S -m apps.{app} "$@"\n'},
        stand_in=f"meshcourse's own {called}, with the interface of the original{lacks}",
    )


IMAGES = (
    _image(tuple(f"{hub}/tcp-echo-server" for hub in _RELEASE), "/usr/bin/tcp-echo", "tcp_echo", "9000", "hello"),
    _image(tuple(f"{hub}/ext-authz" for hub in _TESTING), "/usr/local/bin/extauthz", "ext_authz", lacks=", but no gRPC API v2"),
    _image(tuple(f"{hub}/jwt-server" for hub in _TESTING), "/usr/bin/jwt-server", "jwt_server"),
    _image(tuple(f"{hub}/app" for hub in _TESTING), "/usr/local/bin/server", "echo", lacks=", but no gRPC, HTTP/2 or websockets"),
    _image(
        ("registry.k8s.io/e2e-test-images/agnhost", "k8s.gcr.io/e2e-test-images/agnhost"),
        "/agnhost",
        "agnhost",
        "pause",
        lacks=", of which it has pause, netexec, serve-hostname and connect",
    ),
)
