"""Progress of long work, as frozen values for a listener.

Every piece of work sends ``started``, any number of ``progress``, and then exactly one of ``finished`` and ``failed``.
"""

from __future__ import annotations

from typing import Literal, Protocol

import attrs

from archkit.model.platform import Platform

Stage = Literal["started", "progress", "finished", "failed"]


@attrs.frozen
class Event:
    """One step of long work."""

    work: str
    """What is being done, such as ``build``, ``verify`` or ``push``."""
    stage: Stage
    image: str = ""
    """The artifact concerned, as the caller named it; empty for work on all of them."""
    platform: Platform | None = None
    """The platform concerned; None for work on all of them."""
    message: str = ""
    """One line for a person."""


class Listener(Protocol):
    """Whoever wants to know. Called from the thread that does the work, and of one build never by two at once, so that
    lines of builds that run at the same time are not mixed up; must not block and must not raise."""

    def __call__(self, event: Event, /) -> object: ...


def ignore(event: Event, /) -> None:
    """The listener of a caller who gave none."""
