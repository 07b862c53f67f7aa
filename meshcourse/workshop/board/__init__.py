"""The instructor's board: a service of the hub, which only the hub's administrators may use."""
