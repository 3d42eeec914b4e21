"""The changes of one apply, one after the other; what goes wrong in the middle says what was applied before."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from archkit.applying.checking import Checked, Patches, RefusedError
from archkit.applying.progress import Progress
from archkit.applying.refusing import refused_objects
from archkit.applying.results import AppliedObject
from archkit.errors import ApplyError, ClusterError
from archkit.planning.documents import Document, waits_for

if TYPE_CHECKING:
    from collections.abc import Generator

CHANGING = "its kind changes in the same stream"
"""Why a document cannot be checked: the first words of the reason."""
_SOON = 10.0
"""Seconds that a server may take to serve a kind as its changed definition says."""
_AGAIN = "repeat the call when the cause is gone: applying again what was applied changes nothing"


@attrs.define
class Work:
    """One call's changes, one after the other."""

    progress: Progress
    timeout: float
    """Seconds for a kind to be served, and for an object to go."""
    patches: Patches
    later: dict[str, str]
    """Documents of kinds that are not served yet."""
    documents: Sequence[Document]
    checked: list[Checked]
    unchecked: dict[str, str]
    done: list[AppliedObject] = attrs.field(factory=list[AppliedObject])
    deleted: set[str] = attrs.field(factory=set[str])
    """What is being replaced and whose old object is deleted, or about to be."""

    def run(self) -> list[AppliedObject]:
        """Apply all: namespaces and kinds, then check what could not be checked before, then the rest."""
        first = [item for item in self.checked if item.document.prerequisite]
        rest = [item for item in self.checked if not item.document.prerequisite]
        for item in first:
            self._one(item)
        for item in self._checked_now(rest) if first and self.unchecked else rest:
            self._one(item)
        return self.done

    def _checked_now(self, rest: Sequence[Checked]) -> list[Checked]:
        found: list[Checked] = []
        bad: list[Checked] = []
        for item in rest:
            if item.label not in self.unchecked:
                found.append(item)
                continue
            with self._stopping_at(item, checking=True):
                if item.label in self.later:
                    self._await_kind(item)
                now = self._check_again(item)
            found.append(now)
            if now.refusal is not None and not waits_for(now.document, now.refusal.status, now.refusal.raw, self.documents):
                bad.append(now)
        if bad:
            raise refused_objects(self.patches.api.name, bad, self._names, self._applied)
        return found

    def _check_again(self, item: Checked) -> Checked:
        until = time.monotonic() + _SOON
        while True:
            now = self.patches.check(item.document, item.resource)
            settled = now.refusal is None or not self.unchecked[item.label].startswith(CHANGING)
            if settled or time.monotonic() > until:
                return now
            self.progress.check_cancelled(self._state)
            self.progress.pause()

    def _await_kind(self, item: Checked) -> None:
        """Wait until the server serves a kind whose definition was just applied."""
        document, api = item.document, self.patches.api
        until = time.monotonic() + self.timeout
        while True:
            self.progress.check_cancelled(self._state)
            if api.resource(document.api_version, document.kind, afresh=True) is not None:
                answer = api.connection.request("GET", item.resource.path(document.namespace), query={"limit": "1"})
                if answer.status != 404:
                    return
            if time.monotonic() > until:
                raise ClusterError(api.name, f"the kind {document.kind} is not served {self.timeout:g} s after its definition was applied")
            self.progress.pause()

    def _one(self, item: Checked) -> None:
        self.progress.check_cancelled(self._state)
        with self._stopping_at(item):
            if item.replace:
                self._remove(item)
            after = self.patches.send(item)
        self.deleted.discard(item.label)
        made = attrs.evolve(item, after=after).outcome()
        self.done.append(made)
        self.progress.tell("apply", str(made))

    def _remove(self, item: Checked) -> None:
        self.progress.tell("apply", f"{item.label} cannot be changed: the old one is deleted")
        self.patches.delete(item)
        self.deleted.add(item.label)
        until = time.monotonic() + self.timeout
        while not self.patches.gone(item):
            if time.monotonic() > until:
                raise ClusterError(self.patches.api.name, f"{item.label} is being deleted and still there after {self.timeout:g} s")
            self.progress.check_cancelled(f"{item.label} is being deleted; {self._state}")
            self.progress.pause()

    @contextlib.contextmanager
    def _stopping_at(self, item: Checked, *, checking: bool = False) -> Generator[None, None, None]:
        """What goes wrong here says what was applied before; ``checking`` changes nothing itself."""
        try:
            yield
        except RefusedError as error:
            refusal = error.refusal
            if item.label in self.deleted:
                refusal = attrs.evolve(refusal, message=f"the old one is deleted, and the new one is refused: {refusal.message}")
            raise refused_objects(self.patches.api.name, [attrs.evolve(item, refusal=refusal)], self._names, self._applied) from None
        except ClusterError as error:
            old = ", whose old object is deleted or being deleted" if item.label in self.deleted else ""
            reason = f"applying stopped at {item.place}{old}: {error.reason}"
            uncertain = () if checking else (item.label,)
            rest = tuple(name for name in self._names if name not in {*self._applied, *uncertain})
            remedy = "; ".join(filter(None, (error.remedy, _AGAIN)))
            raise ApplyError(self.patches.api.name, reason, remedy, (), self._applied, rest, uncertain) from error

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(item.label for item in self.checked)

    @property
    def _applied(self) -> tuple[str, ...]:
        return tuple(item.label for item in self.done)

    @property
    def _state(self) -> str:
        applied = self._applied
        rest = [name for name in self._names if name not in applied]
        return f"applied: {', '.join(applied) or 'nothing'}; not applied: {', '.join(rest) or 'nothing'}"
