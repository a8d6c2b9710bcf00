"""What a system refuses, said in one line: what, where, what would be right."""


class SystemsError(ValueError):
    """A deployment, model, adapter or system name that cannot be served as asked."""


class UnknownSystemError(SystemsError):
    """No system is registered under the name."""


class BrokenSystemError(UnknownSystemError):
    """A system is registered under the name, and cannot be imported or is not a system."""


class DeploymentError(SystemsError):
    """The deployment cannot be carried out here: memory, ports, missing files."""


class UnreachableError(DeploymentError):
    """No HTTP server answers at a URL."""


class CheckpointError(SystemsError):
    """A backbone directory is missing, incomplete, corrupt, or of an unsupported architecture."""


class AdapterError(SystemsError):
    """An adapter directory is missing or corrupt, or belongs to another backbone."""


class EvidenceError(SystemsError):
    """What a system says that it saw is not what the types of evidence say."""


class ConfinementError(SystemsError):
    """The kernel or the machine does not let an instance be confined as it must be."""
