"""What a value may be, in words, from the JSON schema of a pydantic model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]

_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
ANY = "any value"


def resolved(node: Node, root: Node) -> Node:
    """Follow references into the definitions of ``root``."""
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def follow(place: Sequence[str | int], root: Node) -> tuple[Node, list[str | int]]:
    """Return the schema at a place of an error, and the place by keys and positions alone: pydantic
    also names which of several forms it tried, which is left out."""
    node, keys, tried = root, list[str | int](), False
    for part in place:
        if len(_forms(node, root)) > 1 and not tried:
            tried = True
            continue
        node, tried = _inside(node, part, root), False
        keys.append(part)
    return resolved(node, root), keys


def _inside(node: Node, part: str | int, root: Node) -> Node:
    """Return the schema of a list's items, or of a mapping's key; empty if there is none."""
    node = resolved(node, root)
    if isinstance(part, int):
        found = node.get("items")
    else:
        found = node.get("properties", {}).get(part) or node.get("additionalProperties")
    if isinstance(found, Mapping):
        return found
    return next(filter(None, (_inside(each, part, root) for each in _choices(node))), {})


def kind(node: Node, root: Node) -> str:
    """Describe what is allowed, such as ``whole number > 0``, ``a or b``, ``list of text``."""
    node = resolved(node, root)
    if choices := _choices(node):
        return " or ".join(dict.fromkeys(kind(each, root) for each in choices))
    if "enum" in node or "const" in node:
        *others, last = map(str, node.get("enum", [node.get("const")]))
        return " or ".join(filter(None, (", ".join(others), last)))
    if node.get("type") == "array":
        return f"list of {kind(node.get('items', {}), root)}"
    if "properties" in node:
        return "mapping"
    if node.get("type") == "object":
        values = node.get("additionalProperties", {})
        return f"mapping of text to {kind(values if isinstance(values, Mapping) else {}, root)}"
    return _scalar(node)


def _scalar(node: Node) -> str:
    told = _TYPES.get(str(node.get("type")), ANY)
    if node.get("format") == "path":
        told = "path"
    if "pattern" in node:
        told += f" of the form {node['pattern']}"
    bounds = [f"{sign} {node[name]:g}" for name, sign in _BOUNDS.items() if name in node]
    return " ".join([told, *bounds])


def _forms(node: Node, root: Node) -> list[Node]:
    """Return the forms that a value may have, other than null."""
    node = resolved(node, root)
    if choices := _choices(node):
        return [form for each in choices for form in _forms(each, root)]
    return [] if node.get("type") == "null" else [node]


def _choices(node: Node) -> Sequence[Node]:
    found: Sequence[Node] = node.get("anyOf") or node.get("oneOf") or ()
    return found
