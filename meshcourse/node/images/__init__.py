"""The images that this node can run: a table, and the lookup by reference."""

from __future__ import annotations

from meshcourse.node.images import bookinfo, busybox, coredns, curl, fortio, helloworld, httpbin, istio, more, nginx, pause, samples, tomcat
from meshcourse.node.images.image import Image, ensure_layer, layer_path

__all__ = ["TABLE", "Image", "UnknownImage", "ensure_layer", "find", "layer_path", "part_of", "repository_and_tag"]

TABLE: tuple[Image, ...] = (
    *istio.IMAGES,
    *nginx.IMAGES,
    *httpbin.IMAGES,
    *fortio.IMAGES,
    *busybox.IMAGES,
    *curl.IMAGES,
    *coredns.IMAGES,
    *bookinfo.IMAGES,
    *helloworld.IMAGES,
    *tomcat.IMAGES,
    *samples.IMAGES,
    *pause.IMAGES,
)


class UnknownImage(LookupError):  # noqa: N818 - reads as the sentence it is
    """No row of the table serves this reference."""


def repository_and_tag(reference: str) -> tuple[str, str]:
    """Split a reference into its full repository name and its tag ("latest" when there is none, as Docker does).

    >>> repository_and_tag("nginx")
    ('docker.io/library/nginx', 'latest')
    >>> repository_and_tag("localhost:5000/a/b:1@sha256:00")
    ('localhost:5000/a/b', '1')
    """
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    name = head + slash + last
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    return name, tag or "latest"


def find(reference: str) -> Image:
    """The row for `reference`.

    Raises UnknownImage when no row has this repository, or the row has other versions only.
    """
    repository, tag = repository_and_tag(reference)
    for image in (*more.rows(), *TABLE):
        if repository not in image.names:
            continue
        if image.tags and not tag.startswith(image.tags):
            served = ", ".join(image.tags)
            message = (
                f'image "{reference}": this node runs {image.identity} and serves only the tags {served}; '
                "the kind backend runs any version (meshcourse images shows the table)"
            )
            raise UnknownImage(message)
        return image
    message = (
        f'image "{reference}" is not one that this node can run: it pulls nothing and knows only the images that '
        "`meshcourse images` lists; a cluster started by `meshcourse up --images registry` pulls others, the kind backend runs any image"
    )
    raise UnknownImage(message)


def part_of(reference: str) -> str:
    """`cluster` or `istio` for an image that belongs to one of them in any version, so that only the table serves it; empty for others."""
    repository, _ = repository_and_tag(reference)
    return next((image.part_of for image in TABLE if repository in image.names), "")
