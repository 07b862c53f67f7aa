"""An incomplete installation is distinguished from a complete one, by what its Deployments need."""

from __future__ import annotations

import pytest

from meshcourse.mesh.install import completeness
from meshcourse.mesh.install.installation import Installation

DEMO = Installation("1.31.0", (("istio-egressgateway", 1, 1), ("istio-ingressgateway", 1, 1), ("istiod", 1, 1)))
WHOLE = frozenset(completeness.lacking(DEMO, ()))


def test_all_that_is_needed_is_enough() -> None:
    assert completeness.lacking(DEMO, WHOLE) == ()


@pytest.mark.parametrize("gone", sorted(WHOLE))
def test_each_single_object_that_is_not_there_is_named(gone: str) -> None:
    assert completeness.lacking(DEMO, WHOLE - {gone}) == (gone,)


def test_a_gateway_that_nobody_installed_needs_nothing() -> None:
    minimal = Installation("1.31.0", (("istiod", 1, 1),))
    assert not [each for each in completeness.lacking(minimal, ()) if "gateway" in each]


def test_an_older_istio_is_not_asked_for_the_webhook_of_the_default_tag() -> None:
    older = Installation("1.18.2", DEMO.deployments)
    assert "mutatingwebhookconfiguration/istio-revision-tag-default" not in completeness.lacking(older, ())
    assert "mutatingwebhookconfiguration/istio-revision-tag-default" in completeness.lacking(DEMO, ())
