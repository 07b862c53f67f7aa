"""Names inside a pod: its host name, /etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json

_LONGEST = 63
_SEARCHES = 32

HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
"""How /etc/hosts of a pod begins that has the node's network; the node's own file follows."""
_HOSTS = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def hostname(pod: Json, domain: str) -> str:
    """The output of `hostname` in the pod: at most 63 characters; the full name when setHostnameAsFQDN is set."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"])
    full = qualified(pod, domain)
    if spec.get("setHostnameAsFQDN") and full:
        return full
    return _short(pod)


def qualified(pod: Json, domain: str) -> str:
    """The pod's full domain name, or "" when it has no subdomain."""
    subdomain = pod["spec"].get("subdomain")
    return f"{_short(pod)}.{subdomain}.{pod['metadata']['namespace']}.svc.{domain}" if subdomain else ""


def hosts(pod: Json, pod_ip: str, domain: str) -> str:
    """The pod's /etc/hosts."""
    full = qualified(pod, domain)
    names = "\t".join(name for name in (full, hostname(pod, domain)) if name)
    text = f"{_HOSTS}{pod_ip}\t{names}\n"
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        lines = "".join("\t".join([alias["ip"], *(alias.get("hostnames") or [])]) + "\n" for alias in aliases)
        text += f"\n# Entries added by HostAliases.\n{lines}"
    return text


def resolv_conf(pod: Json, cluster_dns: str, domain: str, host: str) -> str:
    """The pod's /etc/resolv.conf; `host` is the text of the node's own.

    dnsPolicy ClusterFirst (the default) asks the cluster's DNS, but the node's in a pod with hostNetwork, for which ClusterFirstWithHostNet
    asks the cluster's; Default the node's, None only dnsConfig's.
    """
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    servers, searches, options = _parse(host)
    if policy == "None":
        servers, searches, options = [], [], {}
    elif policy != "Default":
        namespace = pod["metadata"]["namespace"]
        servers = [cluster_dns]
        searches = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *searches]
        options = {"ndots": "5"}
    config = spec.get("dnsConfig") or {}
    servers = list(dict.fromkeys([*servers, *(config.get("nameservers") or [])]))
    searches = list(dict.fromkeys([*searches, *(config.get("searches") or [])]))[:_SEARCHES]
    options |= {option["name"]: option.get("value") or "" for option in config.get("options") or []}
    lines = []
    if searches:
        lines.append("search " + " ".join(searches))
    lines += [f"nameserver {server}" for server in servers]
    if options:
        lines.append("options " + " ".join(f"{name}:{value}" if value else name for name, value in options.items()))
    return "".join(line + "\n" for line in lines)


def files(pod: Json, pod_ip: str, cluster_dns: str, domain: str, host: str) -> dict[str, str]:
    """The texts of the files of /etc that every container of the pod shares."""
    return {
        "hosts": hosts(pod, pod_ip, domain),
        "hostname": hostname(pod, domain) + "\n",
        "resolv.conf": resolv_conf(pod, cluster_dns, domain, host),
    }


def _short(pod: Json) -> str:
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name[:_LONGEST].rstrip("-.")


def _parse(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or line.startswith(("#", ";")):  # noqa: PLR2004 - a keyword and a value
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = [word for word in words[1:] if word != "."]
        elif words[0] == "options":
            options |= {name: value for name, _, value in (word.partition(":") for word in words[1:])}
    return servers, searches, options
