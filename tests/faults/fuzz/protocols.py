"""Every protocol between processes and machines: valid messages, and how a receiver reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.replay import messages as replay
from harness.replay.decode import decode
from harness.replay.following import read
from harness.replay.frames import Captured, Ending
from harness.replay.hosts.messages import FromHarness, FromWorker
from harness.watch.gateway import parse
from systems.errors import SystemTraceError
from systems.runtime.incoming import BadMessageError, Incoming
from systems.runtime.journal import _read_line
from systems.runtime.links.message import decoder, encode, one_line
from systems.runtime.metrics import Metrics
from systems.serverful.inhouse.replica import ROLE as REPLICA
from systems.serverful.ondemand.first_text import FirstText
from systems.serverless.live import roles, start_messages
from systems.serverless.live.cluster.messages import FromAgent, FromGateway
from tests.systems.runtime.test_metrics import ANSWERED
from tests.systems.runtime.wording import values


class RefusedError(Exception):
    """The receiver refused a message; the text is what it reports."""


@dataclass(frozen=True)
class Protocol:
    """``valid``: the bytes of valid messages. ``read`` raises ``RefusedError`` for all others."""

    valid: st.SearchStrategy[bytes]
    read: Callable[[bytes], Any]


def _channel(incoming: Incoming) -> Protocol:
    """Of the processes of a machine: JSON over a socket."""
    valid = values(msgspec.inspect.type_info(incoming.messages)).map(msgspec.json.encode)
    return Protocol(valid, _refusing(incoming.decode, BadMessageError))


def _link(vocabulary: Any) -> Protocol:
    """Between machines: msgpack over TLS."""
    valid = values(msgspec.inspect.type_info(vocabulary)).map(encode)
    return Protocol(
        valid, _refusing(decoder(vocabulary).decode, ValueError, RecursionError, say=one_line)
    )


def _lines(vocabulary: Any, read: Callable[[bytes], Any], *refusals: type[Exception]) -> Protocol:
    """A line of JSON each."""
    valid = values(msgspec.inspect.type_info(vocabulary)).map(msgspec.json.encode)
    return Protocol(valid, _refusing(read, *refusals))


def _convert(kind: type[Any]) -> Protocol:
    """From a load worker to its driver: an object that Locust carries."""

    def read(data: bytes) -> Any:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise RefusedError("not of Locust") from error
        return replay.taken(content, kind)

    valid = values(msgspec.inspect.type_info(kind)).map(msgspec.json.encode)
    return Protocol(valid, _refusing(read, ValueError, say=one_line))


def _refusing(
    read: Callable[[bytes], Any],
    *refusals: type[Exception],
    say: Callable[[Exception], str] = str,
) -> Callable[[bytes], Any]:
    """``say``: the text that the receiver reports of such an error."""

    def reading(data: bytes) -> Any:
        try:
            return read(data)
        except refusals as error:
            raise RefusedError(say(error)) from error

    return reading


def _start_line(data: bytes) -> Any:
    """Of a starting gateway or node supervisor, as its starter reads the pipe."""
    line = data.decode("utf-8", "replace")
    found = start_messages.read(line, STARTS, "ended")
    if isinstance(found, start_messages.StartFailed) and found.reason.startswith("ended"):
        raise RefusedError(str(found.exception()))
    return found


def _response(data: bytes) -> Any:
    """The body of a server's response: anything else than a stream of events is told as its
    error."""
    record = decode(Captured(0, int(Ending.COMPLETE), 1, 0, 2, 3, 200, "", [2], [data], ""), 0)
    FirstText().feed(data)
    pa.array([record.prompt_tokens, record.output_tokens], pa.int32())
    if record.status != "ok":
        raise RefusedError(str(record.error))
    return record


def _view(data: bytes) -> Any:
    """The page ``/metrics``; another server's is not told."""
    try:
        return parse(data.decode("utf-8", "replace"))
    except ValueError as error:
        raise RefusedError("another server's page") from error


STARTS = (
    start_messages.Compiling
    | start_messages.Preparing
    | start_messages.Listening
    | start_messages.StartFailed
    | start_messages.NodesReady
    | start_messages.Joined
)
DRIVER = replay.Started | replay.Advanced | replay.Recent | replay.Done
_CHOICE = {"text": "a", "token_ids": [5], "finish_reason": "stop"}
_EVENTS = (
    json.dumps({"choices": [_CHOICE], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}),
    json.dumps({"choices": [{"delta": {"role": "assistant", "content": "a"}}]}),
    json.dumps({"error": {"message": "no room"}}),
    "[DONE]",
)
_STREAMS = st.lists(st.sampled_from(_EVENTS), min_size=1, max_size=4).map(
    lambda events: "".join(f"data: {each}\n\n" for each in events).encode()
)
_LINES = (
    b'{"kind":"problem","text":"one"}',
    b'{"kind":"measured","name":"startup_s","value":1.5}',
    b'{"kind":"memory","t_ns":1,"device":"cpu:0","owner":"kv","function_id":null,"bytes":5}',
    b'{"kind":"decision","t_ns":1,"name":"place","numbers":{"value":0.5}}',
)


def _page_of_a_gateway() -> bytes:
    metrics = Metrics()
    metrics.received("f0")
    metrics.ended(ANSWERED, 5)
    return metrics.text()


_ROLES = (roles.INSTANCE, roles.LOADER, roles.AUDITOR, roles.PARSER, roles.TEMPLATE, REPLICA)
PROTOCOLS: Mapping[str, Protocol] = {
    **{f"{role.name} says": _channel(role.says) for role in _ROLES},
    **{f"{role.name} hears": _channel(role.hears) for role in _ROLES},
    "gateway to node agent": _link(FromGateway),
    "node agent to gateway": _link(FromAgent),
    "harness to load host": _link(FromHarness),
    "load host to harness": _link(FromWorker),
    "load worker's counts": _convert(replay.WorkerCounts),
    "load worker's requests": _convert(replay.WorkerRecent),
    "load worker's end": _convert(replay.WorkerDone),
    "load driver to harness": _lines(DRIVER, read, HarnessError),
    "start of a gateway": _lines(STARTS, _start_line),
    "journal": Protocol(
        st.sampled_from(_LINES),
        _refusing(lambda data: _read_line(data, "journal"), SystemTraceError),
    ),
    "response to a request": Protocol(_STREAMS, _response),
    "live view": Protocol(
        st.just(_page_of_a_gateway()),
        _refusing(
            lambda data: parse(data.decode("utf-8", "replace")),
            ValueError,
            say=lambda _: "another page",
        ),
    ),
}
