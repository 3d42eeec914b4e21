"""How many requests something may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from archkit.testing.exchanges import ExchangeLog


@attrs.frozen
class Budget:
    """Most requests and round trips of a piece of work."""

    requests: int | None = None
    """None: any number."""
    round_trips: int | None = None
    """None: any number."""

    def check(self, log: ExchangeLog) -> None:
        """Raises ``AssertionError`` with the whole exchange when the work cost more than this."""
        __tracebackhide__ = True  # the message says it all
        spent = (("requests", self.requests, len(log)), ("round trips", self.round_trips, log.round_trips))
        over = [f"{count} {what} came, {most} at most were expected" for what, most, count in spent if most is not None and count > most]
        if over:
            raise AssertionError(f"{'; '.join(over)}:\n{log.table(surplus=self.requests)}")
