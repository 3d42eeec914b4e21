"""What goes along with all steps of applying: the caller's wish to stop, and who is told."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import attrs

from archkit.errors import CancelledError
from archkit.events import Event, Listener, Stage

if TYPE_CHECKING:
    from collections.abc import Generator

_LOOK = 0.1
"""Seconds between two looks at something that will be there or gone soon."""


@attrs.frozen
class Progress:
    """Asked between the steps, and told of them."""

    cluster: str
    """Context and server."""
    cancel: threading.Event
    listener: Listener

    def check_cancelled(self, state: str) -> None:
        """Stop where the caller wants it.

        Args:
            state: What there is until now, for the message.

        Raises:
            CancelledError: The caller's event is set.
        """
        if self.cancel.is_set():
            raise CancelledError(f"applying to cluster {self.cluster}; {state}")

    def pause(self) -> None:
        """Wait a moment, or until the caller cancels."""
        self.cancel.wait(_LOOK)

    def tell(self, work: str, message: str, stage: Stage = "progress") -> None:
        """Tell of something under way."""
        self.listener(Event(work, stage, message=message))

    @contextlib.contextmanager
    def step(self, work: str, message: str) -> Generator[None, None, None]:
        """Tell that something starts, and how it ends."""
        self.tell(work, message, "started")
        try:
            yield
        except BaseException as error:
            self.tell(work, str(error) or type(error).__name__, "failed")
            raise
        self.tell(work, message, "finished")
