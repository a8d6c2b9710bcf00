"""Sends to the gateway what the node of an agent reports."""

from __future__ import annotations

import msgspec

from systems.interface import Span
from systems.runtime.links.link import Link
from systems.runtime.processor import Metered

from ...core import events as ev
from ..messages import Progress
from ..nodes import AnyNode, Reports
from ..weights.auditing import Audit
from . import event_messages as events
from . import messages as msg


class Reporter:
    """Sends over ``link``. ``node``: the reporting node, once it is made."""

    def __init__(self, link: Link) -> None:
        self.node: AnyNode | None = None
        self._link = link

    def reports(self) -> Reports:
        return Reports(
            event=self._event,
            tokens=self._tokens,
            isolation_gap=lambda text: self._link.send(msg.IsolationGap(text)),
            audit=self._audited,
            metered=self._metered,
            problem=lambda text: self._link.send(msg.Problem(text)),
        )

    def _event(self, event: ev.Event) -> None:
        message = events.of(event)
        if isinstance(message, events.Settled) and self.node is not None:
            function = message.function if isinstance(message, events.AdapterLoaded) else None
            spans, up_ns = self.node.provisioned(message.instance, function)
            gone_through = tuple(map(_span, spans))
            message = msgspec.structs.replace(message, spans=gone_through, up_ns=up_ns)
        self._link.send(message)

    def _tokens(self, instance: int, message: Progress) -> None:
        self._link.send(msg.Tokens(instance, msgspec.json.encode(message)))

    def _metered(self, instance: int, seen: Metered) -> None:
        self._link.send(msg.Metered(instance, seen.start_ns, seen.end_ns, seen.used_ns))

    def _audited(self, audit: Audit) -> None:
        self._link.send(msgspec.convert(audit, msg.Audited, from_attributes=True))


def _span(span: Span) -> events.StageSpan:
    return events.StageSpan(span.stage, span.start_ns, span.end_ns)
