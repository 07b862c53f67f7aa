from __future__ import annotations

from typing import Any

from meshcourse.node.spec import dns

HOST = "search corp.example\nnameserver 9.9.9.9\noptions edns0\n"


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec}


def resolv(**spec: Any) -> list[str]:
    return dns.resolv_conf(pod(**spec), "10.96.0.10", "cluster.local", HOST).splitlines()


def test_cluster_first_asks_the_clusters_dns_and_searches_its_namespaces() -> None:
    assert resolv() == [
        "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example",
        "nameserver 10.96.0.10",
        "options ndots:5",
    ]


def test_default_is_the_nodes_own() -> None:
    assert resolv(dnsPolicy="Default") == ["search corp.example", "nameserver 9.9.9.9", "options edns0"]


def test_none_is_what_dns_config_says() -> None:
    config = {"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    assert resolv(dnsPolicy="None", dnsConfig=config) == ["search a.b", "nameserver 1.1.1.1", "options ndots:2 edns0"]


def test_dns_config_adds_to_cluster_first() -> None:
    lines = resolv(dnsConfig={"searches": ["a.b"], "options": [{"name": "ndots", "value": "1"}]})
    assert lines[0].endswith("corp.example a.b")
    assert lines[-1] == "options ndots:1"


def test_hosts_names_the_pod_its_subdomain_and_its_aliases() -> None:
    text = dns.hosts(pod(hostname="db", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}]), "10.0.0.7", "c.l")
    assert "10.0.0.7\tdb.sub.shop.svc.c.l\tdb\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\tx\ty\n")


def test_the_host_name_is_the_pods_name_cut_to_63_characters() -> None:
    long = pod()
    long["metadata"]["name"] = "a" * 62 + "-b"
    assert dns.hostname(long, "c.l") == "a" * 62
    assert dns.hostname(pod(hostname="db", subdomain="sub", setHostnameAsFQDN=True), "c.l") == "db.sub.shop.svc.c.l"
