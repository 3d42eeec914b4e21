"""Applier: the front of applying."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from archkit.adapters.yaml.data import load_documents
from archkit.applying.api import Api, Resource
from archkit.applying.checking import Checked, Patches
from archkit.applying.progress import Progress
from archkit.applying.refusing import count_of, refused_objects
from archkit.applying.results import Applied, Rollout, counted
from archkit.applying.waiting import Waiting
from archkit.applying.work import CHANGING, Work
from archkit.errors import ApplyError
from archkit.events import Listener, ignore
from archkit.planning.documents import DefinedKind, Document, check_unique, defined_kinds, documents_of, in_order, waits_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archkit.ports.cluster import ClusterApi

_AT_ONCE = 8
"""Documents that the server checks at the same time."""


class Applier:
    """Applies manifests by server-side apply, and waits for what they start.

    Args:
        connection: The cluster.
        field_manager: Who manages the fields that are applied, as the server keeps it with each.
        namespace: Of documents that name none; None: the connection's own, where it has one, else ``default``.
        timeout: Seconds that a CustomResourceDefinition may take to be served, and an object that is replaced to go.
        cancel: Set it to stop; what was applied before stays.
        on_event: Told of every step: ``check``, ``apply``, ``wait``.
    """

    def __init__(
        self,
        connection: ClusterApi,
        *,
        field_manager: str = "archkit",
        namespace: str | None = None,
        timeout: float = 120.0,
        cancel: threading.Event | None = None,
        on_event: Listener | None = None,
    ) -> None:
        self.field_manager = field_manager
        self.namespace: str = namespace or getattr(connection, "namespace", None) or "default"
        self.timeout = timeout
        self._api = Api(connection)
        self._progress = Progress(connection.name, cancel or threading.Event(), on_event or ignore)

    def apply(
        self,
        text: str | Mapping[str, str],
        *,
        dry_run: bool = False,
        force: bool = False,
        replace_immutable: bool = False,
        name: str = "<text>",
    ) -> Applied:
        """Apply every document of a manifest.

        All of them are read, and the server is asked what it would do with each (a dry run), before anything is
        applied: where one is bad, nothing is. Only what needs a namespace or a kind of the same manifest cannot be
        checked at first; it is checked as soon as that is there, before anything else is applied.

        Args:
            text: YAML or JSON, of any number of documents; or several such texts by their names, such as files.
            dry_run: Change nothing; the result is what would be done.
            force: Take over fields that somebody else manages.
            replace_immutable: Whether a Pod or a Job that is there and cannot become what its document says is deleted
                and made anew, unless a controller made it.
            name: What messages call a single text.

        Raises:
            ManifestSyntaxError, ManifestTooLarge: The text cannot be read; nothing was applied.
            FieldConflictError: Somebody else manages fields that would change; nothing was applied.
            ImmutableFieldError: Fields would change that cannot; nothing was applied.
            ApplyError: The server refuses objects, or applying stopped in the middle; what was applied is named.
            ClusterSignInError: The server does not take the credentials; nothing was applied.
            ClusterError: The cluster could not be asked; nothing was applied.
            CancelledError: ``cancel`` was set.
        """
        documents = read_documents({name: text} if isinstance(text, str) else text)
        patches = Patches(self._api, self.field_manager, force=force, replace_immutable=replace_immutable)
        with self._progress.step("check", f"{counted(len(documents))}, cluster {self._api.name}"):
            placed, later = self._placed(documents)
            check_unique(document for document, _ in placed)
            checked = self._check(patches, placed, later)
            unchecked = self._settle(checked, documents, later)
        if dry_run:
            return Applied(tuple(item.outcome() for item in checked), self._api.name, dry_run=True, unchecked=tuple(unchecked.items()))
        with self._progress.step("apply", f"{counted(len(documents))}, cluster {self._api.name}"):
            done = Work(self._progress, self.timeout, patches, later, documents, checked, unchecked).run()
        return Applied(tuple(done), self._api.name, unchecked=tuple(unchecked.items()))

    def wait(self, applied: Applied, timeout: float) -> Rollout:
        """Wait until every Deployment, StatefulSet, DaemonSet, Job and Pod that was applied is where it should be.

        A Deployment, StatefulSet or DaemonSet is when its pods are of the new version and ready, a Pod when it is
        ready or has succeeded, a Job when it has completed. What no waiting mends ends it at once: a rollout beyond
        its own deadline, a failed Job, an image that has nothing for its node's platform.

        Args:
            applied: What :meth:`apply` gave.
            timeout: Seconds for all of them together.

        Raises:
            RolloutTimeoutError: Not all were ready in time; each that is not is named, with the reason.
            RolloutError: One cannot get ready.
            ApplyError: It was a dry run.
            ClusterError: They may not be read.
            CancelledError: ``cancel`` was set.
        """
        if applied.dry_run:
            raise ApplyError(self._api.name, "it was a dry run: there is nothing to wait for", "apply it without dry_run first")
        waiting = Waiting(self._api, self._progress)
        with self._progress.step("wait", f"at most {timeout:g} s for what was applied, cluster {self._api.name}"):
            return waiting.until_ready(applied.objects, timeout)

    # ---- before anything is applied ------------------------------------------------------------------------------

    def _placed(self, documents: Sequence[Document]) -> tuple[list[tuple[Document, Resource]], dict[str, str]]:
        """The documents in their order, each with its place in the API, and which have to wait for what."""
        defined = defined_kinds(documents)
        placed: list[tuple[Document, Resource]] = []
        later: dict[str, str] = {}
        unknown: list[tuple[str, str]] = []
        for document in in_order(documents):
            resource, coming = self._api.resource(document.api_version, document.kind), None
            if resource is None:
                coming = defined.get((document.api_version, document.kind))
                resource = None if coming is None else _coming(document, coming)
            if resource is None:
                unknown.append((f"{document.label} ({document.where})", self._not_served(document)))
                continue
            here = document if document.namespace or not resource.namespaced else document.in_namespace(self.namespace)
            placed.append((here, resource))
            if coming is not None:
                later[here.label] = f"its kind is in the same stream: {coming.definition}"
        if unknown:
            reason = f"{count_of(len(unknown), len(documents))} of a kind that the server does not know; nothing was applied"
            remedy = "correct apiVersion and kind, or apply the CustomResourceDefinition first"
            raise ApplyError(self._api.name, reason, remedy, tuple(unknown), (), tuple(one.label for one in documents))
        return placed, later

    def _not_served(self, document: Document) -> str:
        served = [one for one in self._api.versions(document.group) if one != document.api_version]
        with_kind = [one for one in served if self._api.resource(one, document.kind) is not None]
        told = f"; it is in {', '.join(with_kind)}" if with_kind else ""
        return f"there is no {document.kind} in {document.api_version}{told}"

    def _check(self, patches: Patches, placed: Sequence[tuple[Document, Resource]], later: dict[str, str]) -> list[Checked]:
        def check(one: tuple[Document, Resource]) -> Checked:
            self._progress.check_cancelled("nothing was applied")
            document, resource = one
            return Checked(document, resource) if document.label in later else patches.check(document, resource)

        with ThreadPoolExecutor(_AT_ONCE, "archkit-check") as pool:
            return list(pool.map(check, placed))

    def _settle(self, checked: Sequence[Checked], documents: Sequence[Document], later: dict[str, str]) -> dict[str, str]:
        """What could not be checked, with the reason; whatever else was refused is an error."""
        unchecked: dict[str, str] = {}
        bad: list[Checked] = []
        changing = {item.label for item in checked if item.document.definition and item.outcome().outcome != "unchanged"}
        defined = defined_kinds(documents)
        for item in checked:
            if item.label in later:
                unchecked[item.label] = later[item.label]
            if item.refusal is None:
                continue
            reason = waits_for(item.document, item.refusal.status, item.refusal.raw, documents)
            kind = defined.get((item.document.api_version, item.document.kind))
            if not reason and kind is not None and kind.definition in changing and item.refusal.kind in {"invalid", "other"}:
                reason = f"{CHANGING}: {kind.definition}"
            if reason:
                unchecked[item.label] = reason
            else:
                bad.append(item)
        if bad:
            raise refused_objects(self._api.name, bad, [item.label for item in checked], ())
        for label, reason in unchecked.items():
            self._progress.tell("check", f"{label} cannot be checked yet: {reason}")
        return unchecked


def read_documents(texts: Mapping[str, str]) -> list[Document]:
    """The objects of manifests, in the order written.

    Args:
        texts: By what messages call them.

    Raises:
        ManifestSyntaxError, ManifestTooLarge: One cannot be applied as it is written.
    """
    return [
        document
        for name, text in texts.items()
        for document in documents_of(((one.line, one.data) for one in load_documents(text, name)), name)
    ]


def _coming(document: Document, defined: DefinedKind) -> Resource:
    return Resource(document.api_version, document.kind, defined.plural, defined.namespaced)
