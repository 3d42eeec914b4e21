"""Lists in pages, and watches."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from archkit.testing.cluster.objects import in_version
from archkit.testing.cluster.resources import Resource
from archkit.testing.cluster.selection import Selects, selects
from archkit.testing.cluster.statuses import ApiError, bad_request
from archkit.testing.cluster.store import Object, expired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.testing.cluster.store import Change, Key, Store

_LONGEST_WATCH = 1800.0
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


@attrs.frozen
class Page:
    """A part of a list."""

    items: list[Object]
    metadata: Mapping[str, Any]


def page(store: Store, resource: Resource, namespace: str, query: Mapping[str, str]) -> Page:
    """The objects of a kind, or as many of them as were asked for.

    Raises:
        ApiError: 400, 410.
    """
    wanted = selects(query.get("labelSelector", ""), query.get("fieldSelector", ""))
    limit, token = _number(query, "limit"), query.get("continue", "")
    after: Key | None = None
    version = store.version
    if token:
        version, after = _position(token)
        if query.get("resourceVersion"):
            raise bad_request("specifying resource version is not allowed when using continue")
    with store.lock:
        version = store.version if version < 0 else version
        try:
            objects = store.as_of(resource.key, version)
        except ApiError as error:
            if not token or after is None:
                raise
            raise expired(token=_token(-1, after)) from error
    left = [(key, obj) for key, obj in sorted(objects.items()) if namespace in {"", key[0]} and (after is None or key > after)]
    found = [(key, obj) for key, obj in left if wanted(obj)]
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if limit and len(found) >= limit:
        found = found[:limit]
        last = found[-1][0]
        if last != left[-1][0]:  # whether what is behind it is wanted shows on the next page, as with a real server
            metadata["continue"] = _token(version, last)
            if not (query.get("labelSelector") or query.get("fieldSelector")):
                metadata["remainingItemCount"] = sum(key > last for key, _ in left)
    return Page([in_version(resource, obj) for _, obj in found], metadata)


def _token(version: int, after: Key) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(after)})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(token: str) -> tuple[int, Key]:
    try:
        fields = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = str(fields["start"]).partition("/")
        return int(fields["rv"]), (namespace, name)
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error


def _number(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query.get(name) or 0)
    except ValueError as error:
        raise bad_request(f'invalid value for {name}: "{query[name]}"') from error


@attrs.frozen
class Watch:
    """What a watch is about."""

    resource: Resource
    namespace: str
    name: str
    wanted: Selects
    start: int | None
    """Events after this number; None: what is there comes first, as if it were new."""
    bookmarks: bool
    initial: bool
    """Whether a bookmark ends what is there (``sendInitialEvents``)."""
    seconds: float


def asked_watch(resource: Resource, namespace: str, name: str, query: Mapping[str, str]) -> Watch:
    """What the parameters of a watch say.

    Raises:
        ApiError: 400.
    """
    version, initial = query.get("resourceVersion", ""), query.get("sendInitialEvents", "").lower() == "true"
    if not version.isdecimal() and version:
        raise bad_request(f'invalid resource version "{version}"')
    if initial and query.get("resourceVersionMatch") != "NotOlderThan":
        raise bad_request("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    return Watch(
        resource,
        namespace,
        name,
        selects(query.get("labelSelector", ""), query.get("fieldSelector", "")),
        int(version) if version not in {"", "0"} and not initial else None,
        query.get("allowWatchBookmarks", "").lower() == "true",
        initial,
        float(_number(query, "timeoutSeconds") or _LONGEST_WATCH),
    )


def events(store: Store, watch: Watch, ended: Any) -> Iterator[dict[str, Any]]:
    """The events of a watch, until its time is over, the cluster stops, or ``ended()`` says that nobody listens."""
    until = time.monotonic() + watch.seconds
    with store.lock:
        position = store.version if watch.start is None else watch.start
        there = [obj for obj in store.objects(watch.resource.key, watch.namespace) if _is_about(watch, obj)] if watch.start is None else []
    for obj in there:
        yield {"type": "ADDED", "object": in_version(watch.resource, obj)}
    if watch.initial and watch.bookmarks:
        yield _bookmark(watch, position, _INITIAL_END)
    while True:
        with store.changed:
            try:
                changes = store.since(position)
            except ApiError as error:
                yield {"type": "ERROR", "object": error.body()}
                return
            if not changes:
                left = until - time.monotonic()
                if store.closed or ended() or left <= 0:
                    return
                store.changed.wait(min(left, 1.0))
                continue
        for change in changes:
            position = change.version
            event = _event(watch, change)
            if event is not None:
                yield event


def _is_about(watch: Watch, obj: Mapping[str, Any] | None) -> bool:
    return obj is not None and watch.name in {"", obj["metadata"]["name"]} and watch.wanted(obj)


def _event(watch: Watch, change: Change) -> dict[str, Any] | None:
    if change.kind != watch.resource.key or watch.namespace not in {"", change.key[0]}:
        return None
    before, now = _is_about(watch, change.old), _is_about(watch, change.new)
    if now and change.new is not None:
        return {"type": "MODIFIED" if before else "ADDED", "object": in_version(watch.resource, change.new)}
    if before and change.old is not None:
        metadata = {**change.old["metadata"], "resourceVersion": str(change.version)}
        return {"type": "DELETED", "object": in_version(watch.resource, {**change.old, "metadata": metadata})}
    return None


def _bookmark(watch: Watch, version: int, annotations: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None, "annotations": dict(annotations)}
    return {"type": "BOOKMARK", "object": {"kind": watch.resource.kind, "apiVersion": watch.resource.api_version, "metadata": metadata}}
