"""The one node of the embedded cluster: runs Pods as local processes and reports their status.

Everything here is a kubelet's task; the agent runs inside the cluster's namespaces and uses the real API server.
"""
