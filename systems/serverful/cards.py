"""The cards of servers: a server a card, as an operator without our platform would deploy them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function
from systems.runtime import cards


@dataclass(frozen=True, slots=True)
class Placed:
    """A server of ``functions`` on ``device``; ``beside``: servers on that device, it included."""

    name: str
    functions: Sequence[Function]
    device: Device
    beside: int = 1


def place(groups: Mapping[str, Sequence[Function]], devices: Sequence[Device]) -> Sequence[Placed]:
    """Place a server for each group on the cards in turn; on the CPU, all on the first device. With
    fewer groups than cards, a group gets a server on each of its cards, and its functions are dealt
    to them in turn. A server that is not on the first card has the number of its card in its
    name."""
    devices = [each for each in devices if each.kind == "cuda"] or devices[:1]
    turns = max(len(groups), len(devices))
    names, seats = list(groups), [devices[turn % len(devices)] for turn in range(turns)]
    found = []
    for turn, device in enumerate(seats):
        name = names[turn % len(names)]
        parts = len(range(turn % len(names), turns, len(names)))
        mine = groups[name][turn // len(names) :: parts]
        if mine:
            found.append(Placed(_on(name, device), mine, device, seats.count(device)))
    return found


def _on(name: str, device: Device) -> str:
    number = cards.index(device.name)
    return f"{name}-{number}" if number else name


def by_card(deployment: Deployment) -> Iterator[Deployment]:
    """Yield a deployment for each card that has functions, which are dealt to the cards in turn;
    ports do not overlap. A deployment with one device is yielded as it is."""
    count = len(deployment.devices)
    for number, device in enumerate(deployment.devices[: len(deployment.functions)]):
        mine = deployment.functions[number::count]
        used = {each.backbone: deployment.backbones[each.backbone] for each in mine}
        port = deployment.port and deployment.port + number * (1 + len(deployment.functions))
        changed = {"functions": mine, "devices": (device,), "backbones": used, "port": port}
        yield deployment.model_copy(update=changed) if count > 1 else deployment


def environment(device: Device) -> dict[str, str]:
    """Return the variables by which a server sees the card ``device`` alone; none on the CPU or on
    the first card, which is the default of all programs."""
    if device.kind == "cpu" or cards.index(device.name) == 0:
        return {}
    try:
        return {cards.VISIBLE: cards.number(device.name), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    except IndexError:
        raise DeploymentError(f"device {device.name}: {cards.VISIBLE} shows fewer GPUs") from None


def check_one_host_device(servers: str, deployment: Deployment) -> None:
    """Raise ``DeploymentError`` for several devices that are budgets of host memory."""
    if deployment.devices[0].kind == "cpu" and len(deployment.devices) > 1:
        names = ", ".join(device.name for device in deployment.devices)
        raise DeploymentError(
            f"devices {names}: {servers} run on one device on the CPU; configure one"
        )
