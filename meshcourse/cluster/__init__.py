"""The embedded control plane: upstream etcd, Kubernetes and CoreDNS with our node, in one tree of namespaces."""
