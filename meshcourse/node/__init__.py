"""The one node of the embedded cluster: Pods in, local processes and their reported status out.

Everything here is a duty that a kubelet has; the agent runs inside the cluster's namespaces and speaks to the real API server.
"""
