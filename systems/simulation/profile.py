"""Device profiles: durations, bandwidths and sizes, each with its source."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from systems.errors import SystemsError
from workloads.unknown import unknown

from .engine_numbers import Beside, EngineNumbers, Graphs, Grouped, Servers
from .number import Curve, Frozen, Number

N = TypeVar("N", bound=EngineNumbers)
_CURVES = {"prefill_s": "prefill_pass_s_per_gparam", "decode_s": "decode_rows_s"}
"""Fields of straight lines → of the curves that replace them."""


class ProfileError(SystemsError):
    """A profile that is unknown or malformed."""


class Profile(Frozen):
    """The performance of a machine and its devices. Seconds, bytes, bytes per second."""

    name: str
    summary: str
    date: str
    sha256: str = ""
    draw_key: str | None = None
    """Key of the draws of durations from the numbers' spreads, set by who simulates (see
    :class:`~systems.simulation.draws.Draws`); None: every duration is its number's value."""

    profiled_offline: bool = False
    """Whether the controller knows these durations before the first request, as after the paper's
    offline profiling of functions; otherwise it learns them, as the live platform's does."""

    cores: Number
    """Cores of a node, for imports and, if devices have no compute of their own, for all work."""
    core_beside: Number | None = None
    """Additional time of work for each other core that is busy, as a fraction of its time alone;
    None: cores do not slow each other down."""
    devices_per_node: Number
    device_slots: Number
    """Batches that a device computes at full speed at once; 0: it computes on the node's cores."""

    process_s: Number
    """Starting a container or process up to its first instruction (*warming*)."""
    fork_s: Number
    """Forking a process from the template."""
    libraries_s: Number
    map_s: Number
    """Mapping a shared backbone that is loaded."""
    remap_s: Number | None = None
    """The same in a process that did it before, and kept what it needs for that: while it slept
    (None: as the first time), or because it was prewarmed (None: it takes no time)."""
    adapter_s: Number
    kernels_s: Number
    first_batch_s: Number
    """Additional time of an instance's first batch."""
    parked_batch_s: Number
    """The same after parking: the context remained, the workspaces were freed."""
    parked_kernels_s: Number | None = None
    """Building the engine of a parked instance without shapes; None: it takes no time."""
    spare_s: Number | None = None
    """Turning a prewarmed process into an instance, without loading its adapter; None: prewarmed
    processes cannot be simulated."""
    offload_s: Number
    stop_s: Number

    disk_bytes_per_s: Number | None = None
    """Of a node's first load of a backbone; None: its files are in host memory from the start."""
    tier_bytes_per_s: Number
    """Of its later loads, from the files in host memory."""
    private_bytes_per_s: Number | None = None
    """The most at which an instance loads a copy of its own; None: as a copy that is shared."""
    private_beside: Number | None = None
    """Additional time of such a load for each other one on its device, as a fraction of its time
    alone; None: they share the device's link."""
    adapter_bytes_per_s: Number
    peer_bytes_per_s: Number | None = None
    """Copying a backbone from another device of the node, by a loader that stands by; None: a
    device cannot read another's memory."""

    prefill_s: Number
    """Per pass over prompts, whatever its size."""
    prefill_request_s: Number
    """Per prompt of a pass."""
    prefill_token_s_per_gparam: Number
    """Per token of a pass and 10⁹ parameters."""
    prefill_pass_s_per_gparam: Curve | None = None
    """In place of these three: a pass by its tokens, per 10⁹ parameters; None: linear. A pass over
    few tokens takes as long as reading the weights."""
    mixed_saved_s_per_gparam: Curve | None = None
    """What a pass over prompts and a decode step take less as one pass, by the tokens of the
    prompts, per 10⁹ parameters; None: the engine has no such passes."""
    prompt_piece_tokens: int | None = Field(default=None, gt=0)
    """The option ``prompt_piece_tokens: auto`` of this machine's engine; None: whole prompts."""
    decode_s: Number
    """One step of a batch, in addition to reading the weights once."""
    decode_request_s: Number
    decode_rows_s: Curve | None = None
    """In place of these two: what a step takes in addition to reading the weights, keys and values,
    by the number of its requests; None: a straight line."""
    decode_bytes_per_s: Number
    """The rate of reading the weights in a step, and, beside a curve, keys and values."""

    host_row_s: Number | None = None
    """For each request of a decode step beyond the first: the time in which its process works on
    the host, and batches of other processes have the device; None: none."""
    graphs: Graphs | None = None
    """None: the engine has no shapes, and pads nothing."""
    batches_beside: Beside | None = None
    """Batches beside batches of other processes on their device; None: in proportion."""
    starts_beside: Beside | None = None
    """Building an engine beside batches on its device; None: it shares the device as a batch."""
    takeover_beside: Beside | None = None
    """Putting an adapter into a prewarmed process beside batches; None: as a batch."""
    preparation_beside: Beside | None = None
    """Preparing shapes beside batches; None: as a batch."""
    kv_slots: bool = False
    """Whether each request reserves a KV slot for a full context, as in this suite's GPU engine;
    otherwise it takes KV cache per token."""
    context_bytes: Number
    forked_context_bytes: Number
    bare_bytes: Number | None = None
    """The part of these that a process keeps on its device until it ends; None: nothing."""
    template_bytes: Number
    template_host_bytes: Number | None = None
    """Host memory of the template without what it holds on a device; None: nothing."""
    host_bytes: Number
    """Host memory of an awake instance, in addition to its device memory."""
    dormant_bytes: Number
    """Host memory of a container that holds nothing on a device."""

    before_load_s: Number | None = None
    """From the end of deployment until the load begins, during which adapters are parsed that
    deployment does not wait for. None: no time."""
    request_s: Number
    """From the client's send to the platform's receipt."""
    response_s: Number
    """From the creation of a token to the client's receipt."""

    instance_prices: str = ""
    """The price sheet of an instance with such devices, for systems that hold them permanently."""
    grouped: Mapping[str, Grouped] = Field(default_factory=dict)
    """By the dtype of the stored weights: instances that several functions share."""
    servers: Mapping[str, Servers] = Field(default_factory=dict)
    """By the dtype of the stored weights."""
    alike: Mapping[str, str] = Field(default_factory=dict)
    """dtype → another of the same size and speed on this device, whose numbers it takes."""

    def of_grouped(self, dtype: str) -> tuple[Grouped, Profile]:
        """Return the numbers of shared instances that store ``dtype``, and this profile with them
        in place of those of one function. Raise ``ProfileError`` if the profile has none."""
        numbers = self._of("grouped", self.grouped, dtype)
        return numbers, self._with(numbers)

    def of_servers(self, dtype: str) -> tuple[Servers, Grouped, Profile]:
        """The same for servers that store ``dtype``, whose batches are grouped too."""
        servers = self._of("servers", self.servers, dtype)
        grouped, own = self.of_grouped(dtype)
        return servers, grouped, own._with(servers)

    def _of(self, table: str, numbers: Mapping[str, N], dtype: str) -> N:
        for each in (dtype, self.alike.get(dtype, dtype)):
            if each in numbers:
                return numbers[each]
        known = ", ".join(sorted(numbers)) or "none"
        raise ProfileError(
            f"profile {self.name} has no numbers of [{table}.{dtype}]; it has [{table}.…] for:"
            f" {known}"
        )

    def _with(self, numbers: EngineNumbers) -> Profile:
        """Return this profile with those of ``numbers`` that it has too and that are known. A line
        takes the place of a curve as well."""
        fields = type(self).model_fields
        known = {name: number for name, number in numbers if number and name in fields}
        for line, curve in _CURVES.items():
            if line in known:
                known.setdefault(curve, None)
        return self.model_copy(update=known)


def profile_names() -> list[str]:
    """Return the names of the included profiles."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load_profile(name: str) -> Profile:
    """Load an included profile by name, or a TOML file by path. One that ``extends`` another one
    has all numbers of that one that it does not give itself. Raises :class:`ProfileError`."""
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    if not path.exists():
        if name.endswith(".toml"):
            raise ProfileError(f"profile file {name} does not exist")
        raise ProfileError(unknown("profile", name, profile_names(), "or a .toml file"))
    content = path.read_bytes()
    try:
        document: dict[str, Any] = tomllib.loads(content.decode())
        digest = hashlib.sha256(content)
        if "extends" in document:
            base = load_profile(document.pop("extends"))
            document = {**base.model_dump(exclude_unset=True), **document}
            digest.update(base.sha256.encode())
        return Profile.model_validate({**document, "sha256": digest.hexdigest()})
    except ValidationError as error:
        raise ProfileError(f"{path}: {_first(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: {str(error).splitlines()[0]}") from error


def _first(error: ValidationError) -> str:
    """Return where the first mistake is, and what it is."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def _folder() -> Path:
    return Path(str(files("systems.simulation") / "profiles"))
