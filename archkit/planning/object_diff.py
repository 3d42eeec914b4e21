"""What applying changes in an object, line by line for a person, without what nobody may read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNTOLD = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"})
"""Of ``metadata``: what the server keeps for itself."""
_UNTOLD_ANNOTATIONS = frozenset(
    {"kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"}
)
"""A copy of the whole object, Secrets included; and what controllers count."""
_UNTOLD_STEPS = frozenset({"[batch.kubernetes.io/controller-uid]", ".controller-uid"})
"""Labels by which a Job finds its pods; every Job has its own."""
_IDENTITY = frozenset({(".apiVersion",), (".kind",), (".metadata", ".name"), (".metadata", ".namespace")})
"""What a new object is; the lines of its diff come behind its name."""
_SECRET_FIELDS = frozenset({"data", "stringData"})
_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|auth|private", re.IGNORECASE)
_LONGEST = 160
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MASK = "***"
_NOTHING = object()


def told(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An object without its status and without what the server keeps for itself: what applying is about."""
    kept: dict[str, Any] = {key: value for key, value in fields.items() if key != "status"}
    metadata = kept.get("metadata")
    if isinstance(metadata, Mapping):
        kept["metadata"] = meta = {key: value for key, value in metadata.items() if key not in _UNTOLD}
        notes = meta.get("annotations")
        if isinstance(notes, Mapping):
            meta["annotations"] = {key: value for key, value in notes.items() if key not in _UNTOLD_ANNOTATIONS}
            if not meta["annotations"]:
                del meta["annotations"]
    return kept


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any], *, secret: bool = False) -> str:
    """The lines of a diff: ``+`` what comes, ``-`` what goes, ``~`` what becomes something else.

    Lists whose items have names are compared by name, others by position. What a Secret holds, and what stands in
    environment variables and fields whose names speak of secrets, is ``***``.

    Args:
        before: The object as it is; None: it is not there.
        after: The object as it will be.
        secret: Whether it is a Secret.
    """
    old: object = _NOTHING if before is None else told(before)
    return "\n".join(_lines(old, told(after), (), secret=secret))


def _lines(before: object, after: object, path: tuple[str, ...], *, secret: bool) -> Iterator[str]:
    if before == after and type(before) is type(after):
        return
    if (path and path[-1] in _UNTOLD_STEPS) or (before is _NOTHING and path in _IDENTITY):
        return
    if after is _NOTHING and path == (".spec", ".nodeName"):  # the scheduler chose it
        return
    old, new = _children(before), _children(after)
    if new is not None and (old is not None or before is _NOTHING) and (new or old):
        if old is not None and list(new) != list(old) and set(new) == set(old) and isinstance(after, Sequence):
            yield f"~ {''.join(path).removeprefix('.')}: another order"
        for key in [*new, *(key for key in old or () if key not in new)]:
            left = _NOTHING if old is None else old.get(key, _NOTHING)
            yield from _lines(left, new.get(key, _NOTHING), (*path, key), secret=secret)
        return
    if after is _NOTHING and old:
        for key, value in old.items():
            yield from _lines(value, _NOTHING, (*path, key), secret=secret)
        return
    name = "".join(path).removeprefix(".")
    hidden = _hidden(path, secret=secret)
    if before is _NOTHING:
        yield f"+ {name}: {_shown(after, hidden=hidden)}"
    elif after is _NOTHING:
        yield f"- {name}: {_shown(before, hidden=hidden)}"
    elif hidden:
        yield f"~ {name}: {_MASK} (another value)"
    else:
        yield f"~ {name}: {_shown(before)} -> {_shown(after)}"


def _children(value: object) -> dict[str, object] | None:
    """What a collection holds by the step of a path that leads there; None for anything else."""
    if isinstance(value, Mapping):
        return {f".{key}" if _PLAIN_KEY.fullmatch(str(key)) else f"[{key}]": item for key, item in value.items()}
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    names = [item.get("name") if isinstance(item, Mapping) else None for item in value]
    if names and all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return {f"[{name}]": item for name, item in zip(names, value, strict=True)}
    return {f"[{index}]": item for index, item in enumerate(value)}


def _hidden(path: tuple[str, ...], *, secret: bool) -> bool:
    if secret and path and path[0].strip(".[]") in _SECRET_FIELDS:
        return True
    if len(path) > 2 and path[-3] == ".env" and path[-1] == ".value":
        return bool(_SECRET_NAME.search(path[-2]))
    return False


def _shown(value: object, *, hidden: bool = False) -> str:
    if hidden:
        return _MASK
    text = value if isinstance(value, str) and value and value == value.strip() and value.isprintable() else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
