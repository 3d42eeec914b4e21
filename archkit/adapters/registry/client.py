"""RegistryClient."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from archkit.adapters.content import as_reference, find_platforms, read_manifest
from archkit.adapters.http import UrllibHttpClient
from archkit.adapters.registry.answers import described, next_page, tag_page, unknown_digests
from archkit.adapters.registry.blobs import RegistryBlobs
from archkit.adapters.registry.credentials import DockerCredentials
from archkit.adapters.registry.limits import Limits
from archkit.adapters.registry.recent import Recent
from archkit.adapters.registry.requests import RegistryRequests
from archkit.adapters.registry.signin import SignIn
from archkit.adapters.tls import Tls
from archkit.errors import RegistryError
from archkit.model.oci import READABLE_TYPES, Descriptor, Index
from archkit.model.reference import Digest
from archkit.ports.http import HttpRequest, HttpResponse, Retries

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from typing_extensions import Self

    from archkit.adapters.proxies import Proxies
    from archkit.model.oci import RawManifest
    from archkit.model.platform_set import PlatformSet
    from archkit.model.reference import ImageReference
    from archkit.ports.credentials import Credentials
    from archkit.ports.http import HttpClient
    from archkit.ports.registry import ImageStore, KnowsSizes, ListsReferrers, Retrying, SignsIn

_ACCEPT = {"Accept": ", ".join(READABLE_TYPES)}  # a registry answers 404 for an index when its type is not listed
_TAGS_PER_PAGE = 1000  # ECR refuses more
_STORED = frozenset({200, 201, 202})
_NOT_DELETED = frozenset({400, 404, 405})
_DEFAULT_RETRIES = Retries()
_DEFAULT_LIMITS = Limits()
_DEFAULT_CREDENTIALS = DockerCredentials()


class RegistryClient:
    """Every registry that speaks the OCI distribution API; thread-safe, connections kept alive.

    A registry on this machine is spoken to in plain HTTP, any other in HTTPS unless it is named. A reference is an
    :class:`~archkit.ImageReference` or the text of a full one; its digest wins over its tag.

    Args:
        credentials: Who knows how to sign in, where a registry asks for it; None: nobody does.
        plain_http: Hosts (with port) that speak plain HTTP though they are not on this machine.
        https: Hosts (with port) that speak TLS though they are on this machine.
        ca_file: Certificate authorities to trust beside the system's: a PEM file, or a folder of them.
        client_cert: A PEM file of a certificate and its key to show to registries that ask for one, or the two files.
        proxies: Where requests go through; None: what ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` say now.
        timeout: Seconds to wait for a connection, and for each piece of an answer.
        retries: When a request is sent again.
        limits: How much of an answer is read.
        http: What sends the requests; TLS, proxies, timeouts and retries are its own business then.

    Raises:
        RegistryError: From every method: the registry cannot be reached, refuses, or answers with something wrong.
        ReferenceSyntaxError: From every method: a text is no reference or no digest.
    """

    def __init__(
        self,
        *,
        credentials: Credentials | None = _DEFAULT_CREDENTIALS,
        plain_http: Collection[str] = (),
        https: Collection[str] = (),
        ca_file: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
        proxies: Proxies | None = None,
        timeout: float = 30.0,
        retries: Retries = _DEFAULT_RETRIES,
        limits: Limits = _DEFAULT_LIMITS,
        http: HttpClient | None = None,
    ) -> None:
        self._limits = limits
        self.retries: Retries = retries
        """When a request is sent again."""
        client: HttpClient = http or UrllibHttpClient(
            timeout=timeout,
            retries=retries,
            longest=limits.longest_answer,
            slowest=limits.slowest_answer,
            tls=Tls(ca_file, client_cert),
            proxies=proxies,
        )
        self._recent = Recent()
        self._requests = RegistryRequests(
            client,
            SignIn(client, credentials, token_limit=limits.token, error_limit=limits.error_body),
            limits,
            frozenset([plain_http] if isinstance(plain_http, str) else plain_http),
            frozenset([https] if isinstance(https, str) else https),
        )
        self._blobs = RegistryBlobs(self._requests, limits, retries, self._recent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._requests.close()

    def announce(self, target: ImageReference | str, sources: Iterable[ImageReference | str] = ()) -> None:
        """Say what will be written and read, so that one token serves all of it. No request.

        Args:
            target: A reference in the repository that is written to.
            sources: References that are read; those in other registries do not count.
        """
        ref = as_reference(target)
        self._requests.announce(ref, [source for source in map(as_reference, sources) if source.registry == ref.registry])

    # ---- manifests ----------------------------------------------------------------------------------------------

    def manifest(self, reference: ImageReference | str) -> RawManifest:
        """The manifest or index under a tag or digest: exact bytes, digest verified. One request."""
        ref = as_reference(reference)
        response = self._read("GET", ref, self._limits.manifest)
        if response.status != 200:
            raise self._requests.refused(str(ref), ref, response)
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity" and not response.body.lstrip().startswith(b"{"):
            raise RegistryError(str(ref), f"the answer is compressed ({encoding}), which nobody asked for", response.status)
        return read_manifest(response.body, response.headers.get("content-type", ""), digest=ref.digest, name=str(ref))

    def head(self, reference: ImageReference | str) -> Descriptor | None:
        """Type, digest and size of what stands under a tag or digest; None when nothing does.

        One request; two where the registry leaves something out.
        """
        ref = as_reference(reference)
        response = self._read("HEAD", ref, 0)
        if response.status == 404:
            return None
        if response.status not in {200, 405}:
            raise self._requests.refused(str(ref), ref, response)
        found = described(response) if response.status == 200 else None
        if found is None or (ref.digest is not None and found.digest != ref.digest):  # the whole manifest settles it
            try:
                return self.manifest(ref).descriptor
            except RegistryError as error:
                if error.status == 404:
                    return None
                raise
        return found

    def put_manifest(self, reference: ImageReference | str, manifest: RawManifest) -> Descriptor:
        """Store these exact bytes under the reference's tag, or by digest where it has none. One request."""
        return self._put_manifest(as_reference(reference), manifest)[0]

    def put_referrer(self, reference: ImageReference | str, manifest: RawManifest) -> bool:
        """Store a manifest that names a subject; whether the registry itself lists it among the subject's referrers. One request."""
        return "oci-subject" in self._put_manifest(as_reference(reference), manifest)[1].headers

    def lists_referrers(self, reference: ImageReference | str) -> bool:
        """Whether the registry has the referrers API of the OCI distribution specification 1.1. One request."""
        ref = as_reference(reference)
        return self._requests.send("GET", ref, f"referrers/{Digest.of(b'')}").status == 200

    def _put_manifest(self, ref: ImageReference, manifest: RawManifest) -> tuple[Descriptor, HttpResponse]:
        made = read_manifest(manifest.content, manifest.media_type, digest=ref.digest, name=str(ref)).descriptor
        if made.size > self._limits.manifest:
            raise RegistryError(str(ref), f"the manifest has {made.size} bytes, more than the limit of {self._limits.manifest}")
        path, headers = f"manifests/{ref.tag or ref.digest or made.digest}", {"Content-Type": made.media_type}
        response = self._patiently(
            lambda: self._requests.send("PUT", ref, path, headers=headers, body=manifest.content),
            lambda answer: self._lags(ref, manifest, unknown_digests(answer)),
        )
        if response.status not in _STORED:
            raise self._requests.refused(str(ref), ref, response)
        stored = response.headers.get("docker-content-digest", made.digest)
        if stored != made.digest and (ref.digest is None or stored != ref.digest):
            raise RegistryError(str(ref), f"the registry says that it stored {stored}, but {made.digest} was sent", response.status)
        self._recent.add(ref.name, ref.tag, made.digest, ref.digest)
        return made, response

    def _read(self, method: str, ref: ImageReference, limit: int) -> HttpResponse:
        """A manifest; one that was stored a moment ago is asked for again, as some registries show it late."""
        identity = _identity(ref)
        return self._patiently(
            lambda: self._requests.send(method, ref, f"manifests/{identity}", limit=limit, headers=_ACCEPT),
            lambda answer: answer.status == 404 and self._recent.all_of(ref.name, [identity]),
        )

    def _lags(self, ref: ImageReference, manifest: RawManifest, unknown: frozenset[str] | None) -> bool:
        """Whether a registry misses only what was stored a moment ago: Nexus shows it late."""
        if unknown is None:
            return False
        document = manifest.document()
        parts = document.manifests if isinstance(document, Index) else (document.config, *document.layers)
        return self._recent.all_of(ref.name, unknown or {part.digest for part in parts})

    def _patiently(self, ask: Callable[[], HttpResponse], again: Callable[[HttpResponse], bool]) -> HttpResponse:
        """The answer, asked for again with growing waits while ``again`` says so."""
        sent = 1
        while True:
            response = ask()
            wait = self.retries.wait(sent, random.random()) if again(response) else None  # noqa: S311 - spreads clients in time
            if wait is None:
                return response
            time.sleep(wait)
            sent += 1

    # ---- blobs --------------------------------------------------------------------------------------------------

    def blob(self, reference: ImageReference | str, digest: Digest | str, *, limit: int | None = None) -> bytes:
        """A whole blob, digest verified, of at most ``limit`` bytes (None: ``limits.config``). One request."""
        return self._blobs.read(as_reference(reference), Digest(digest), limit)

    def stream_blob(self, reference: ImageReference | str, digest: Digest | str) -> Iterator[bytes]:
        """A blob in pieces, in flat memory; the last piece comes only when the digest is right. One request."""
        return self._blobs.stream(as_reference(reference), Digest(digest))

    def has_blob(self, reference: ImageReference | str, digest: Digest | str) -> bool:
        """Whether the repository holds this blob. One request."""
        return self._blobs.find(as_reference(reference), Digest(digest)) is not None

    def blob_size(self, reference: ImageReference | str, digest: Digest | str) -> int | None:
        """Bytes of a blob, which is not read; None when it is not there. One request.

        Raises:
            RegistryError: Also where the registry does not say the size.
        """
        ref, digest = as_reference(reference), Digest(digest)
        head = self._blobs.find(ref, digest)
        if head is None:
            return None
        length = head.headers.get("content-length", "")
        if not length.isdigit():
            raise RegistryError(f"{ref.name}@{digest}", "the registry does not say how long the blob is", head.status)
        return int(length)

    def put_blob(self, reference: ImageReference | str, content: bytes | Iterator[bytes], *, digest: Digest | str, size: int) -> None:
        """Store a blob of ``size`` bytes; one request when the repository has it already, else three.

        An upload that breaks off is begun again where ``content`` is bytes; an iterator is sent once.
        """
        self._blobs.store(as_reference(reference), content, Digest(digest), size)

    def mount_blob(self, reference: ImageReference | str, digest: Digest | str, source: ImageReference | str) -> bool:
        """Make a blob of another repository of the same registry appear here without moving it; False when refused.

        One request (two when the registry opens an upload instead, which is cancelled); none across registries.
        """
        return self._blobs.mount(as_reference(reference), Digest(digest), as_reference(source))

    # ---- tags ---------------------------------------------------------------------------------------------------

    def tags(self, repository: ImageReference | str) -> Sequence[str]:
        """The repository's tags, sorted; none when there is no such repository. One request per 1,000 tags."""
        ref = as_reference(repository)
        found: set[str] = set()
        url: str | None = self._requests.url(ref, f"tags/list?n={_TAGS_PER_PAGE}")
        origin = urlsplit(url)[:2] if url else None
        for _ in range(self._limits.tag_pages):
            if url is None:
                return sorted(found)
            if urlsplit(url)[:2] != origin:
                raise RegistryError(ref.name, "the next page of tags is said to be on another host")
            response = self._requests.exchange(
                HttpRequest("GET", url), ref, self._requests.asked("GET", ref, ref.name), self._limits.manifest
            )
            if response.status == 404:
                return sorted(found)
            if response.status != 200:
                raise self._requests.refused(ref.name, ref, response)
            found.update(tag_page(response, ref.name))
            url = next_page(response)
        raise RegistryError(ref.name, f"the tag list has more than {self._limits.tag_pages} pages", remedy="raise Limits.tag_pages")

    def delete_tag(self, reference: ImageReference | str) -> bool:
        """Remove the tag and nothing else; False when it is not there or the registry cannot delete by tag.

        Never deletes by digest: that would take the manifest away from every index and tag that names it.
        """
        ref = as_reference(reference)
        if ref.tag is None:
            raise RegistryError(str(ref), "names no tag, so there is nothing to remove", remedy="write NAME:TAG")
        self._recent.forget(ref.name, ref.tag)
        response = self._requests.send("DELETE", ref, f"manifests/{ref.tag}")
        if response.status in _NOT_DELETED:
            return False
        if response.status not in {200, 202, 204}:
            raise self._requests.refused(str(ref), ref, response)
        return True

    def platforms(self, reference: ImageReference | str) -> PlatformSet | None:
        """The image's platforms, from its index or its configuration; None when it is not there.

        One request for an index, two for a plain image.
        """
        return find_platforms(self, as_reference(reference))


def _identity(ref: ImageReference) -> str:
    if ref.digest is None and ref.tag is None:
        raise RegistryError(str(ref), "names neither a tag nor a digest", remedy="write NAME:TAG or NAME@sha256:DIGEST")
    return ref.digest or ref.tag or ""


if TYPE_CHECKING:
    _conforms: type[ImageStore] = RegistryClient
    _signs_in: type[SignsIn] = RegistryClient
    _retrying: type[Retrying] = RegistryClient
    _lists_referrers: type[ListsReferrers] = RegistryClient
    _knows_sizes: type[KnowsSizes] = RegistryClient
