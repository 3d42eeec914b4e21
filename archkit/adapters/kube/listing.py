"""Lists, page by page: one page is held at a time.

Source: Kubernetes documentation, "API concepts", retrieving large result sets in chunks: pages of 500 as kubectl asks
for, no ``resourceVersion`` (with 0, servers up to 1.30 ignore the limit), and 410 where the token has expired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from archkit.adapters.kube.answers import refused
from archkit.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from archkit.ports.cluster import ClusterApi
    from archkit.ports.http import HttpResponse

PAGE = 500
_NOT_FOR_US = frozenset({403, 404, 405})
_T = TypeVar("_T")
_K = TypeVar("_K")


class Continued(msgspec.Struct, gc=False):
    """``metadata`` of a list."""

    next: str | None = msgspec.field(name="continue", default=None)


class Page(msgspec.Struct, Generic[_T]):
    """A list, or a part of one."""

    metadata: Continued | None = None
    items: list[_T] | None = None


def collect(
    api: ClusterApi, path: str, decoder: msgspec.json.Decoder[Page[_T]], keep: Callable[[_T], _K | None], *, timeout: float
) -> list[_K]:
    """Everything in a list.

    Args:
        api: The cluster.
        path: Of the list.
        decoder: Of a page; it decodes what is used, and no more.
        keep: What is kept of an item; None: nothing.
        timeout: Seconds for each page.

    Raises:
        ClusterError: No answer, one that refuses, or one that is no list.
    """
    return _collect(api, path, decoder, keep, timeout=timeout) or []


def collect_if_permitted(
    api: ClusterApi, path: str, decoder: msgspec.json.Decoder[Page[_T]], keep: Callable[[_T], _K | None], *, timeout: float
) -> list[_K] | None:
    """The same; None where one may not read it or there is no such kind."""
    return _collect(api, path, decoder, keep, timeout=timeout, absent=_NOT_FOR_US)


def _collect(
    api: ClusterApi,
    path: str,
    decoder: msgspec.json.Decoder[Page[_T]],
    keep: Callable[[_T], _K | None],
    *,
    timeout: float,
    absent: frozenset[int] = frozenset(),
) -> list[_K] | None:
    for _ in range(2):
        found: list[_K] = []
        after = ""
        while True:
            query = {"limit": str(PAGE), "continue": after} if after else {"limit": str(PAGE)}
            answer = api.request("GET", path, query=query, timeout=timeout)
            if answer.status == 410 and after:
                break  # the server has forgotten where we were: once more from the beginning
            if answer.status in absent and not after:
                return None
            if answer.status != 200:
                raise refused(api.name, "GET", path, answer)
            page = decoded(api, path, answer, decoder)
            found += (kept for item in page.items or () if (kept := keep(item)) is not None)
            after = (page.metadata and page.metadata.next) or ""
            if not after:
                return found
    reason = f"GET {path}: the server forgot twice where the list was (HTTP 410)"
    raise ClusterError(api.name, reason, "it keeps too little of its past for so slow a connection; try again")


def decoded(api: ClusterApi, path: str, answer: HttpResponse, decoder: msgspec.json.Decoder[Page[_T]]) -> Page[_T]:
    """The page in an answer.

    Raises:
        ClusterError: It is none.
    """
    try:
        return decoder.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        remedy = f"see what {api.name} is: a proxy or a sign-in page may have answered in its place"
        raise ClusterError(api.name, f"GET {path}: the answer is no list: {error}", remedy) from error
