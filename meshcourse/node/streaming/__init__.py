"""The kubelet's HTTPS API, which kube-apiserver calls: logs, exec, attach, port-forward.

Requests come in from kube-apiserver only (client certificate); bytes of containers and pods go out. The agent runs `server.Server`.
"""
