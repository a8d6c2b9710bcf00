"""Exceptions of the harness. A message is one line: what is wrong, where, what would be right."""


class HarnessError(ValueError):
    """The request was wrong: the command exits with status 2."""


class RecordError(HarnessError):
    """A run directory does not match its schema."""


class InterruptedRunError(Exception):
    """A run stopped before all its cells were finished, by a signal or because a resource of the
    machine ran out: the command exits with status 3."""
