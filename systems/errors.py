"""Errors of serving systems. A message is one line: what, where, and what would be right."""

_HEAD, _TAIL = 600, 200


class SystemsError(ValueError):
    """A deployment, model, adapter or system name that cannot be served. The message is one line
    of bounded length without control characters, whatever it quotes."""

    def __init__(self, message: str) -> None:
        super().__init__(bounded_line(message))


def bounded_line(message: str) -> str:
    """Return ``message`` as one line of bounded length, without control characters."""
    line = "".join(each if each.isprintable() else " " for each in message.strip())
    return line if len(line) <= _HEAD + _TAIL else f"{line[:_HEAD]} … {line[-_TAIL:]}"


class UnknownSystemError(SystemsError):
    """No system is registered under the name."""


class BrokenSystemError(UnknownSystemError):
    """A system is registered under the name, but it cannot be imported or is not a system."""


class PolicyError(SystemsError):
    """A seam or a policy of a system is unknown, registered twice, or no policy of its seam."""


class DeploymentError(SystemsError):
    """The deployment cannot be carried out here: memory, ports, missing files."""


class UnreachableError(DeploymentError):
    """No HTTP server answers at a URL."""


class CheckpointError(SystemsError):
    """A backbone directory is missing, incomplete, corrupt, or of an unsupported architecture."""


class AdapterError(SystemsError):
    """An adapter directory is missing or corrupt, or belongs to another backbone."""


class SystemTraceError(SystemsError):
    """A system trace contains a value of the wrong type or range."""


class ConfinementError(SystemsError):
    """The kernel or the machine does not support the required confinement of instances."""
