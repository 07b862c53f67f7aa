"""helloworld v1 and v2 of Istio's samples, served by a program of ours (apps/helloworld.py)."""

from __future__ import annotations

from meshcourse.node.images import bookinfo, host_python
from meshcourse.node.images.image import Image

IMAGES = tuple(
    Image(
        names=bookinfo.names(f"helloworld-{version}"),
        identity=f"meshcourse's helloworld {version}",
        command=bookinfo.start("helloworld", 5000),
        environment={**bookinfo.ENVIRONMENT, "SERVICE_VERSION": version},
        working_dir=bookinfo.HOME,
        programs=bookinfo.PROGRAMS,
        links=host_python.HERE.links,
        stand_in=f"meshcourse's own helloworld {version}, with the interface of Istio's",
    )
    for version in ("v1", "v2")
)
