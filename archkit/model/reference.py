"""ImageReference and Digest, in the grammar of github.com/distribution/reference, which every engine uses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from archkit.errors import ReferenceSyntaxError

if TYPE_CHECKING:
    from typing_extensions import Self

DOCKER_HUB = "docker.io"
_LEGACY_HUB = "index.docker.io"
_OFFICIAL = "library/"
_MAX_PATH = 255
_MAX_TAG = 128

_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{_MAX_TAG - 1}}}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_DIGEST = re.compile(r"(sha256|sha384|sha512):([a-f0-9]+)")
_HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}


class Digest(str):
    """A content digest such as ``sha256:…``; a ``str`` whose form has been checked.

    Raises:
        ReferenceSyntaxError: Another algorithm than sha256, sha384 or sha512, a wrong length, or capital letters.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if isinstance(text, cls):
            return text
        found = _DIGEST.fullmatch(text)
        if found is None or len(found.group(2)) != _HEX_LENGTH[found.group(1)]:
            raise ReferenceSyntaxError(text, "not a digest; sha256: and 64 digits of 0-9a-f are wanted")
        return super().__new__(cls, text)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of these bytes."""
        import hashlib  # loads OpenSSL: only when bytes are hashed

        return cls(f"{algorithm}:{hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()}")

    @property
    def algorithm(self) -> str:
        """The part before the colon, such as ``sha256``."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The part behind the colon."""
        return self.partition(":")[2]


def _names_a_host(first: str) -> bool:
    """Whether the first of several parts is a registry; the rest are on Docker Hub."""
    return first == "localhost" or "." in first or ":" in first or first.lower() != first


def _digest_or_none(value: str | None) -> Digest | None:
    return None if value is None else Digest(value)


@attrs.frozen(order=True)
class ImageReference:
    """An image's full name: registry, repository, and the tag, digest, both or neither.

    >>> ImageReference.parse("nginx")
    ImageReference('docker.io/library/nginx')
    >>> ImageReference.parse("127.0.0.1:5000/web:1.4").tag
    '1.4'

    Raises:
        ReferenceSyntaxError: A field is not in the grammar.
    """

    registry: str
    """Host with the port if one is written, such as ``docker.io`` or ``127.0.0.1:5000``."""
    repository: str
    """The path behind the host, such as ``library/nginx``."""
    tag: str | None = None
    """The tag as it stands; None when none is written (``latest`` is never made up)."""
    digest: Digest | None = attrs.field(default=None, converter=_digest_or_none)
    """The digest as it stands; on a pull it wins over the tag."""

    def __attrs_post_init__(self) -> None:
        if self.registry == _LEGACY_HUB:
            object.__setattr__(self, "registry", DOCKER_HUB)
        if self.registry == DOCKER_HUB and "/" not in self.repository:
            object.__setattr__(self, "repository", _OFFICIAL + self.repository)
        if not _DOMAIN.fullmatch(self.registry):
            raise ReferenceSyntaxError(str(self), f"not a registry host: {self.registry!r}")
        if not _PATH.fullmatch(self.repository):
            reason = "the repository must be lower case" if self.repository.lower() != self.repository else "not a repository name"
            raise ReferenceSyntaxError(str(self), f"{reason}: {self.repository!r}")
        if len(self.repository) > _MAX_PATH:
            raise ReferenceSyntaxError(str(self), f"the repository is longer than {_MAX_PATH} characters")
        if self.tag is not None and not _TAG.fullmatch(self.tag):
            raise ReferenceSyntaxError(str(self), f"not a tag of at most {_MAX_TAG} letters, digits, '_', '.' and '-': {self.tag!r}")

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """The reference that a person or a manifest wrote, with Docker Hub's short forms filled in.

        The first part is a registry only if it is ``localhost``, holds ``.`` or ``:``, or has a capital letter; so
        ``a:5000`` is a tag.

        Raises:
            ReferenceSyntaxError: Not a reference.
        """
        if _IDENTIFIER.fullmatch(text):
            raise ReferenceSyntaxError(text, "64 hexadecimal digits are an image id")
        name, at, digest = text.partition("@")
        first, slash, rest = name.partition("/")
        registry, path = (first, rest) if slash and _names_a_host(first) else (DOCKER_HUB, name)
        repository, colon, tag = path.partition(":")
        try:
            return cls(registry, repository, tag if colon else None, digest if at else None)
        except ReferenceSyntaxError as error:
            raise ReferenceSyntaxError(text, error.reason) from None

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The shortest text that parses to this reference, such as ``nginx:1.25``."""
        name = self.name
        if self.registry == DOCKER_HUB:
            short = self.repository.removeprefix(_OFFICIAL)
            if "/" in short:
                short = self.repository
            if "/" not in short or not _names_a_host(short.partition("/")[0]):
                name = short
        return name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag is not None else "") + (f"@{self.digest}" if self.digest is not None else "")

    def with_tag(self, tag: str) -> ImageReference:
        """The same repository under this tag, without digest."""
        return attrs.evolve(self, tag=tag, digest=None)

    def with_digest(self, digest: str) -> ImageReference:
        """The same repository and tag with this digest."""
        return attrs.evolve(self, digest=digest)

    @property
    def repository_only(self) -> ImageReference:
        """The same repository without tag and digest."""
        return attrs.evolve(self, tag=None, digest=None)

    def __str__(self) -> str:
        return self.name + self._suffix

    def __repr__(self) -> str:
        return f"ImageReference({str(self)!r})"
