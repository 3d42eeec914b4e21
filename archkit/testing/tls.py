"""TLS for the embedded servers, with an authority of their own; needs the package trustme (``archkit[testing]``)."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_HOSTS = ("127.0.0.1", "localhost")


class EmbeddedTls:
    """Certificates for a server on this machine and for its clients, in a temporary folder.

    Args:
        hosts: What the server's certificate is for.
        ask_for_client_cert: Whether clients must show the certificate that :attr:`client_cert` has.
    """

    def __init__(self, hosts: Iterable[str] = _HOSTS, *, ask_for_client_cert: bool = False) -> None:
        try:
            import trustme  # with cryptography, tens of milliseconds: only for TLS
        except ImportError as error:
            raise RuntimeError("TLS for tests needs the package trustme: pip install archkit[testing]") from error
        self._folder = Path(tempfile.mkdtemp(prefix="archkit-tls-"))
        authority = trustme.CA()
        self.ca_file: Path = self._folder / "ca.pem"
        """The authority that clients must trust."""
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.client_cert: Path = self._folder / "client.pem"
        """A client's certificate and key."""
        authority.issue_cert("client@archkit.test").private_key_and_cert_chain_pem.write_to_path(str(self.client_cert))
        self.server_cert: Path = self._folder / "server.pem"
        """The server's certificate and key."""
        server = authority.issue_cert(*hosts)
        server.private_key_and_cert_chain_pem.write_to_path(str(self.server_cert))
        self.context: ssl.SSLContext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """Of the server."""
        server.configure_cert(self.context)
        if ask_for_client_cert:
            authority.configure_trust(self.context)
            self.context.verify_mode = ssl.CERT_REQUIRED

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)
