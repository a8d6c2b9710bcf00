"""The gateway's registry of agents, with a session for each connection."""

from __future__ import annotations

import sys

from systems.interface import Deployment
from systems.models import cache_root
from systems.runtime.journal import Journal
from systems.runtime.links.connecting import Listener

from ..plan import Plan
from ..platform import Platform
from ..weights.auditing import Account
from . import messages as msg
from . import models
from .agent_session import Session

_NEEDED = {"functions", "backbones", "devices", "limits", "dtype", "isolation", "options"}


def offer_of(plan: Plan, *, forks: bool) -> msg.Offer:
    """Make the offer from the gateway's plan. It contains only what a node needs."""
    needed = plan.deployment.model_dump(mode="json", include=_NEEDED)
    return msg.Offer(
        Deployment.model_validate(needed), forks, dict(models.prints(plan)), str(cache_root())
    )


def _tell(line: str) -> None:
    print(f"cluster: {line}", file=sys.stderr, flush=True)


class AgentRegistry:
    """Listens for agents that know ``key``, and adds their nodes to ``platform``. Reports every
    peer that it refuses in one line on standard error."""

    def __init__(
        self, platform: Platform, journal: Journal, account: Account, offer: msg.Offer, key: str
    ) -> None:
        self.platform, self.offer = platform, offer
        self.journal, self.account = journal, account
        self.guests: dict[str, Session] = {}
        """Sessions by node name, including those of lost nodes."""
        self.closing = False
        self.tell = _tell
        self._listener = Listener(key, lambda: Session(self).link, _tell)

    async def open(self, host: str) -> int:
        """Listen on ``host``; return the port."""
        return await self._listener.open(host)

    def close(self) -> None:
        """Stop accepting agents, and write the state of the connected nodes to the journal."""
        self.closing = True
        self._listener.close()
        for guest in self.guests.values():
            guest.keep()
