"""`meshcourse images`: which images the embedded node runs, and what really answers for each.

Comes in: the table of node/images. Goes out: it, for people.
"""

from __future__ import annotations

from meshcourse.cli import display


def images() -> None:
    """List the images that pods can use. Beside each stands what really runs on the embedded node.

    \b
    meshcourse images
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.node.images import TABLE

    rows = [
        (name, ", ".join(f"{tag}*" for tag in image.tags) or "any", image.stand_in or image.identity)
        for image in TABLE
        for name in image.names
    ]
    display.table(("image", "tags", "what runs"), rows)
    display.console.print("A pod with any other image gets ErrImagePull; the kind backend runs any image.", soft_wrap=True)
