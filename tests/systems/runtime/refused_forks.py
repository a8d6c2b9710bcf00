"""A template whose second fork fails, as fork(2) does where the limit of processes is reached.

python -m tests.systems.runtime.refused_forks ROLE FD PARENT DEVICE
"""

from __future__ import annotations

import errno
import itertools
import os
import time

from systems.runtime import process, zygote
from systems.runtime.channel import Channel
from systems.runtime.incoming import Incoming
from systems.runtime.messages import Ping, Pong, Started
from systems.runtime.roles import Role

REFUSED = 2
_fork = os.fork
_forks = itertools.count(1)


def _echo(channel: Channel) -> int:
    channel.send(Started(time.monotonic_ns()))
    while True:
        channel.receive()
        channel.send(Pong())


ECHO = Role("echo", __name__, Incoming(Started | Pong), Incoming(Ping), _echo)
TEMPLATE = zygote.role_of(__name__, ECHO)


def _refusing() -> int:
    if next(_forks) == REFUSED:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return _fork()


if __name__ == "__main__":
    os.fork = _refusing
    process.main(ECHO, TEMPLATE)
