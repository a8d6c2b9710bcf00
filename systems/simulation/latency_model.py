"""The latency model: durations of work by a profile, in ns at a resource's full speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from systems.engine.cuda.buckets import batch_bucket
from systems.models.sizes import ModelSize

from .engine_numbers import Grouped
from .number import value_of
from .passes import Pass, passes
from .profile import Profile


@dataclass(frozen=True)
class LatencyModel:
    """Durations of an instance's work. ``adapter_share``: see :class:`Grouped`; an instance of one
    function needs none."""

    profile: Profile
    size: ModelSize
    adapter_share: float = 0.0
    parse_s: float = 0.0
    """Parsing an adapter before it can be copied; 0 if loading it includes that."""
    _pass_s: dict[tuple[int, int], float] = field(default_factory=dict, init=False, compare=False)
    """What was computed before of passes over prompts, by requests and tokens."""
    _rows_s: dict[int, float] = field(default_factory=dict, init=False, compare=False)
    """The same of decode steps, by requests."""

    @classmethod
    def of_grouped(cls, numbers: Grouped, own: Profile, size: ModelSize) -> LatencyModel:
        """Return the model of an instance that batches across adapters. ``own``: the profile with
        ``numbers`` in place."""
        parse_s = value_of(numbers.parse_s)
        if numbers.parse_bytes_per_s is not None:
            parse_s += size.adapter_bytes / numbers.parse_bytes_per_s.value
        return cls(own, size, numbers.adapter_share.value, parse_s)

    def prompts_ns(self, computed: Iterable[Pass], adapters: int = 1) -> float:
        """Return the time of these passes over prompts with this many different adapters."""
        return sum(self.prefill_ns(each.prompts, each.tokens, adapters) for each in computed)

    def batch_ns(self, lengths: Iterable[int], adapters: int = 1) -> float:
        """Return the prefill time of a batch of whole prompts of these lengths."""
        return self.prompts_ns(passes(lengths, pads=self.pads), adapters)

    @cached_property
    def pads(self) -> bool:
        """Whether the engine pads batches and prompts to a few shapes."""
        return self.profile.graphs is not None

    def prefill_ns(self, requests: int, tokens: int, adapters: int = 1) -> float:
        """Return the time of one pass over ``requests`` prompts with ``tokens`` tokens in total and
        this many different adapters."""
        key = (requests, tokens)
        seconds = self._pass_s.get(key)
        if seconds is None:
            seconds = self._pass_s[key] = self._computed_s(requests, tokens)
        return seconds * 1e9 * self._share(adapters)

    def _computed_s(self, requests: int, tokens: int) -> float:
        """Return the time of a pass over prompts of one adapter."""
        profile, gparams = self.profile, self.size.parameters / 1e9
        if profile.prefill_pass_s_per_gparam is not None:
            return profile.prefill_pass_s_per_gparam.at(tokens) * gparams
        token_s = profile.prefill_token_s_per_gparam.value * gparams
        fixed_s = profile.prefill_s.value + profile.prefill_request_s.value * requests
        return fixed_s + token_s * tokens

    @cached_property
    def mixes(self) -> bool:
        """Whether the engine has passes over prompts that also give running requests a token."""
        return self.profile.mixed_saved_s_per_gparam is not None

    def mixed_saved_ns(self, tokens: int) -> float:
        """Return what such a pass over ``tokens`` of prompts takes less than a pass and a step."""
        curve = self.profile.mixed_saved_s_per_gparam
        return curve.at(tokens) * self.size.parameters if curve else 0.0

    def step_ns(self, requests: int, adapters: int = 1, context: float = 0) -> float:
        """Return the time of one decode step for ``requests`` with this many different adapters and
        ``context`` cached tokens in total."""
        return self.step_by_context(requests, adapters)(context)

    def step_by_context(self, requests: int, adapters: int = 1) -> Callable[[float], float]:
        """Return the time in ns of one decode step as a function of the cached tokens in total."""
        rows_s = self._rows_s.get(requests)
        if rows_s is None:
            rows_s = self._rows_s[requests] = self._stepped_s(requests)
        share = self._share(adapters)
        if self.profile.decode_rows_s is None:
            step_ns = (rows_s + self._read_s) * 1e9 * share
            return lambda _: step_ns
        rows, token_bytes = rows_s, self.size.kv_bytes_per_token
        bytes_per_s, read_s = self._bytes_per_s, self._read_s
        return lambda context: (rows + context * token_bytes / bytes_per_s + read_s) * 1e9 * share

    def hidden_ns(self, requests: int) -> float:
        """Return what of a decode step passes while other processes have the device: never so much
        that one of two takes less time than alone."""
        if self._host_row_ns == 0.0:
            return 0.0
        step_ns = (self._stepped_s(requests) + self._read_s) * 1e9
        return min(self._host_row_ns * (requests - 1), step_ns * self._most_hidden)

    @cached_property
    def _most_hidden(self) -> float:
        beside = self.profile.batches_beside
        waits = beside.waits.value if beside else 1.0
        return waits / (1 + waits)

    @cached_property
    def _host_row_ns(self) -> float:
        return value_of(self.profile.host_row_s) * 1e9

    def _stepped_s(self, requests: int) -> float:
        """Return what the rows of a step add to reading the weights. A line was measured with some
        context, whose keys and values it includes; a curve, without."""
        profile = self.profile
        rows = batch_bucket(requests) if self.pads else requests
        if profile.decode_rows_s is not None:
            return profile.decode_rows_s.at(rows)
        return profile.decode_s.value + profile.decode_request_s.value * rows

    @cached_property
    def _bytes_per_s(self) -> float:
        return self.profile.decode_bytes_per_s.value

    @cached_property
    def _read_s(self) -> float:
        """The time to read the weights."""
        return self.size.weights_bytes / self._bytes_per_s

    def _share(self, adapters: int) -> float:
        """Return the time of a batch of ``adapters`` in units of that of one adapter."""
        return 1 + self.adapter_share * (adapters - 1) if adapters > 1 else 1.0

    def backbone_ns(self, *, cached: bool, private: bool) -> float:
        """Return the time to load the backbone, whose files may be in host memory; ``private``: as
        a copy of one instance."""
        profile = self.profile
        disk = None if cached else profile.disk_bytes_per_s
        rate = (disk or profile.tier_bytes_per_s).value
        if private and profile.private_bytes_per_s is not None:
            rate = min(rate, profile.private_bytes_per_s.value)
        return self.size.weights_bytes / rate * 1e9

    def peer_ns(self) -> float:
        """Return the time to copy the backbone from another device of the node; 0 if the profile
        does not say that this is possible."""
        rate = self.profile.peer_bytes_per_s
        return self.size.weights_bytes / rate.value * 1e9 if rate else 0.0

    def parse_ns(self) -> float:
        """Return the time of one core to parse an adapter."""
        return self.parse_s * 1e9

    def adapter_ns(self) -> float:
        """Return the time to load an adapter over the device's link."""
        profile = self.profile
        copy_s = self.size.adapter_bytes / profile.adapter_bytes_per_s.value
        return (profile.adapter_s.value + copy_s) * 1e9
