"""What goes wrong on purpose in an embedded server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.testing.messages import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archkit.testing.messages import Request


@attrs.frozen
class Fault:
    """One rule: which requests it is about, what happens to them, and how often."""

    method: str
    """``*`` for every method."""
    where: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    """What the request must be about, such as ``{"kind": "manifest"}`` or ``{"resource": "pods"}``."""
    query: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    """Parameters that the request's query must have; ``*`` is any value."""
    before: Response | None = None
    """Answered instead of carrying the request out."""
    after: Callable[[Response], Response] | None = None
    """Makes the answer of what was made of the request."""
    action: str = "nothing"
    limit: int | None = None
    """How many requests it is about; None: all."""
    used: int = 0
    needed: bool = True
    """Whether a test fails in which no request met it (or fewer than ``limit``)."""
    forbidden: bool = False
    """Whether a test fails in which a request met it."""

    def meets(self, request: Request, about: Mapping[str, str]) -> bool:
        """Whether this is about the request.

        Args:
            request: What came.
            about: What it is about, as the server says.
        """
        return (
            self.action != "nothing"
            and self.method in {"*", request.method}
            and all(about.get(name) == value for name, value in self.where.items())
            and (not self.query or self._asks(request.query))
            and (self.limit is None or self.used < self.limit)
        )

    def _asks(self, query: Mapping[str, str]) -> bool:
        return all(name in query and wanted in {"*", query[name]} for name, wanted in self.query.items())

    @property
    def unmet(self) -> bool:
        """Whether it waited for requests that did not come, or forbade one that came."""
        if self.forbidden:
            return self.used > 0
        return self.needed and self.used < (1 if self.limit is None else self.limit)

    def __str__(self) -> str:
        asked = "".join(f", {name}={value!r}" for name, value in self.where.items())
        asked += f", query={dict(self.query)!r}" if self.query else ""
        often = "" if self.limit is None else f".times({self.limit})"
        return f"on({self.method!r}{asked}).{self.action}{often} met {self.used} requests"


class FaultRule:
    """Completes a rule of a server; every method gives the rule itself, so that calls can be chained."""

    def __init__(self, faults: Faults, position: int) -> None:
        self._faults = faults
        self._position = position

    def answer(
        self, status: int, *, body: bytes | str = b"", headers: Mapping[str, str] | None = None, retry_after: float | str | None = None
    ) -> FaultRule:
        """Answer this instead of carrying the request out.

        Args:
            status: HTTP status.
            body: Of the answer.
            headers: Of the answer.
            retry_after: Seconds, or a date, for a ``Retry-After`` header.
        """
        fields = dict(headers or {})
        if retry_after is not None:
            fields["Retry-After"] = str(retry_after)
        content = body.encode() if isinstance(body, str) else body
        before = Response(status, fields, content)
        return self._change(lambda fault: attrs.evolve(fault, action=f"answer({status})", before=before))

    def drop(self, after: int | None = None) -> FaultRule:
        """Close the connection.

        Args:
            after: Bytes of the answer, head included, that are sent before; the request is carried out then. None:
                nothing is sent and the request is not carried out.
        """
        if after is None:
            return self._change(lambda fault: attrs.evolve(fault, action="drop()", before=Response(0, cut=0)))
        return self._after(f"drop(after={after})", lambda response: attrs.evolve(response, cut=after))

    def truncate(self, size: int) -> FaultRule:
        """Carry the request out, announce the whole body of the answer, and close the connection after ``size`` bytes of it."""
        return self._after(f"truncate({size})", lambda response: attrs.evolve(response, cut_body=size))

    def wait(self, seconds: float) -> FaultRule:
        """Carry the request out and answer so many seconds later."""
        return self._after(f"wait({seconds:g})", lambda response: attrs.evolve(response, late=seconds))

    def delay(self, seconds: float) -> FaultRule:
        """The same as :meth:`wait`."""
        return self.wait(seconds)

    def drip(self, seconds: float) -> FaultRule:
        """Carry the request out and answer one byte every so many seconds."""
        return self._after(f"drip({seconds:g})", lambda response: attrs.evolve(response, drip=seconds))

    def tamper(self, change: Callable[[Response], Response]) -> FaultRule:
        """Carry the request out and answer what ``change`` makes of the answer."""
        return self._after("tamper(…)", change)

    def never(self) -> FaultRule:
        """Carry such requests out, and fail the test when one comes."""
        return self._change(lambda fault: attrs.evolve(fault, action="never()", forbidden=True))

    def times(self, count: int) -> FaultRule:
        """Do so for the first ``count`` such requests only."""
        return self._change(lambda fault: attrs.evolve(fault, limit=count))

    def optional(self) -> FaultRule:
        """Do not fail the test when no such request comes."""
        return self._change(lambda fault: attrs.evolve(fault, needed=False))

    def _after(self, action: str, change: Callable[[Response], Response]) -> FaultRule:
        return self._change(lambda fault: attrs.evolve(fault, action=action, after=change))

    def _change(self, change: Callable[[Fault], Fault]) -> FaultRule:
        self._faults.change(self._position, change)
        return self


class Faults:
    """The rules of one server; the first that meets a request counts."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> FaultRule:
        """A rule that is yet to say what happens."""
        with self._lock:
            self._rules.append(fault)
            return FaultRule(self, len(self._rules) - 1)

    def change(self, position: int, change: Callable[[Fault], Fault]) -> None:
        """Replace the rule at a position."""
        with self._lock:
            self._rules[position] = change(self._rules[position])

    def meet(self, request: Request, about: Mapping[str, str]) -> Fault | None:
        """The rule that this request meets, counted as used."""
        with self._lock:
            for position, fault in enumerate(self._rules):
                if fault.meets(request, about):
                    self._rules[position] = attrs.evolve(fault, used=fault.used + 1)
                    return fault
        return None

    def clear(self) -> None:
        """Forget every rule."""
        with self._lock:
            self._rules = [Fault("*", needed=False) for _ in self._rules]  # rules that are completed later keep their place

    def take_unmet(self) -> tuple[Fault, ...]:
        """Rules that waited for requests that did not come, or forbade some that came; they are not reported twice."""
        with self._lock:
            unmet = tuple(fault for fault in self._rules if fault.unmet)
            self._rules = [attrs.evolve(fault, needed=False, forbidden=False) for fault in self._rules]
        return unmet
