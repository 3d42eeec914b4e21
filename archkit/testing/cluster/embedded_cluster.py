"""EmbeddedCluster."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.platform import Platform
from archkit.testing.cluster.access import Access, Denial
from archkit.testing.cluster.api import KubernetesApi
from archkit.testing.cluster.asked import asked
from archkit.testing.cluster.control import ControlPlane
from archkit.testing.cluster.images import KnownImagePlatforms
from archkit.testing.cluster.nodes import POOL_LABEL, node_object, node_taints
from archkit.testing.cluster.objects import Objects
from archkit.testing.cluster.resources import Resource, Resources
from archkit.testing.cluster.statuses import ApiError
from archkit.testing.cluster.store import Store
from archkit.testing.embedded_server import EmbeddedServer
from archkit.testing.messages import Request

if TYPE_CHECKING:
    from archkit.model.node import Taint
    from archkit.model.platform_set import PlatformSet
    from archkit.testing.embedded_registry import EmbeddedRegistry
    from archkit.testing.faults import FaultRule
    from archkit.testing.messages import Response
    from archkit.testing.tls import EmbeddedTls

_USER = "archkit-test"
_CONTEXT = "archkit-embedded"
_REFUSALS: Mapping[int, tuple[str, str]] = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden"),
    404: ("NotFound", "the server could not find the requested resource"),
    409: ("Conflict", "the server reported a conflict"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "Internal error occurred"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}
_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


class EmbeddedCluster(EmbeddedServer):
    """A Kubernetes API in this process, on a free port of 127.0.0.1; kubectl and any other client can use it.

    It keeps objects as an API server does: server-side apply with its managers and conflicts, dry runs, strict fields,
    pages, watches, refusals in the same words. Pods are bound by the scheduler's rules as far as nodes decide (selector,
    affinity, taints, cordons), and run at once; workloads get their pods and become available without any waiting. Not
    modelled: requests of CPU and memory, affinity between pods, volumes, networks, admission webhooks, quotas, and time
    (no CronJob starts, no deadline passes).

    A context manager. Leaving it without an exception fails with ``AssertionError`` when a rule of :meth:`on` waited
    for requests that did not come.

    >>> with EmbeddedCluster() as cluster:
    ...     cluster.add_node("linux/arm64", count=2)
    ('node-1', 'node-2')

    Args:
        version: Of Kubernetes, as it says itself.
        tls: Speak TLS with these certificates, which are removed when it stops; True: with some of its own; None or
            False: plain HTTP.
        registry: Where its nodes pull images of this registry: one that does not run on a node's CPU does not start.
        images: The platforms of other images; those of which nothing is known run anywhere. An image of several
            platforms is an index, from which nodes choose; one of a single platform is pulled anywhere and may not start.
        user: What refusals call whoever asks.
    """

    def __init__(
        self,
        *,
        version: str = "v1.36.3",
        tls: EmbeddedTls | bool | None = None,
        registry: EmbeddedRegistry | None = None,
        images: Mapping[str, PlatformSet | str | Iterable[Platform | str]] | None = None,
        user: str = _USER,
    ) -> None:
        super().__init__(tls)
        self.version = version
        self.images: KnownImagePlatforms = KnownImagePlatforms(registry, images or {})
        """What is known of images."""
        self._store = Store()
        self._resources = Resources()
        self._control = ControlPlane(self._store, self._resources, self.images)
        self._objects = Objects(self._store, self._resources, self._control)
        self._access = Access(user, bare=self.tls is None)
        self._api = KubernetesApi(self._objects, self._resources, self._access, version)
        self._kubeconfig: Path | None = None
        self._nodes = 0
        for name in _NAMESPACES:
            self._control.create("namespaces", {"metadata": {"name": name}}, managed=False)
        self._control.settle()

    # ---- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen, and write the kubeconfig."""
        super().start()
        if self._kubeconfig is None:
            self._kubeconfig = _folder(os.getpid()) / f"{self.host.rpartition(':')[2]}-{id(self):x}"
        self.renew_token()

    def stop(self) -> None:
        """End every watch, close every connection; objects and log stay readable. Its tokens are of no use any more."""
        self._store.close()
        super().stop()
        self._kubeconfig = None

    @property
    def kubeconfig(self) -> Path:
        """The file that clients are told of, or find in ``KUBECONFIG``; it names one context.

        Raises:
            RuntimeError: The cluster is not running.
        """
        if self._kubeconfig is None:
            raise RuntimeError("the cluster was not started, or has stopped; use it as a context manager")
        return self._kubeconfig

    @property
    def context(self) -> str:
        """The context in the kubeconfig."""
        return _CONTEXT

    def renew_token(self) -> None:
        """Write a new token into the kubeconfig; those before stay good."""
        cluster: dict[str, Any] = {"server": self.url}
        if self.tls is not None:
            cluster["certificate-authority"] = str(self.tls.ca_file)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _CONTEXT, "cluster": cluster}],
            "users": [{"name": self._access.user, "user": {"token": self._access.new_token().reveal()}}],
            "contexts": [{"name": _CONTEXT, "context": {"cluster": _CONTEXT, "user": self._access.user, "namespace": "default"}}],
            "current-context": _CONTEXT,
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def expire_tokens(self, *, renew: bool = True) -> None:
        """End every token: requests with one get 401. (Over plain HTTP kubectl sends none, and is let in.)

        Args:
            renew: Whether the kubeconfig gets a new one, which a client must read again.
        """
        self._access.expire()
        if renew:
            self.renew_token()

    # ---- nodes --------------------------------------------------------------------------------------------------

    def add_node(
        self,
        platform: Platform | str = "linux/amd64",
        *,
        count: int = 1,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        taints: Iterable[Taint | str] = (),
        arch_taint: bool = False,
        ready: bool = True,
        cordoned: bool = False,
        pool: str = "",
    ) -> tuple[str, ...]:
        """More nodes; pods that waited for one like them are bound. Their names.

        Args:
            platform: Operating system and CPU, as its kubelet reports them and its labels say.
            count: How many.
            name: Of a single one; of several what their names begin with.
            labels: More of them, or other ones: a label may lie.
            taints: As ``key=value:Effect`` or values.
            arch_taint: Whether they have the taint by which Google's clusters keep pods off arm64 nodes.
            ready: Otherwise they have the taints of a node that is not.
            cordoned: Whether nothing more may be put there.
            pool: The name of their node pool, as a label.
        """
        of = Platform.parse(platform) if isinstance(platform, str) else platform
        keep_off = node_taints(of, taints, arch_taint=arch_taint, ready=ready, cordoned=cordoned)
        made: list[str] = []
        with self._store.lock:
            for number in range(count):
                self._nodes += 1
                called = (name if count == 1 else f"{name}-{number + 1}") if name else f"node-{self._nodes}"
                more = {**({POOL_LABEL: pool} if pool else {}), **(labels or {})}
                node = node_object(called, of, more, keep_off, ready=ready, cordoned=cordoned, version=self.version)
                self._control.create("nodes", node, managed=False)
                made.append(called)
            self._control.settle()
        return tuple(made)

    def remove_node(self, name: str) -> None:
        """A node less; the pods on it go, and workloads make others.

        Raises:
            LookupError: There is none of this name.
        """
        with self._store.lock:
            if self._store.drop("nodes", "", name) is None:
                raise LookupError(f"there is no node {name!r}")
            for pod in self._store.objects("pods"):
                if pod["spec"].get("nodeName") == name:
                    self._control.delete("pods", pod)
            self._control.settle()

    # ---- objects ------------------------------------------------------------------------------------------------

    def load(
        self, manifest: str | os.PathLike[str] | bytes | Mapping[str, Any], *, namespace: str = "default", manager: str = "somebody-else"
    ) -> list[dict[str, Any]]:
        """Objects as somebody else writes them, made or replaced, past the log; as they are kept then.

        Args:
            manifest: A path, the text of a manifest (a ``str`` with a line break, or bytes), or an object.
            namespace: Of objects that name none.
            manager: Who manages their fields.

        Raises:
            ValueError: The cluster refuses one; says why.
        """
        return [self._loaded(document, namespace, manager) for document in _documents(manifest)]

    def _loaded(self, document: Mapping[str, Any], namespace: str, manager: str) -> dict[str, Any]:
        resource = self._resources.of(str(document.get("apiVersion")), str(document.get("kind")))
        if resource is None:
            raise ValueError(f"the cluster has no kind {document.get('kind')} of {document.get('apiVersion')}")
        metadata = document.get("metadata") or {}
        place = metadata.get("namespace") or namespace if resource.namespaced else ""
        path = f"{resource.root}/namespaces/{place}/{resource.plural}" if resource.namespaced else f"{resource.root}/{resource.plural}"
        old = self._store.get(resource.key, place, str(metadata.get("name")))
        if old is not None:
            path = f"{path}/{metadata['name']}"
            document = {**document, "metadata": {**metadata, "resourceVersion": old["metadata"]["resourceVersion"]}}
        headers = [("Authorization", f"Bearer {self._access.new_token().reveal()}")]
        target = f"{path}?fieldManager={manager}&fieldValidation=Strict"
        response = self._api.handle(Request("POST" if old is None else "PUT", target, headers, json.dumps(document).encode()))
        answer: dict[str, Any] = json.loads(response.body)
        if response.status >= 400:
            raise ValueError(answer["message"])
        return self._store.get(resource.key, place, answer["metadata"]["name"]) or answer

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """An object as it is kept.

        Args:
            kind: ``Deployment``, ``deployments``, ``deploy`` or ``deployments.apps``.
            name: Its name.
            namespace: Its namespace; of no account where its kind has none.

        Raises:
            LookupError: There is none.
        """
        resource = self._kind(kind)
        found = self._store.get(resource.key, namespace if resource.namespaced else "", name)
        if found is None:
            raise LookupError(f"there is no {resource.kind} {name!r}" + (f" in namespace {namespace!r}" if resource.namespaced else ""))
        return found

    def objects(self, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """The objects of a kind, by namespace and name.

        Args:
            kind: As for :meth:`get`.
            namespace: None: of all.

        Raises:
            LookupError: There is no such kind.
        """
        return self._store.objects(self._kind(kind).key, namespace or "")

    def _kind(self, name: str) -> Resource:
        found = self._resources.named(name)
        if found is None:
            raise LookupError(f"the cluster has no kind {name!r}")
        return found

    # ---- what goes wrong ----------------------------------------------------------------------------------------

    def on(
        self,
        method: str,
        *,
        verb: str | None = None,
        resource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
        query: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> FaultRule:
        """A rule for what goes wrong; say what with a method of the rule. The first rule that meets a request counts.

        An answer of 400 and above without a body gets the ``Status`` that an API server would send.

        >>> with EmbeddedCluster() as cluster:
        ...     _ = cluster.on("PATCH", resource="deployments").answer(429, retry_after=1).times(2).optional()

        Args:
            method: HTTP method; ``*`` is any.
            verb: ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete`` or ``deletecollection``; None is any.
            resource: Plural, such as ``pods``, or with its part, ``pods/status``; of other paths the first step, such as
                ``version`` or ``openapi``; None is any.
            namespace: None is any.
            name: Of the object; None is any.
            query: Parameters that the request must have, such as ``dryRun``; ``*`` is any value.
            user: Who is signed in; empty is nobody; None is any.
        """
        where = {"verb": verb, "resource": resource, "namespace": namespace, "name": name, "user": user}
        return self._rule(method, where, query)

    def deny(self, verb: str, resource: str, *, namespace: str | None = None, name: str | None = None) -> None:
        """Refuse something with 403, as if no role allowed it.

        Args:
            verb: As in :meth:`on`; ``*`` is each.
            resource: ``pods``, or with its part, ``pods/status``; ``*`` is each.
            namespace: None: everywhere.
            name: None: whatever the object's name.
        """
        self._access.denials = (*self._access.denials, Denial(verb, resource, namespace, name))

    def forget_history(self) -> None:
        """Forget what was before now, as API servers do after some minutes: lists and watches that began earlier get 410."""
        self._store.forget()

    # ---- requests -----------------------------------------------------------------------------------------------

    def _about(self, request: Request) -> Mapping[str, str]:
        wanted = asked(request)
        kind = wanted.resource_text or request.path.strip("/").partition("/")[0]
        user = self._access.who(request)
        return {"kind": kind, "resource": kind, "verb": wanted.verb, "namespace": wanted.namespace, "name": wanted.name, "user": user}

    def _refused(self, response: Response) -> Response:
        if response.status < 400 or response.body:
            return response
        delay = response.headers.get("Retry-After", "")
        error = ApiError(
            response.status,
            *_REFUSALS.get(response.status, ("", "the server refused")),
            retry_after=int(delay) if delay.isdecimal() else None,
        )
        return attrs.evolve(
            response, headers={"Content-Type": "application/json", **response.headers}, body=json.dumps(error.body()).encode()
        )

    def _served(self, request: Request, about: Mapping[str, str]) -> Response:  # noqa: ARG002 - the API reads the path itself
        return self._api.handle(request)


@lru_cache(maxsize=1)
def _folder(process: int) -> Path:
    """Where the kubeconfigs of a process are, until it ends: on a busy disk, removing one takes longer than all else."""
    folder = Path(tempfile.mkdtemp(prefix=f"archkit-clusters-{process}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _documents(manifest: str | os.PathLike[str] | bytes | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if isinstance(manifest, Mapping):
        return [manifest]
    if isinstance(manifest, bytes):
        text = manifest.decode()
    elif isinstance(manifest, str) and "\n" in manifest:
        text = manifest
    else:
        text = Path(manifest).read_text(encoding="utf-8")
    from archkit.adapters.yaml.api import load_api_documents

    documents: list[Mapping[str, Any]] = []
    for each in load_api_documents(text):
        documents += each["items"] if each.get("kind") == "List" else [each]
    return documents
