"""Node lists as ``kubectl get nodes`` writes them."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs
import msgspec

from archkit.adapters.node_objects import NodeObject, doubts, to_node
from archkit.errors import NodeListError
from archkit.model.node import Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.finding import Finding

_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""Windows PowerShell 5 writes UTF-16 with a byte order mark when output is redirected to a file."""


_JSON = msgspec.json.Decoder(NodeObject)
_JSON_LIST = msgspec.json.Decoder(list[NodeObject])


@attrs.frozen
class RecordedNodes:
    """A ``NodeSource`` over what somebody recorded, or has as Python objects."""

    content: str | os.PathLike[str] | bytes | Mapping[str, Any] | Iterable[Node | Mapping[str, Any]]
    """A path, the bytes of a file, a decoded object, or nodes."""

    @property
    def name(self) -> str:
        """The file, or what kind of object it is."""
        if isinstance(self.content, (str, os.PathLike)):
            return str(Path(self.content))
        return "the bytes given" if isinstance(self.content, bytes) else "the objects given"

    def nodes(self) -> tuple[Sequence[Node], Sequence[Finding]]:
        """Every node in the order of the recording, and what is amiss with them.

        Raises:
            NodeListError: Unreadable, or no node list.
        """
        content = self.content
        if isinstance(content, Mapping):
            return _checked(_from_mapping(cast("Mapping[str, Any]", content), self.name))
        if isinstance(content, bytes):
            return _checked(decode_nodes(content, self.name))
        if isinstance(content, (str, os.PathLike)):
            try:
                raw = Path(content).read_bytes()
            except (OSError, ValueError) as error:
                raise NodeListError(self.name, getattr(error, "strerror", None) or str(error)) from error
            return _checked(decode_nodes(raw, self.name))
        found: list[Node] = []
        try:
            items = list(content)
        except TypeError as error:
            raise NodeListError(self.name, f"a path, bytes, a mapping or nodes were expected, not {type(content).__name__}") from error
        for item in items:
            if isinstance(item, Node):
                found.append(item)
            elif isinstance(item, Mapping):
                found.extend(_from_mapping(item, self.name))
            else:
                raise NodeListError(self.name, f"a Node or a mapping was expected, not {type(item).__name__}")
        return _checked(found)


def decode_nodes(content: bytes, source: str) -> list[Node]:
    """The nodes of a recorded list, JSON or YAML, in its order.

    Args:
        content: ``kubectl get nodes -o json`` or ``-o yaml``, one node, or a stream of nodes.
        source: What an error calls it.

    Raises:
        NodeListError: Neither JSON nor YAML, or no node list.
    """
    try:
        text = next((content.decode(name) for mark, name in _ENCODINGS if content.startswith(mark)), None)
        content = content if text is None else text.encode()
    except UnicodeDecodeError as error:
        raise NodeListError(source, f"the text is damaged: {error}") from error
    start = content.lstrip()[:1]
    if not start:
        raise NodeListError(source, "it is empty")
    try:
        if start == b"{":
            return _nodes_of(_JSON.decode(content), source)
        if start == b"[":
            return [node for item in _JSON_LIST.decode(content) for node in _nodes_of(item, source)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NodeListError(source, str(error)) from error
    from archkit.adapters.yaml.plain import load_texts

    try:
        documents = load_texts(content.decode())
    except ValueError as error:
        raise NodeListError(source, f"neither JSON nor YAML: {error}") from error
    if not documents:
        raise NodeListError(source, "it is empty")
    return [node for document in documents for node in _from_mapping(document, source)]


def _from_mapping(fields: object, source: str) -> list[Node]:
    try:
        return _nodes_of(msgspec.convert(fields, NodeObject, strict=False), source)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NodeListError(source, str(error)) from error


def _nodes_of(document: NodeObject, source: str) -> list[Node]:
    if document.items is not None:
        if document.kind not in {None, "List", "NodeList"}:
            raise NodeListError(source, f"it holds a {document.kind}")
        others = [item.kind for item in document.items if item.kind not in {None, "Node"}]
        if others:
            raise NodeListError(source, f"it holds a {others[0]} among the nodes")
        return [to_node(item, source) for item in document.items]
    if document.kind not in {None, "Node"} or document.metadata is None:
        raise NodeListError(source, f"it holds a {document.kind}" if document.kind else "it holds no node list")
    return [to_node(document, source)]


def _checked(nodes: Sequence[Node]) -> tuple[Sequence[Node], Sequence[Finding]]:
    return nodes, doubts(nodes)
