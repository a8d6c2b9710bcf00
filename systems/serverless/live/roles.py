"""The process roles of a node, and the entry point that starts one in a new interpreter.

python -m systems.serverless.live.roles ROLE FD PARENT DEVICE
"""

from __future__ import annotations

from systems.runtime import process, zygote
from systems.runtime.roles import Role
from systems.runtime.sandbox.confine import confine

from . import instance, messages
from .adapters import parser
from .adapters.messages import PARSER_HEARS, PARSER_SAYS
from .weights import auditor, loader

INSTANCE = Role(
    "instance",
    __name__,
    messages.INSTANCE_SAYS,
    messages.INSTANCE_HEARS,
    instance.main,
    confine,
)
LOADER = Role(
    "loader",
    __name__,
    messages.LOADER_SAYS,
    messages.LOADER_HEARS,
    loader.main,
    confine,
)
AUDITOR = Role(
    "auditor",
    __name__,
    messages.AUDITOR_SAYS,
    messages.AUDITOR_HEARS,
    auditor.main,
    confine,
)
PARSER = Role(
    "parser",
    __name__,
    PARSER_SAYS,
    PARSER_HEARS,
    parser.main,
    parser.shut_in,
)
TEMPLATE = zygote.role_of(__name__, INSTANCE, LOADER, AUDITOR, PARSER)

if __name__ == "__main__":
    process.main(INSTANCE, LOADER, AUDITOR, PARSER, TEMPLATE)
