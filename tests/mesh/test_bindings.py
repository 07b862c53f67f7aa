"""Which Gateways a VirtualService names, and whether its hosts and theirs overlap."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.mesh import propagation
from meshcourse.mesh.rules import bindings
from meshcourse.mesh.rules.bindings import World


def service(*gateways: str, **spec: Any) -> dict[str, Any]:
    whole = {"hosts": ["shop.example.com"], **({"gateways": list(gateways)} if gateways else {}), **spec}
    return {"metadata": {"name": "web", "namespace": "n", "creationTimestamp": "2"}, "spec": whole}


def gateway(*hosts: str, name: str = "front", namespace: str = "n") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"selector": {"istio": "x"}, "servers": [{"hosts": list(hosts)}]}}


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ("front", ("n", "front")),
        ("./front", ("n", "front")),
        ("other/front", ("other", "front")),
        ("front.other.svc.cluster.local", ("other", "front")),
    ],
)
def test_gateway_may_be_named_in_four_ways(named: str, wanted: tuple[str, str]) -> None:
    assert bindings.gateways_of(service(named, "mesh")) == (wanted,)


@pytest.mark.parametrize(("gateways", "wanted"), [((), True), (("mesh",), True), (("front", "mesh"), True), (("front",), False)])
def test_sidecars_read_what_names_them_or_nobody(gateways: tuple[str, ...], *, wanted: bool) -> None:
    assert bindings.for_sidecars(service(*gateways)) is wanted
    assert not bindings.for_sidecars(service(*gateways, hosts=[])), "a part of others"


@pytest.mark.parametrize(
    ("opened", "host", "meet"),
    [
        ("shop.example.com", "shop.example.com", True),
        ("SHOP.example.com", "shop.example.com", True),
        ("*.example.com", "shop.example.com", True),
        ("*", "shop.example.com", True),
        ("shop.example.com", "*", True),
        ("shop.example.com", "*.example.com", True),
        ("n/shop.example.com", "shop.example.com", True),
        ("./shop.example.com", "shop.example.com", True),
        ("*/*.example.com", "shop.example.com", True),
        ("other/shop.example.com", "shop.example.com", False),
        ("*.example.org", "shop.example.com", False),
        ("example.com", "shop.example.com", False),
        ("shop.n.svc.cluster.local", "shop", True),
    ],
)
def test_hosts_of_both_meet(opened: str, host: str, *, meet: bool) -> None:
    item, front = service("front", hosts=[host]), gateway(opened)
    world = World("n", {("n", "front"): front}, (item,), {("n", "front"): (("istio-system", "g-1"),)})
    assert bool(bindings.held_by(item, world)) is meet
    assert [line for line in bindings.unheld(world) if "are not among those of Gateway front" in line] == (
        [] if meet else [*bindings.unheld(world)]
    )


@pytest.mark.parametrize(
    ("held", "wanted", "read"),
    [
        (["9"], "10", False),
        (["10"], "10", True),
        (["11"], "10", True),
        ([None, "10"], "10", True),
        (["10", "9"], "10", False),
        ([None], "10", False),
    ],
)
def test_revision_is_read_when_one_istiod_has_it_and_none_is_behind(held: list[str | None], wanted: str, *, read: bool) -> None:
    assert propagation.read_everywhere(held, wanted) is read


def test_older_rule_of_a_host_shadows_the_newer() -> None:
    mine = service(hosts=["shop"])
    other = {**service(hosts=["shop.n.svc.cluster.local"]), "metadata": {"name": "first", "namespace": "m", "creationTimestamp": "1"}}
    world = World("n", {}, (mine, other), {})
    assert (bindings.shadowed(mine, world), bindings.shadowed(other, world)) == ("m/first", "")
