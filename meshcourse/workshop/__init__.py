"""A workshop: a real JupyterHub on this machine, in which each learner has the notebooks and a cluster, and the instructor a board."""
