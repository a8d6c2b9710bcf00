"""Device profiles: durations, bandwidths and sizes, each number with where it comes from."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from systems.errors import SystemsError

from .number import Frozen, Number
from .servers import Servers


class ProfileError(SystemsError):
    """A profile that is unknown or malformed."""


class Profile(Frozen):
    """What a machine takes for what a platform asks of it. Seconds, bytes, bytes per second."""

    name: str
    summary: str
    date: str
    sha256: str = ""

    cores: Number
    """Of a node, for imports and, where devices have no compute of their own, for all work."""
    devices_per_node: Number
    device_slots: Number
    """Batches that a device computes at full speed at once; 0: it computes on the node's cores."""

    process_s: Number
    """A container or process from nothing to its first instruction (*warming*)."""
    fork_s: Number
    """One from the template."""
    libraries_s: Number
    map_s: Number
    """Mapping a shared backbone that is there."""
    adapter_s: Number
    kernels_s: Number
    first_batch_s: Number
    """What an instance's first batch takes beyond any other."""
    parked_batch_s: Number
    """The same after it was parked: its context stayed, its workspaces were given back."""
    spare_s: Number | None = None
    """What a spare process still takes to be a function's, beside its adapter; not said: spares
    cannot be simulated."""
    offload_s: Number
    stop_s: Number

    disk_bytes_per_s: Number
    tier_bytes_per_s: Number
    """From the host's checkpoint tier to a device."""
    adapter_bytes_per_s: Number

    prefill_s: Number
    """Of a batch, whatever it holds."""
    prefill_request_s: Number
    """For each request in it."""
    prefill_token_s_per_gparam: Number
    """For each token in it and each 10⁹ parameters."""
    decode_s: Number
    """Of one step for a batch, beside reading the weights once."""
    decode_request_s: Number
    decode_bytes_per_s: Number
    """At which weights are read in a step."""

    kv_slots: bool = False
    """Whether each request takes a slot for keys and values of a whole context, as in this suite's
    engine on a card; else as many bytes as it has tokens."""
    context_bytes: Number
    forked_context_bytes: Number
    bare_bytes: Number | None = None
    """Of those, what a process keeps on its device until it ends; not said: nothing."""
    template_bytes: Number
    template_host_bytes: Number | None = None
    """Host memory of the template beside what it holds on a device; not said: nothing."""
    host_bytes: Number
    """Host memory of an awake instance beside its device."""
    dormant_bytes: Number
    """Host memory of a container of which nothing is on a device."""

    request_s: Number
    """From the client's send to the platform's receipt."""
    response_s: Number
    """From a token's making to the client's receipt."""

    instance_prices: str = ""
    """The price sheet of an instance with such devices, for those who hold them all the time."""
    servers: Mapping[str, Servers] = Field(default_factory=dict)
    """By the dtype in which they store weights."""

    def of_servers(self, dtype: str) -> tuple[Servers, Profile]:
        """What servers that store ``dtype`` take, and this profile with their own numbers in the
        place of an instance's. ``ProfileError`` where it knows none."""
        if dtype not in self.servers:
            known = ", ".join(sorted(self.servers)) or "none"
            raise ProfileError(
                f"profile {self.name} has no numbers for servers that store {dtype}; it has"
                f" [servers.…] for: {known}"
            )
        servers = self.servers[dtype]
        own = {name: getattr(servers, name) for name in Servers.model_fields}
        fields = type(self).model_fields
        return servers, self.model_copy(
            update={name: number for name, number in own.items() if number and name in fields}
        )


def profile_names() -> list[str]:
    """Profiles that ship."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load_profile(name: str) -> Profile:
    """A profile that ships, by name, or a TOML by its path. Raises :class:`ProfileError`."""
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    if not path.exists():
        known = ", ".join(profile_names())
        raise ProfileError(f"profile {name!r} is unknown; known: {known}, or a .toml file")
    content = path.read_bytes()
    try:
        document: dict[str, Any] = tomllib.loads(content.decode())
        digest = hashlib.sha256(content).hexdigest()
        return Profile.model_validate({**document, "sha256": digest})
    except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: {str(error).splitlines()[0]}") from error


def _folder() -> Path:
    return Path(str(files("systems.simulation") / "profiles"))
