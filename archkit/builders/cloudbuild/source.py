"""What of a source folder goes to Cloud Build, and the archive of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.adapters.layer_files import LayerFile, write_layer
from archkit.adapters.source_folder import SourceFolder, SourceFolderError, ignore_lines, read_source_folder
from archkit.errors import BuildError
from archkit.events import Event
from archkit.planning.cloudbuild_recipes import DockerRecipe, Recipe, Source
from archkit.planning.ignore import from_gitignore
from archkit.planning.jib import IN_POM

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.ports.builder import BuildContext

GCLOUDIGNORE, DOCKERIGNORE = ".gcloudignore", ".dockerignore"
_INCLUDE = "#!include:"
_POM_LIMIT = 4 << 20


def list_source(image: str, folder: Path, recipe: Recipe) -> SourceFolder:
    """The files that go along: without those in ``.gcloudignore``, for a Dockerfile those in its ``.dockerignore``, and secrets.

    Raises:
        BuildError: An entry or a pattern cannot be used.
    """
    try:
        exclude, ignore = _gcloudignore(folder), ""
        if isinstance(recipe, DockerRecipe):
            own = f"{recipe.dockerfile}{DOCKERIGNORE}"  # as BuildKit chooses between the two
            ignore = own if (folder / own).is_file() else DOCKERIGNORE
            exclude += [f"!{recipe.dockerfile}", f"!{ignore}"]  # Docker's client sends these two whatever the patterns say
        return read_source_folder(folder, exclude=exclude, ignore=ignore)
    except (SourceFolderError, OSError, UnicodeDecodeError) as error:
        raise BuildError(image, f"the source cannot be sent: {error}") from error


def _gcloudignore(folder: Path) -> list[str]:
    found: list[str] = []
    for line in ignore_lines(folder / GCLOUDIGNORE):
        if line.startswith(_INCLUDE):
            found += from_gitignore(ignore_lines(folder / line.removeprefix(_INCLUDE).strip()))
        else:
            found += from_gitignore([line])
    return found


def known_source(folder: Path, files: SourceFolder) -> Source:
    """What the recipe looks at."""
    names = frozenset(entry.path for entry in files.entries if "/" not in entry.path)
    pom = b""
    if "pom.xml" in names:
        with (folder / "pom.xml").open("rb") as file:
            pom = file.read(_POM_LIMIT)
    return Source(names, has_jib=IN_POM in pom)


def pack_source(image: str, files: SourceFolder, context: BuildContext) -> LayerFile:
    """The archive, equal for equal files; what stays out is told.

    Raises:
        BuildError: A file cannot be read, or there is none.
    """
    for path, reason in files.left_out:
        context.emit(Event("build", "progress", image, None, f"left out {path}: {reason}"))
    if not files.entries:
        raise BuildError(image, "the source folder has nothing that could be sent", "", "look at its .gcloudignore and .dockerignore")
    try:
        return write_layer(files.entries, context.workdir / "source.tar.gz", "gzip")
    except OSError as error:
        raise BuildError(image, f"cannot read {error.filename or 'the source'}: {error.strerror or error}") from error
