"""The kubelet's HTTPS API, which kube-apiserver calls: logs, exec, attach, port-forward.

Requests come from kube-apiserver only (client certificate). The agent runs `server.Server`.
"""
