"""Whether the devices of a deployment can hold an instance at all."""

from __future__ import annotations

from collections import Counter

from systems.errors import DeploymentError

from ..core.cluster_spec import ClusterSpec, DeviceSpec
from ..core.controller import Controller
from ..core.host_templates import HostTemplates
from ..core.instance_memory import InstanceMemory
from ..core.memory_needs import MemoryNeeds
from ..core.policies import PolicySet


def check_memory(cluster: ClusterSpec, policies: PolicySet) -> None:
    """Raise ``DeploymentError`` for the first group of which no instance could ever start: no
    device, while empty, has what the decision core reserves for one and for its backbone."""
    controller = Controller(cluster, policies)
    state, made = controller.state, controller.policies
    needs = MemoryNeeds(state, InstanceMemory(state), HostTemplates(state, []))
    device, room = _roomiest(cluster)
    for group in cluster.groups.values():
        copy = made.sharing.copy_for(group.backbone, device.id, 0)
        need = needs.of_new(group, copy, forked=made.preloading.forks)
        if need > room:
            raise DeploymentError(
                f"an instance of {group.backbone} takes {need / 1e9:.2f} GB, device {device.id} has"
                f" {device.memory_bytes / 1e9:.2f} GB: give device_memory_gib more"
            )


def _roomiest(cluster: ClusterSpec) -> tuple[DeviceSpec, int]:
    """Return the device with most room for an instance and the template of its host, in bytes. With
    other devices on its host, the template may be on one of those."""
    on_host = Counter(device.host for device in cluster.devices.values())

    def room(device: DeviceSpec) -> int:
        elsewhere = cluster.settings.template_bytes if on_host[device.host] > 1 else 0
        return device.memory_bytes + elsewhere

    roomiest = max(cluster.devices.values(), key=room)
    return roomiest, room(roomiest)
