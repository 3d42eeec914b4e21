"""Builds in Cloud Build. Source: REST reference of ``projects.locations.builds``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import attrs

from archkit.adapters.google.api import Api
from archkit.planning.cloudbuild import BuildState, read_build, read_operation
from archkit.ports.http import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen
class Builds:
    """The builds of a project in a region."""

    api: Api
    parent: str
    """``projects/PROJECT/locations/REGION``."""

    def start(self, request: Mapping[str, Any], *, run: str) -> BuildState:
        """Start a build, once: where no answer came, it is looked for by its tag.

        Args:
            request: The Build.
            run: A tag of it that no other build has.
        """
        try:
            started = read_operation(self.api.ask("start", "POST", f"/v1/{self.parent}/builds", fields=request))
        except TransportError:
            started = self.find(run)
            if started is None:
                raise
        if started is None:
            started = self.find(run)
        if started is None:
            raise TransportError("Cloud Build did not say which build it started")
        return started

    def find(self, run: str) -> BuildState | None:
        """The build with a tag; None where there is none."""
        query = urlencode({"filter": f'tags="{run}"', "pageSize": "1"})
        found = self.api.ask("watch", "GET", f"/v1/{self.parent}/builds?{query}").get("builds")
        return read_build(found[0]) if isinstance(found, list) and found and isinstance(found[0], dict) else None

    def get(self, identity: str) -> BuildState:
        """How a build stands."""
        return read_build(self.api.ask("watch", "GET", f"/v1/{self.parent}/builds/{identity}"))

    def cancel(self, identity: str) -> None:
        """Ask for the end of a build; one that has ended stays as it is."""
        self.api.ask("cancel", "POST", f"/v1/{self.parent}/builds/{identity}:cancel", fields={}, good=(200, 400, 404, 409), repeatable=True)
