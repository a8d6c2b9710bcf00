"""What a controller learns at run time: request rates, batch latencies, service times, loading
delays.

Each estimate starts from the profile, if there is one, and is corrected by observations.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .artifacts import BACKBONE, KERNELS, PRECEDENCE, Artifact
from .cluster_spec import BatchLatency, GroupSpec
from .prefill import Prefill

_FORGET = 0.9
"""Each new observation multiplies the weight of the older ones by this."""
_PRIOR_BATCH = 8
"""The profile counts as two observations: one of a batch of 1, one of a batch of this size."""
_DEVIATIONS = 4
"""How many mean deviations a prefill may take longer than expected, as in RFC 6298."""


class Rate(Protocol):
    """Requests per second of one function."""

    def observe(self, now_ns: int) -> None: ...

    def per_second(self, now_ns: int) -> float: ...


class SlidingWindow:
    """The arrivals of the last ``window_ns``, divided by it; 0 if the last one is older."""

    __slots__ = ("_arrivals", "_rate", "_until_ns", "_window_ns")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._arrivals: deque[int] = deque()
        self._rate = 0.0
        self._until_ns: float = math.inf
        """When the rate changes if nothing arrives."""

    def observe(self, now_ns: int) -> None:
        self._arrivals.append(now_ns)
        self._forget(now_ns)

    def per_second(self, now_ns: int) -> float:
        if now_ns >= self._until_ns:
            self._forget(now_ns)
        return self._rate

    def _forget(self, now_ns: int) -> None:
        arrivals, window_ns = self._arrivals, self._window_ns
        oldest = now_ns - window_ns
        while arrivals and arrivals[0] <= oldest:
            arrivals.popleft()
        self._rate = len(arrivals) * 1e9 / window_ns
        self._until_ns = arrivals[0] + window_ns if arrivals else math.inf


class ExponentiallyWeighted:
    """The arrivals weighted by e^(−age / ``window_ns``); never exactly 0."""

    __slots__ = ("_last_ns", "_weight", "_window_ns")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._weight = 0.0
        self._last_ns = 0

    def observe(self, now_ns: int) -> None:
        self._weight = self._decayed(now_ns) + 1.0
        self._last_ns = now_ns

    def per_second(self, now_ns: int) -> float:
        return self._decayed(now_ns) * 1e9 / self._window_ns

    def _decayed(self, now_ns: int) -> float:
        return self._weight * math.exp((self._last_ns - now_ns) / self._window_ns)


RATES: dict[str, Callable[[int], Rate]] = {
    "sliding-window": SlidingWindow,
    "exponential": ExponentiallyWeighted,
}


class PrefillTimes:
    """How long the batches of a group are in their prefill. ``law``: T(b), the time to compute
    their prompts alone on a device."""

    __slots__ = ("_deviation", "_stretch", "law")

    def __init__(self, prior: BatchLatency) -> None:
        self.law = LearntLatency(prior)
        self._stretch = 1.0
        self._deviation = 0.0

    def expected_ns(self, size: int, slowdown: float, *, joins: bool) -> float:
        """Return the expected time to the first tokens of a batch. One that joins requests that
        decode also waits for their steps, before its prompts and between pieces of them."""
        return self.law.ttft_ns(size) * slowdown * (self._stretch if joins else 1.0)

    def error_ns(self, expected_ns: float) -> float:
        """Return by how much a prefill may take longer than ``expected_ns``."""
        return _DEVIATIONS * self._deviation * expected_ns

    def observe(self, prefill: Prefill, took_ns: int, alone_ns: float, computed_ns: int) -> None:
        """Update the estimates: ``prefill`` took ``took_ns``, or ``alone_ns`` on the contention
        clock. Of this, ``computed_ns`` went into its prompts; its instance says so, and no more
        than passed counts. A first batch also finishes its instance's preparation, so it teaches
        nothing about the next ones."""
        if prefill.first or not took_ns:
            return
        computed = min(computed_ns / took_ns, 1.0)
        self.law.observe(prefill.size, alone_ns * computed)
        if prefill.joins and computed:
            self._stretch = _average(self._stretch, 1 / computed)
        if prefill.expected_ns:
            missed = abs(took_ns / prefill.expected_ns - 1)
            self._deviation = _average(self._deviation, missed)


def _average(known: float, observed: float) -> float:
    return _FORGET * known + (1 - _FORGET) * observed


class LearntLatency:
    """T(b) by weighted least squares over the observations; older ones count less."""

    __slots__ = ("_b", "_bb", "_bt", "_fit", "_n", "_t")

    def __init__(self, prior: BatchLatency) -> None:
        self._fit: tuple[float, float, float] | None = None
        """The mean time, its slope, and the mean of b − 1; None: to be computed."""
        self._n = self._b = self._bb = self._t = self._bt = 0.0
        if prior.first_ns:
            for batch in (1, _PRIOR_BATCH):
                self._add(batch, prior.ttft_ns(batch))

    def observe(self, batch: int, ttft_ns: float) -> None:
        self._n *= _FORGET
        self._b *= _FORGET
        self._bb *= _FORGET
        self._t *= _FORGET
        self._bt *= _FORGET
        self._add(batch, ttft_ns)

    def _add(self, batch: int, ttft_ns: float) -> None:
        x = batch - 1
        self._fit = None
        self._n += 1
        self._b += x
        self._bb += x * x
        self._t += ttft_ns
        self._bt += x * ttft_ns

    def ttft_ns(self, batch: int) -> float:
        """Return 0 without observations. A slope below 0 is noise: larger batches are not
        faster."""
        if not self._n:
            return 0.0
        if self._fit is None:
            self._fit = self._fitted()
        mean, slope, middle = self._fit
        found = mean + slope * (batch - 1 - middle)
        return found if found > 0.0 else 0.0

    def _fitted(self) -> tuple[float, float, float]:
        spread = self._n * self._bb - self._b * self._b
        slope = (self._n * self._bt - self._b * self._t) / spread if spread > 1e-9 else 0.0
        return self._t / self._n, max(slope, 0.0), self._b / self._n

    @property
    def fixed_ns(self) -> float:
        """The part of T(b) that does not grow with b: what is gained if two batches are one."""
        return max(2 * self.ttft_ns(1) - self.ttft_ns(2), 0.0)


class ServiceTime:
    """The time from the start of a request's prefill to its last token, alone on its device.
    Until one is observed, that of ``wider``, which learns from these observations too."""

    __slots__ = ("_ns", "_wider")

    def __init__(self, wider: ServiceTime | None = None) -> None:
        self._ns: float | None = None
        self._wider = wider

    def observe(self, service_ns: float) -> None:
        known = self.ns
        self._ns = service_ns if known is None else _average(known, service_ns)
        if self._wider is not None:
            self._wider.observe(service_ns)

    @property
    def ns(self) -> float | None:
        """None if nothing was observed."""
        if self._ns is None and self._wider is not None:
            return self._wider.ns
        return self._ns


@dataclass(slots=True)
class BackboneDelays:
    """How long it took, for any group of a backbone, in ns; 0: it was not seen. A new process
    counts until it has its kernels, without its waits for the backbone and for an adapter."""

    loaded_ns: float = 0.0
    """The backbone, from its checkpoint to a device."""
    copied_ns: float = 0.0
    """The same from another device."""
    fork_ns: float = 0.0
    """A fork of the template."""
    takeover_ns: float = 0.0
    """A prewarmed process that an instance took over."""

    @property
    def seen(self) -> tuple[bool, ...]:
        """Whether the backbone was loaded, and whether it was copied."""
        return bool(self.loaded_ns), bool(self.copied_ns)

    def observe(self, loaded_ns: int, copied_ns: int, fork_ns: int, takeover_ns: int) -> None:
        """Update those that were observed, which are not 0."""
        self.loaded_ns = _corrected(self.loaded_ns, loaded_ns)
        self.copied_ns = _corrected(self.copied_ns, copied_ns)
        self.fork_ns = _corrected(self.fork_ns, fork_ns)
        self.takeover_ns = _corrected(self.takeover_ns, takeover_ns)


def _corrected(known: float, observed: int) -> float:
    if not observed:
        return known
    return _average(known, observed) if known else float(observed)


class Estimates:
    """All estimates of one group. Of all groups of its backbone: ``service``, the service time, and
    ``delays``, which stand for its own until these are known."""

    __slots__ = (
        "_delays",
        "_step_ns",
        "_tokens",
        "delay_ns",
        "law",
        "peer_ns",
        "prefills",
        "rate",
        "service",
    )

    def __init__(
        self,
        group: GroupSpec,
        rate: Rate,
        service: ServiceTime | None = None,
        delays: BackboneDelays | None = None,
    ) -> None:
        self.rate = rate
        self.prefills = PrefillTimes(group.law)
        self.law = self.prefills.law
        self.service = ServiceTime(service)
        self._step_ns = group.step_ns
        self._tokens = 0.0
        self.delay_ns: Mapping[Artifact, float] = {
            a: float(group.delay_ns.get(a, 0)) for a in PRECEDENCE
        }
        """By artifact; replaced, not changed, when it is corrected. Kernels: of a process that was
        not prewarmed."""
        self.peer_ns = float(group.peer_ns)
        self._delays = delays or BackboneDelays()
        self.told()

    def told(self) -> None:
        """Take the delays of loading and copying the backbone that are not known."""
        if not self.delay_ns[BACKBONE]:
            self.delay_ns = {**self.delay_ns, BACKBONE: self._delays.loaded_ns}
        self.peer_ns = self.peer_ns or self._delays.copied_ns

    @property
    def copy_ns(self) -> float:
        """How long the backbone takes from another device. Until that is seen, as long as from its
        checkpoint: the way between devices takes no longer."""
        return self.peer_ns or self.delay_ns[BACKBONE]

    @property
    def fork_ns(self) -> float:
        """How long a fork takes on a device that has the backbone, without its adapter: at least
        as long as its kernels, of which a profile also counts what its first batch prepares."""
        return max(self._delays.fork_ns, self.delay_ns[KERNELS])

    @property
    def kernels_ns(self) -> float:
        """How long the kernels of an instance that sleeps take. Until that is seen, as long as a
        fork, which prepares them last."""
        return self.delay_ns[KERNELS] or self._delays.fork_ns

    @property
    def takeover_ns(self) -> float:
        """How long an instance takes to take over a prewarmed process that is ready."""
        return self._delays.takeover_ns

    def loaded(self, artifact: Artifact, delay_ns: int) -> None:
        """Update the loading delay: loading ``artifact`` took ``delay_ns``."""
        known = self.delay_ns[artifact]
        observed = _average(known, delay_ns) if known else float(delay_ns)
        self.delay_ns = {**self.delay_ns, artifact: observed}

    def copied(self, delay_ns: int) -> None:
        """Update the delay of copying the backbone from another device: it took ``delay_ns``."""
        known = self.peer_ns
        self.peer_ns = _average(known, delay_ns) if known else float(delay_ns)

    def arrived(self, max_tokens: int, now_ns: int) -> None:
        """Update the rate: a request arrived that asks for at most ``max_tokens``."""
        self.rate.observe(now_ns)
        self._tokens = _average(self._tokens, max_tokens) if self._tokens else float(max_tokens)

    @property
    def service_ns(self) -> float:
        """The service time; before any is observed, that of the profile: T(1), and a decode step
        for each token that requests ask for. Without a profile, as long as a fork takes: decoding
        is not free, and a fork is the only long duration that is known before a request ends."""
        observed = self.service.ns
        if observed is not None:
            return observed
        told_ns = self.law.ttft_ns(1) + self._step_ns * self._tokens
        return told_ns if self._step_ns else max(told_ns, self.fork_ns)
