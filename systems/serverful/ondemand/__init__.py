"""Servers of others on demand: a proxy wakes a server when a call comes, and puts it to sleep after
a keep-alive."""
