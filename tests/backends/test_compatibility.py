"""Which versions go together: presets, Istio's own table, and the error for an unsupported pair."""

from __future__ import annotations

import pytest

from meshcourse.backends import compatibility
from meshcourse.backends.compatibility import PRESETS, Pair
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError


@pytest.mark.parametrize(
    ("kubernetes", "istio", "found"),
    [
        ("", "", ("1.36", settings.ISTIO)),
        ("1.36", "1.31", ("1.36", settings.ISTIO)),
        ("1.28", "", ("1.28", "1.18.2")),
        ("v1.23.17", "", ("1.23", "1.13.1")),
        ("", "1.13", ("1.23", "1.13.1")),
        ("", "1.18.2", ("1.28", "1.18.2")),
        ("1.23", "1.17.8", ("1.23", "1.17.8")),
        ("", "1.20.1", ("1.28", "1.20.1")),
        ("", "1.24.6", ("1.28", "1.24.6")),
        ("", "1.30.1", ("1.36", "1.30.1")),
    ],
)
def test_a_pair_is_completed(kubernetes: str, istio: str, found: tuple[str, str]) -> None:
    chosen = compatibility.choose(kubernetes, istio)
    assert (chosen.kubernetes, chosen.istio) == found


@pytest.mark.parametrize(
    ("kubernetes", "istio", "why", "next_step"),
    [
        ("1.36", "1.13.1", "1.20 to 1.23", "--k8s 1.23 --istio-version 1.13.1"),
        ("1.23", "1.31", "1.32 to 1.37", f"--k8s 1.36 --istio-version {settings.ISTIO}"),
        ("1.36", "1.18.2", "1.24 to 1.27", "--k8s 1.28 --istio-version 1.18.2"),
        ("1.36", "1.22.3", "1.27 to 1.30", "--k8s 1.28 --istio-version 1.22.3"),
        ("1.36", "1.18.1", "1.24 to 1.27", f"--k8s 1.36 --istio-version {settings.ISTIO}"),
        ("1.28", "1.30.1", "1.32 to 1.36", "--k8s 1.36 --istio-version 1.30.1"),
        ("1.36", "1.29.0", "1.31 to 1.35", f"--k8s 1.36 --istio-version {settings.ISTIO}"),
        ("1.28", "1.27.7", "1.29 to 1.33", "--k8s 1.28 --istio-version 1.18.2"),
        ("", "1.26.8", "1.29 to 1.33", "--k8s 1.36"),
        ("1.29", "", "1.36, 1.28, 1.23", "--k8s 1.36"),
        ("1.23", "1.9", "it knows 1.31", "--k8s 1.36"),
    ],
)
def test_a_pair_that_istio_does_not_support_is_refused_with_one_that_works(kubernetes: str, istio: str, why: str, next_step: str) -> None:
    with pytest.raises(ClusterError) as refused:
        compatibility.choose(kubernetes, istio)
    assert why in refused.value.why
    assert next_step in refused.value.next


def test_what_a_refusal_proposes_is_accepted() -> None:
    for kubernetes in compatibility.IMAGES:
        for minor in compatibility.SUPPORTED:
            proposed = compatibility.nearest(kubernetes, compatibility.whole(minor))
            assert compatibility.choose(proposed.kubernetes, proposed.istio) == proposed


def test_every_preset_has_a_node_image_by_digest_and_says_where_it_leaves_the_table() -> None:
    for preset in PRESETS:
        image = compatibility.IMAGES[preset.kubernetes]
        assert image.startswith(f"kindest/node:v{preset.kubernetes}.")
        assert len(image.partition("@sha256:")[2]) == 64
        supported = int(preset.kubernetes.partition(".")[2]) in compatibility.SUPPORTED[compatibility.minor(preset.istio)]
        assert supported is not bool(preset.note)
    assert Pair("1.28", "1.18.2").options == "--k8s 1.28 --istio-version 1.18.2"
