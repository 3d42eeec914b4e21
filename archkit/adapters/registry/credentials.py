"""DockerCredentials: what ``docker login`` and ``podman login`` left on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from archkit.adapters.registry.auth_files import AuthFile, parse_auth_file, parse_helper_answer
from archkit.errors import CommandError, CommandTimeoutError, RegistryError, ToolNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archkit.ports.credentials import Credentials, Login
    from archkit.ports.runner import Completed, Runner

_LARGEST = 4 * 1024 * 1024
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_UNKNOWN = b"credentials not found"
"""How every credential helper says that it has no login; its status is 1 then, as for a failure."""


class DockerCredentials:
    """The logins of this machine's user, looked up each time, so that a login made meanwhile counts.

    Looked at, in this order; the first that knows the registry counts:

    1. ``DOCKER_AUTH_CONFIG``, the content of a file in an environment variable;
    2. Docker's ``config.json`` in ``$DOCKER_CONFIG`` or ``~/.docker``;
    3. podman's ``auth.json``: ``$REGISTRY_AUTH_FILE``, or ``$XDG_RUNTIME_DIR/containers/auth.json``, then
       ``~/.config/containers/auth.json``.

    In each a program named in ``credHelpers`` counts before the one in ``credsStore``, and both before ``auths``. A file
    that is not there is passed over; one that cannot be read is an error that names it.

    Args:
        file: The only file to look at, of either kind; it must be there.
        environ: The environment, also that of credential helpers; None: this process's.
        runner: Starts credential helpers.
        helper_timeout: Seconds that one may take; it may wait for a person to unlock a key ring.

    Raises:
        RegistryError: From :meth:`find`: a file or a credential helper cannot be used.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        runner: Runner | None = None,
        helper_timeout: float = 60.0,
    ) -> None:
        self._file = None if file is None else Path(file)
        self._environ = environ
        self._runner = runner
        self._helper_timeout = helper_timeout

    def __repr__(self) -> str:
        return f"DockerCredentials({'' if self._file is None else repr(str(self._file))})"

    def knows(self, registry: str, repository: str) -> bool:
        """See :meth:`archkit.ports.credentials.Credentials.knows`."""
        try:
            return any(found.lists(registry, repository) for found, _ in self._files(f"{registry}/{repository}"))
        except RegistryError:
            return True  # find() says what is wrong, should the registry ask for sign-in at all

    def find(self, registry: str, repository: str) -> Login | None:
        """See :meth:`archkit.ports.credentials.Credentials.find`."""
        name = f"{registry}/{repository}"
        for found, source in self._files(name):
            for helper, server in found.programs(registry, repository):
                login = self._asked(helper, server, source, name)
                if login is not None:
                    return login
            login = found.login(registry, repository)
            if login is not None:
                return login
        return None

    # ---- files --------------------------------------------------------------------------------------------------

    def _env(self) -> Mapping[str, str]:
        return os.environ if self._environ is None else self._environ

    def _files(self, name: str) -> Iterator[tuple[AuthFile, str]]:
        """Each file that is there, and what messages call it."""
        env = self._env()
        if self._file is None and env.get("DOCKER_AUTH_CONFIG"):
            yield (
                _usable(parse_auth_file(env["DOCKER_AUTH_CONFIG"], "DOCKER_AUTH_CONFIG"), "DOCKER_AUTH_CONFIG", name),
                "DOCKER_AUTH_CONFIG",
            )
        for path in [self._file] if self._file is not None else _places(env):
            found = _read(path)
            if found is not None:
                yield _usable(found, str(path), name), str(path)
            elif self._file is not None:
                raise RegistryError(
                    name, f"the credentials file {path} is not there", remedy="make it with `docker login` or `podman login`"
                )

    # ---- credential helpers -------------------------------------------------------------------------------------

    def _asked(self, helper: str, server: str, source: str, name: str) -> Login | None:
        """What a credential helper knows about a registry."""
        program = f"docker-credential-{helper}"
        if not _HELPER.fullmatch(helper):
            raise RegistryError(name, f"{source} names a credential helper {helper!r}, which is no name of a program")
        found = self._answer(program, server)
        if not isinstance(found, str):
            return found
        # raised out here, where what the program printed is in no frame and no chained error
        raise RegistryError(
            name,
            f"the credential helper {program}, named in {source}, {found}",
            remedy=f"install or correct it, or take it out of {source}",
        )

    def _answer(self, program: str, server: str) -> Login | str | None:
        """The login that a program knows, None where it knows none, or what is wrong with it."""
        try:
            done = self._run(program, server)
        except ToolNotFoundError:
            return "is not installed or not on PATH"
        except CommandTimeoutError as error:
            return f"did not answer within {error.seconds:g} s"
        except CommandError as error:
            return f"failed: {error.stderr}"
        if done.status == 0:
            return parse_helper_answer(done.stdout, program) or "printed no login"
        if _UNKNOWN in done.stdout or _UNKNOWN in done.stderr:
            return None
        return f"ended with status {done.status}: {_last_line(done)}"

    def _run(self, program: str, server: str) -> Completed:
        runner = self._runner
        if runner is None:
            from archkit.adapters.process import ProcessRunner  # only where a helper is named

            runner = ProcessRunner()
        return runner.run([program, "get"], env=self._env(), stdin=server.encode(), timeout=self._helper_timeout, check=False)


def _usable(found: AuthFile | str, source: str, name: str) -> AuthFile:
    if isinstance(found, str):
        raise RegistryError(
            name, f"the credentials in {source} cannot be read: {found}", remedy="correct it, or sign in again with `docker login`"
        )
    return found


def _read(path: Path) -> AuthFile | str | None:
    """The content of a file, what is wrong with it, or None where it is not there."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.strerror or type(error).__name__
    if len(content) > _LARGEST:
        return f"it has more than {_LARGEST} bytes"
    return parse_auth_file(content, str(path)) if content.strip() else None


def _places(env: Mapping[str, str]) -> list[Path]:
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    docker = Path(env["DOCKER_CONFIG"]) if env.get("DOCKER_CONFIG") else home / ".docker"
    places = [docker / "config.json"]
    if env.get("REGISTRY_AUTH_FILE"):
        return [*places, Path(env["REGISTRY_AUTH_FILE"])]
    if env.get("XDG_RUNTIME_DIR"):
        places.append(Path(env["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
    config = Path(env["XDG_CONFIG_HOME"]) if env.get("XDG_CONFIG_HOME") else home / ".config"
    return [*places, config / "containers" / "auth.json"]


def _last_line(done: Completed) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace").splitlines()
    return lines[-1][:200] if lines else "no message"


if TYPE_CHECKING:
    _conforms: type[Credentials] = DockerCredentials
