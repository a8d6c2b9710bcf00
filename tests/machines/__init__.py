"""Machines made of namespaces: own network, processes, mounts and clock. For root, on Linux."""
