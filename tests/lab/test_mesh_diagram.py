"""The map of the mesh: which component called which, and a picture for any set of components."""

from __future__ import annotations

import base64

import pytest

from meshcourse.diagrams import svg
from meshcourse.lab import mesh_diagram
from meshcourse.lab.mesh_diagram import API, Line, Map, Workload
from meshcourse.measure.sockets import Socket

ISTIOD = Workload("istiod", "istiod", ("10.0.0.1", "10.96.0.9"), (15010, 15012, 15014, 15017))
INGRESS = Workload("istio-ingressgateway", "ingress", ("10.0.0.2",), (8080, 15021, 15090))
EGRESS = Workload("istio-egressgateway", "egress", ("10.0.0.3",), (8080, 15021, 15090))
PARTNER = Workload("partner", "outside", ("10.96.0.8",))
PORTS = (15001, 15006, 15021, 15090)


def sidecars(count: int) -> tuple[Workload, ...]:
    return tuple(Workload(f"service-{n}", "sidecar", (f"10.0.1.{n}",), PORTS) for n in range(count))


def whole(count: int) -> Map:
    services = sidecars(count)
    proxies = (INGRESS, EGRESS, *services)
    lines = [Line(each.name, "istiod", 15012) for each in proxies]
    lines += [Line(API, "istiod", 15017), Line("istiod", API, 443), Line(EGRESS.name, "partner", 80)]
    if services:
        lines += [Line(INGRESS.name, services[0].name, 8080), Line(services[-1].name, EGRESS.name, 8080)]
    return Map((ISTIOD, INGRESS, EGRESS, PARTNER, *services), tuple(lines), 31718)


def test_whoever_called_is_told_from_the_ports() -> None:
    known = {"10.96.0.9": "istiod", "10.0.0.2": "gateway", "10.0.1.0": "web", "10.96.0.1": API}
    tables = [
        ("gateway", (Socket("10.0.0.2", 40000, "10.96.0.9", 15012), Socket("10.0.0.2", 40002, "10.0.1.0", 8080))),
        ("web", (Socket("10.0.1.0", 8080, "10.0.0.2", 40002), Socket("10.0.1.0", 5000, "192.0.2.1", 443))),
        ("istiod", (Socket("10.0.0.1", 15017, "172.18.0.2", 19204), Socket("10.0.0.1", 50000, "10.96.0.1", 443))),
    ]
    assert list(mesh_diagram._lines(tables, known)) == [
        Line("gateway", "istiod", 15012),
        Line("gateway", "web", 8080),
        Line(API, "istiod", 15017),
        Line("istiod", API, 443),
    ]


@pytest.mark.parametrize("count", range(7))
def test_picture_is_drawn_for_any_number_of_services(count: int) -> None:
    found = mesh_diagram.picture(whole(count))
    page = svg.svg(found, "mesh-map")
    for words in ("31718", "15012", "15017", "egressgateway", "partner"):
        assert words in page
    assert ("and 2 more" in page) == (count == 6)
    assert "istio-ingressgateway to istiod, port 15012" in found.describe


def test_minimal_profile_and_a_mesh_without_connections_can_be_drawn_too() -> None:
    alone = Map((ISTIOD,), ())
    assert "istiod" in svg.svg(mesh_diagram.picture(alone), "mesh-map")
    assert "istiod: 15010, 15012, 15014, 15017" in repr(alone)


def test_the_same_is_said_in_words() -> None:
    text = repr(whole(2))
    assert "istio-egressgateway → partner:80" in text
    line = next(each for each in text.splitlines() if "service-0 → istiod:15012" in each)
    assert line.endswith("xDS and certificates, by TLS")


def test_style_of_the_picture_stays_its_own() -> None:
    """JupyterLab has all open notebooks in one page: a rule for `text` in it moved the legends of every panel."""
    page = str(whole(2)._repr_html_())
    assert "<style" not in page
    assert 'alt="' in page
    drawn = base64.b64decode(page.partition("base64,")[2].partition('"')[0]).decode()
    assert drawn == svg.svg(mesh_diagram.picture(whole(2)), "mesh-map")
