"""From nothing to an instance that can serve, and back: memory first, then artifacts in order
of precedence (libraries → backbone → adapter → kernels)."""

from __future__ import annotations

from collections.abc import Sequence

from systems.interface import MemoryOwner

from . import actions as act
from .artifacts import Artifact
from .memory import Holding
from .policies import Policies
from .policies.offloading import held_by
from .state import BackboneCopy, Device, Instance, Phase, Request, State, TemplatePhase

TEMPLATE = Holding(MemoryOwner.CONTEXT, -1, None)


class Provisioning:
    """Starts, readies, sizes and stops instances; appends the actions for it to ``out``."""

    def __init__(self, state: State, policies: Policies, out: list[act.Action]) -> None:
        self._state = state
        self._policies = policies
        self._out = out
        self._next_instance = 0
        self._failed_starts: dict[str, int] = {}

    # -- starting ---------------------------------------------------------------------------

    def start(self, function_id: str) -> None:
        """Start an instance of the function, or note that it waits for memory."""
        function = self._state.world.functions[function_id]
        device = self._policies.placement.choose(function, self._state)
        first_in_line = next(iter(device.blocked), function_id)
        instance = self._new_instance(function_id, device)
        if first_in_line == function_id and self._make_room(device, instance):
            device.blocked.pop(function_id, None)
            self._settle(device, instance)
            self.advance(instance)
        else:
            device.blocked.setdefault(function_id)

    def retry(self, device_id: str) -> None:
        """Memory came free: start what waits for it, strictly in turn."""
        device = self._state.devices[device_id]
        for function in list(device.blocked):
            if self._state.queue(function) and not self._state.live(function):
                self.start(function)
                if function in device.blocked:
                    return
            else:
                del device.blocked[function]

    def _new_instance(self, function_id: str, device: Device) -> Instance:
        function = self._state.world.functions[function_id]
        key = self._policies.sharing.copy_for(
            function.backbone, device.spec.id, self._next_instance
        )
        forked = self._policies.preloading.forks
        return Instance(self._next_instance, function, device.spec.id, key, forked)

    def _make_room(self, device: Device, instance: Instance) -> bool:
        """Whether everything ``instance`` needs fits, evicting what it takes. What was told to
        stop counts as soon as it is gone, and not twice."""
        need = sum(self._needs(instance).values())
        if instance.copy not in self._state.copies:
            need += self._state.world.backbones[instance.function.backbone].bytes
        need += self._template_need(instance)
        short = need - device.memory.free - device.leaving_bytes
        if short > 0:
            self._evict(device, short, instance.function.backbone)
        return need <= device.memory.free

    def _evict(self, device: Device, amount: int, spare: str) -> None:
        eviction = self._policies.offloading.choose(device, amount, spare, self._state)
        for copy in eviction.copies:
            self.drop(copy)
        for instance in eviction.instances:
            self.stop(instance)

    def _settle(self, device: Device, instance: Instance) -> None:
        """Reserve what ``instance`` needs and take it into the state."""
        self._next_instance += 1
        if template := self._template_need(instance):
            self._state.template_device = device.spec.id
            device.memory.resize(TEMPLATE, template)
        for owner, size in self._needs(instance).items():
            device.memory.resize(instance.holding(owner), size)
        copy = self._state.copies.get(instance.copy)
        if copy is None:
            copy = self._new_copy(instance)
            device.memory.resize(copy.holding, copy.bytes)
        copy.users.add(instance.id)
        self._state.add_instance(instance)

    def _template_need(self, instance: Instance) -> int:
        """Bytes of the template, where ``instance`` is the first to be forked from it."""
        held = self._state.template_device is not None
        return 0 if held or not instance.forked else self._state.world.settings.template_bytes

    def lose_template(self) -> str | None:
        """The template is gone, its memory with it; the device that held it, if any did."""
        home, self._state.template_device = self._state.template_device, None
        if home is not None:
            self._state.devices[home].memory.resize(TEMPLATE, 0)
        self._state.template = TemplatePhase.ABSENT
        return home

    def _new_copy(self, instance: Instance) -> BackboneCopy:
        size = self._state.world.backbones[instance.function.backbone].bytes
        owner = None if instance.copy.shared else instance.function.id
        copy = BackboneCopy(instance.copy, size, owner_function=owner)
        self._state.copies[copy.key] = copy
        return copy

    def _needs(self, instance: Instance) -> dict[MemoryOwner, int]:
        """Its own bytes from the start. The KV cache of one request of full length is among
        them, so that whatever started can always serve: no two instances can wait for each
        other's memory."""
        return {
            MemoryOwner.CONTEXT: instance.function.context_bytes,
            MemoryOwner.ADAPTERS: instance.function.adapter_bytes,
            MemoryOwner.KV: self._kv_floor(instance),
        }

    def advance(self, instance: Instance) -> bool:
        """Ask for whatever ``instance`` lacks next; True once nothing is missing."""
        if instance.phase is not Phase.STARTING or not self._process_asked(instance):
            return False
        copy = self._state.copies[instance.copy]
        if copy.key.shared and not copy.asked:
            copy.asked = True
            self._out.append(act.LoadBackbone(copy.key))
        if not instance.started or instance.loading:
            return False
        artifact = instance.missing
        if artifact is None:
            return True
        backbone = artifact is Artifact.BACKBONE
        if not (backbone and copy.key.shared and not copy.loaded):
            instance.loading = artifact
            self._out.append(
                act.LoadArtifact(instance.id, artifact, copy.key if backbone else None)
            )
        return False

    def _process_asked(self, instance: Instance) -> bool:
        if instance.asked:
            return True
        if instance.forked and self._state.template is not TemplatePhase.READY:
            if self._state.template is TemplatePhase.ABSENT:
                self._state.template = TemplatePhase.STARTING
                self._out.append(act.StartTemplate())
            return False
        instance.asked = True
        self._out.append(
            act.StartInstance(instance.id, instance.function.id, instance.device, instance.forked)
        )
        return True

    def may_retry(self, function: str) -> bool:
        """A start of ``function`` failed; whether another may be tried."""
        self._failed_starts[function] = self._failed_starts.get(function, 0) + 1
        return self._failed_starts[function] < self._state.world.settings.start_attempts

    def forgive(self, function: str) -> None:
        self._failed_starts.pop(function, None)

    # -- running ----------------------------------------------------------------------------

    def admit(self, instance: Instance, requests: Sequence[Request]) -> list[Request]:
        """The first of ``requests`` whose KV caches fit, their bytes reserved."""
        device = self._state.devices[instance.device]
        holding = instance.holding(MemoryOwner.KV)
        taken: list[Request] = []
        wanted = sum(request.kv_bytes for request in instance.running.values())
        for request in requests:
            wanted += request.kv_bytes
            size = max(wanted, self._kv_floor(instance))
            short = size - device.memory.held(holding) - device.memory.free
            if short > 0:
                self._evict(device, short - device.leaving_bytes, instance.function.backbone)
            if size - device.memory.held(holding) > device.memory.free:
                break
            device.memory.resize(holding, size)
            taken.append(request)
        return taken

    def size_kv(self, instance: Instance) -> None:
        """Give back the KV cache of requests that are done."""
        wanted = sum(request.kv_bytes for request in instance.running.values())
        size = max(wanted, self._kv_floor(instance))
        device = self._state.devices[instance.device]
        device.memory.resize(instance.holding(MemoryOwner.KV), size)

    def _kv_floor(self, instance: Instance) -> int:
        longest = self._state.world.settings.max_context_tokens
        return instance.function.kv_bytes_per_token * longest

    # -- stopping ---------------------------------------------------------------------------

    def stop(self, instance: Instance) -> None:
        """Tell a process to go; its bytes come back when it is gone."""
        device = self._state.devices[instance.device]
        instance.phase = Phase.STOPPING
        instance.leaving_bytes = held_by(instance, device, self._state)
        device.leaving_bytes += instance.leaving_bytes
        self._out.append(act.StopInstance(instance.id))

    def release(self, instance: Instance) -> None:
        """``instance`` is gone: give back all it held."""
        device = self._state.devices[instance.device]
        device.leaving_bytes -= instance.leaving_bytes
        for holding in instance.holdings:
            device.memory.resize(holding, 0)
        self._state.copies[instance.copy].users.discard(instance.id)

    def drop(self, copy: BackboneCopy) -> None:
        """Free a copy that nobody uses. A private one went with its process."""
        if copy.key.shared and copy.asked:
            self._out.append(act.DropBackbone(copy.key))
        self._state.devices[copy.key.device].memory.resize(copy.holding, 0)
        del self._state.copies[copy.key]
