"""Whom to trust over TLS, and what to show oneself with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from archkit.ports.http import TransportError

if TYPE_CHECKING:
    import os
    import ssl

_AUTHORITIES = (".crt", ".pem")


def _path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


def _pair(value: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None) -> tuple[Path, Path] | None:
    if value is None:
        return None
    certificate, key = value if isinstance(value, tuple) else (value, value)
    return Path(certificate), Path(key)


@attrs.frozen
class Tls:
    """What secure connections are made with; the system's certificate authorities are always trusted."""

    ca_file: Path | None = attrs.field(default=None, converter=_path)
    """Further authorities: a PEM file, or a folder of them (``*.crt``, ``*.pem``, or with OpenSSL's hashed names)."""
    client_cert: tuple[Path, Path] | None = attrs.field(default=None, converter=_pair)
    """PEM files of a client certificate and its key; given as one path where both stand in one file."""

    def context(self) -> ssl.SSLContext:
        """A context for clients.

        Raises:
            TransportError: A file cannot be read, or holds nothing of use.
        """
        import ssl  # loads OpenSSL: only when something secure is asked for

        context = ssl.create_default_context()
        if self.ca_file is not None:
            self._trust(context, self.ca_file)
        if self.client_cert is not None:
            certificate, key = self.client_cert
            try:
                context.load_cert_chain(certificate, key, password=_no_password)  # OpenSSL would ask on the terminal
            except (OSError, ValueError) as error:
                raise _unusable(f"the client certificate {certificate} with the key {key}", error) from error
        return context

    def _trust(self, context: ssl.SSLContext, path: Path) -> None:
        folder = path.is_dir()
        try:
            files = sorted(file for file in path.iterdir() if file.suffix in _AUTHORITIES) if folder else [path]
            for file in files:
                context.load_verify_locations(cafile=file)
            if folder:
                context.load_verify_locations(capath=path)
        except (OSError, ValueError) as error:
            raise _unusable(f"the certificate authorities in {path}", error) from error
        if folder and not any(path.iterdir()):
            raise TransportError(f"the folder {path} holds no certificate authority", transient=False)


def _no_password() -> str:
    raise ValueError("it is encrypted; give one that is not")


def _unusable(what: str, error: Exception) -> TransportError:
    return TransportError(f"{what} cannot be used: {getattr(error, 'strerror', None) or error}", transient=False)
