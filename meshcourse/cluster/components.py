"""The programs of the control plane, and their arguments. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

API_PORT = 6443
KUBELET_PORT = 10250
SERVICE_CIDR = "10.96.0.0/16"
POD_CIDR = "10.244.0.0/16"
NODE_IP = "172.18.0.2"
CLUSTER_DNS = "10.96.0.10"
API_SERVICE_IP = "10.96.0.1"
CLUSTER_DOMAIN = "cluster.local"
ETCD = "https://127.0.0.1:2379"
_ETCD_PEER = "https://127.0.0.1:2380"
FRONT_PROXY = "front-proxy-client"
"""As whom kube-apiserver passes requests on to aggregated API servers."""
API_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
    "localhost",
    "127.0.0.1",
    API_SERVICE_IP,
    NODE_IP,
)


@dataclass(frozen=True)
class Layout:
    """Where a cluster's files are: `pki` (certificates and kubeconfigs of components), `data` (etcd's)."""

    node: str
    pki: Path
    data: Path

    def pair(self, name: str) -> tuple[str, str]:
        """The certificate and key files of `name`."""
        return str(self.pki / f"{name}.crt"), str(self.pki / f"{name}.key")

    def kubeconfig(self, name: str) -> str:
        """The kubeconfig file of a component."""
        return str(self.pki / f"{name}.kubeconfig")


@dataclass(frozen=True)
class Component:
    """A program of the engine, its arguments, and the component that it needs (its name)."""

    name: str
    arguments: tuple[str, ...]
    needs: str = ""

    @property
    def program(self) -> str:
        """The engine's file: Kubernetes' four are one (engine/kubernetes/main.go), which runs as the one whose name it is started by."""
        return "kubernetes" if self.name.startswith("kube-") else self.name


def etcd(layout: Layout) -> Component:
    """The store. Its data is wiped at every start, so it need not wait for the disk (--unsafe-no-fsync).

    Pods with hostNetwork reach its ports, so it requires a client certificate of its own authority.
    """
    return Component(
        "etcd",
        (
            f"--name={layout.node}",
            f"--data-dir={layout.data}",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            f"--listen-peer-urls={_ETCD_PEER}",
            f"--initial-advertise-peer-urls={_ETCD_PEER}",
            f"--initial-cluster={layout.node}={_ETCD_PEER}",
            *_etcd_tls(layout, ""),
            *_etcd_tls(layout, "peer-"),
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
    )


def _etcd_tls(layout: Layout, whose: str) -> tuple[str, ...]:
    serving, key = layout.pair("etcd/server")
    authority = f"--{whose}trusted-ca-file={layout.pki / 'etcd' / 'ca.crt'}"
    return f"--{whose}cert-file={serving}", f"--{whose}key-file={key}", authority, f"--{whose}client-cert-auth=true"


def api_server(layout: Layout) -> Component:
    """kube-apiserver, on the node's address, with the kubelet API's credentials and the Node and RBAC authorizers.

    Aggregated API servers trust its request headers about the user, since the authority of its client certificate signs nothing else.
    """
    serving, serving_key = layout.pair("kube-apiserver")
    etcd, etcd_key = layout.pair("etcd/kube-apiserver")
    front, front_key = layout.pair(f"front-proxy/{FRONT_PROXY}")
    kubelet, kubelet_key = layout.pair("kube-apiserver-kubelet-client")
    return Component(
        "kube-apiserver",
        (
            f"--etcd-servers={ETCD}",
            f"--etcd-cafile={layout.pki / 'etcd' / 'ca.crt'}",
            f"--etcd-certfile={etcd}",
            f"--etcd-keyfile={etcd_key}",
            f"--advertise-address={NODE_IP}",
            f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--tls-cert-file={serving}",
            f"--tls-private-key-file={serving_key}",
            f"--client-ca-file={layout.pki / 'ca.crt'}",
            f"--kubelet-certificate-authority={layout.pki / 'ca.crt'}",
            f"--kubelet-client-certificate={kubelet}",
            f"--kubelet-client-key={kubelet_key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={layout.pki / 'front-proxy' / 'ca.crt'}",
            f"--requestheader-allowed-names={FRONT_PROXY}",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={front}",
            f"--proxy-client-key-file={front_key}",
            f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
            f"--service-account-key-file={layout.pki / 'sa.pub'}",
            f"--service-account-signing-key-file={layout.pki / 'sa.key'}",
            "--authorization-mode=Node,RBAC",
            "--anonymous-auth=false",
            "--profiling=false",
            "--allow-privileged=true",
            "--shutdown-delay-duration=0s",
        ),
        needs="etcd",
    )


def controller_manager(layout: Layout) -> Component:
    """kube-controller-manager; alone, so it elects no leader."""
    return Component(
        "kube-controller-manager",
        (
            f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
            f"--root-ca-file={layout.pki / 'ca.crt'}",
            f"--service-account-private-key-file={layout.pki / 'sa.key'}",
            f"--cluster-signing-cert-file={layout.pki / 'ca.crt'}",
            f"--cluster-signing-key-file={layout.pki / 'ca.key'}",
            "--use-service-account-credentials=true",
            # The default of 20 requests a second makes it take six seconds to start its controllers.
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ),
    )


def scheduler(layout: Layout) -> Component:
    """kube-scheduler; alone, so it elects no leader."""
    return Component(
        "kube-scheduler",
        (
            f"--kubeconfig={layout.kubeconfig('kube-scheduler')}",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ),
    )


def proxy(layout: Layout) -> Component:
    """kube-proxy in iptables mode.

    It leaves conntrack's limits alone (0): they belong to the host's first user namespace, where an ordinary user may
    not write. It serves NodePorts on the node's address, not on 127.0.0.1: gateway_ports.py does that.
    """
    return Component(
        "kube-proxy",
        (
            f"--kubeconfig={layout.kubeconfig('kube-proxy')}",
            f"--hostname-override={layout.node}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={POD_CIDR}",
            "--iptables-localhost-nodeports=false",
            "--iptables-min-sync-period=100ms",
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
            "--metrics-bind-address=127.0.0.1:10249",
            "--healthz-bind-address=127.0.0.1:10256",
        ),
    )
