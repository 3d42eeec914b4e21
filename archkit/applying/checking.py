"""Asks the server what it would do with each document, without doing it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from archkit.applying.api import Api, Resource
from archkit.applying.results import AppliedObject, Outcome
from archkit.planning.documents import Document
from archkit.planning.object_diff import difference, told
from archkit.planning.refusals import Refusal, read_refusal

REPLACED = frozenset({("", "Pod"), ("batch", "Job")})
"""Group and kind of what may be deleted and made anew: nothing but itself is lost with it."""


class RefusedError(Exception):
    """The server did not take an object."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@attrs.frozen
class Checked:
    """A document and what the server says of it."""

    document: Document
    resource: Resource
    live: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """The object as it is; None: it is not there."""
    after: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """The object as it would be; None: the server cannot say."""
    refusal: Refusal | None = None
    replace: bool = False
    """Whether the object has to be deleted and made anew."""

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.document.label

    @property
    def place(self) -> str:
        """The same with where it stands."""
        return f"{self.document.label} ({self.document.where})"

    @property
    def path(self) -> str:
        """Where the API has it."""
        return self.resource.path(self.document.namespace, self.document.name)

    def outcome(self) -> AppliedObject:
        """What becomes of it."""
        document, after = self.document, self.after if self.after is not None else self.document.fields
        outcome: Outcome = "created" if self.live is None else "configured"
        if self.replace:
            outcome = "replaced"
        elif self.live is not None and told(self.live) == told(after):
            outcome = "unchanged"
        shown = difference(self.live, document.fields if self.live is None else after, secret=document.secret)
        return AppliedObject(
            document.api_version, document.kind, document.namespace, document.name, outcome, shown, document.where, self.path
        )


@attrs.frozen
class Patches:
    """Server-side apply, with what the caller chose."""

    api: Api
    manager: str
    force: bool = False
    replace_immutable: bool = False

    def check(self, document: Document, resource: Resource) -> Checked:
        """What the server would do with a document.

        Raises:
            ClusterError: No answer, or the object may not be read.
        """
        found = Checked(document, resource)
        answer = self.api.connection.request("GET", found.path)
        if answer.status not in {200, 404}:
            return attrs.evolve(found, refusal=read_refusal(answer.status, answer.body, secret=document.secret))
        if answer.status == 200:
            found = attrs.evolve(found, live=self.api.decoded(found.path, answer))
        try:
            return attrs.evolve(found, after=self.send(found, dry_run=True))
        except RefusedError as error:
            refused = attrs.evolve(found, refusal=error.refusal)
        if not (refused.refusal and refused.refusal.kind == "immutable" and self.replace_immutable and self._replaceable(found)):
            return refused
        digest = hashlib.sha256(json.dumps(document.fields, sort_keys=True, default=str).encode()).hexdigest()
        try:  # whether the new one would be taken can only be seen under another name
            after = self.send(Checked(document.renamed(f"archkit-check-{digest[:10]}"), resource), dry_run=True)
        except RefusedError as error:
            return attrs.evolve(found, refusal=error.refusal)
        metadata = {**after.get("metadata", {}), "name": document.name}
        return attrs.evolve(found, after={**after, "metadata": metadata}, replace=True)

    def _replaceable(self, found: Checked) -> bool:
        """Whether an object is of a kind that may be replaced, and belongs to nobody else."""
        if found.live is None or (found.document.group, found.document.kind) not in REPLACED:
            return False
        owners = found.live.get("metadata", {}).get("ownerReferences") or ()
        return not any(owner.get("controller") for owner in owners)

    def send(self, found: Checked, *, dry_run: bool = False) -> dict[str, Any]:
        """Apply a document; the object as it is then.

        Raises:
            RefusedError: The server does not take it.
            ClusterError: No answer.
        """
        query = {"fieldManager": self.manager, "fieldValidation": "Strict", "force": str(self.force).lower()}
        answer = self.api.connection.request(
            "PATCH",
            found.path,
            query={**query, "dryRun": "All"} if dry_run else query,
            body=json.dumps(found.document.fields, allow_nan=False).encode(),
            content_type="application/apply-patch+yaml",  # JSON is YAML; servers before 1.32 know no other name
            repeatable=True,  # applying the same twice changes nothing
        )
        if answer.status not in {200, 201}:
            raise RefusedError(read_refusal(answer.status, answer.body, secret=found.document.secret))
        return self.api.decoded(found.path, answer)

    def delete(self, found: Checked) -> None:
        """Begin to delete an object that is there, with the pods that it made.

        Raises:
            RefusedError: The server refuses.
            ClusterError: No answer.
        """
        uid = (found.live or {}).get("metadata", {}).get("uid")
        options = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        body = json.dumps({"kind": "DeleteOptions", "apiVersion": "v1", **options}).encode()
        answer = self.api.connection.request("DELETE", found.path, body=body)
        if answer.status not in {200, 202, 404}:
            raise RefusedError(read_refusal(answer.status, answer.body))

    def gone(self, found: Checked) -> bool:
        """Whether the object that was there is not any more.

        Raises:
            ClusterError: No answer.
        """
        now = self.api.read(found.path)
        return now is None or now.get("metadata", {}).get("uid") != (found.live or {}).get("metadata", {}).get("uid")
