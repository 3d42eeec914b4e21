"""Where the embedded cluster keeps its objects: every write has a number, and what was is known until it is forgotten.

Objects that are kept are never changed, only replaced.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import attrs

from archkit.testing.cluster.statuses import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace (empty where the kind has none) and name."""


@attrs.frozen
class Change:
    """One write."""

    version: int
    kind: str
    """As :attr:`Resource.key <archkit.testing.cluster.resources.Resource.key>`."""
    key: Key
    old: Object | None
    new: Object | None


class Store:
    """The objects of one cluster; safe for threads that hold :attr:`lock`."""

    def __init__(self) -> None:
        self.lock: threading.RLock = threading.RLock()
        self.changed: threading.Condition = threading.Condition(self.lock)
        """Notified of every write, and when nothing more will come."""
        self.version: int = 1
        self.closed: bool = False
        self._objects: dict[str, dict[Key, Object]] = {}
        self._history: list[Change] = []
        self._forgotten = 0

    # ---- now ----------------------------------------------------------------------------------------------------

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object of this name; None where there is none."""
        return self._objects.get(kind, {}).get((namespace, name))

    def objects(self, kind: str, namespace: str = "") -> list[Object]:
        """Those of a kind, in a namespace or in all, by namespace and name."""
        with self.lock:
            kept = sorted(self._objects.get(kind, {}).items())
        return [obj for (place, _), obj in kept if namespace in {"", place}]

    def everything(self) -> Iterator[tuple[str, Object]]:
        """Every object with its kind."""
        with self.lock:
            kept = [(kind, obj) for kind, objects in self._objects.items() for obj in objects.values()]
        yield from kept

    def put(self, kind: str, obj: Object) -> Object:
        """Keep an object; as it is kept, with its ``resourceVersion``."""
        with self.changed:
            self.version += 1
            metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
            kept = {**obj, "metadata": metadata}
            key = (metadata.get("namespace", ""), metadata["name"])
            objects = self._objects.setdefault(kind, {})
            self._history.append(Change(self.version, kind, key, objects.get(key), kept))
            objects[key] = kept
            self.changed.notify_all()
            return kept

    def drop(self, kind: str, namespace: str, name: str) -> Object | None:
        """Forget an object; as it was, with the number of its end."""
        with self.changed:
            old = self._objects.get(kind, {}).pop((namespace, name), None)
            if old is None:
                return None
            self.version += 1
            gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
            self._history.append(Change(self.version, kind, (namespace, name), gone, None))
            self.changed.notify_all()
            return gone

    # ---- then ---------------------------------------------------------------------------------------------------

    def as_of(self, kind: str, version: int) -> dict[Key, Object]:
        """The objects of a kind as they were after a write.

        Raises:
            ApiError: 410, that is forgotten.
        """
        with self.lock:
            if version < self._forgotten:
                raise expired()
            objects = dict(self._objects.get(kind, {}))
            for change in reversed(self._history):
                if change.version <= version:
                    break
                if change.kind != kind:
                    continue
                if change.old is None:
                    objects.pop(change.key, None)
                else:
                    objects[change.key] = change.old
            return objects

    def since(self, version: int) -> list[Change]:
        """The writes after one.

        Raises:
            ApiError: 410, some of them are forgotten.
        """
        with self.lock:
            if version < self._forgotten:
                raise too_old(version, self._forgotten)
            position = len(self._history)
            while position and self._history[position - 1].version > version:
                position -= 1
            return self._history[position:]

    def forget(self) -> None:
        """Forget what was before now: lists and watches that began earlier get 410."""
        with self.changed:
            self.version += 1
            self._history.clear()
            self._forgotten = self.version
            self.changed.notify_all()

    def close(self) -> None:
        """End every watch."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


def expired(*, token: str = "") -> ApiError:
    """410: a list cannot be continued where it began."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
        "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided "
        "token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was "
        "returned and now may show up in the list."
    )
    metadata: Mapping[str, Any] = {"continue": token} if token else {}
    return ApiError(410, "Expired", message, metadata=metadata)


def too_old(version: int, oldest: int) -> ApiError:
    """410: a watch asks for what is forgotten."""
    return ApiError(410, "Expired", f"too old resource version: {version} ({oldest})")
