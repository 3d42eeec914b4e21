"""What is looked at before anything is sent to Cloud Build."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from archkit.adapters.dockerfiles import check_bases, check_stage, load_dockerfile, platforms_of
from archkit.errors import BuildError
from archkit.model.platform import Platform
from archkit.model.secret import Secret
from archkit.planning.cloudbuild_recipes import EMULATED, MACHINE, BuildpacksRecipe, DockerRecipe, JibRecipe, Recipe
from archkit.planning.emulation import BuildMachine, emulation_findings, judge, refuse_missing
from archkit.planning.jib import GRADLE_FILES, MAVEN_FILES
from archkit.planning.tool_output import base_lacks_platform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archkit.model.finding import Finding
    from archkit.model.platform_set import PlatformSet
    from archkit.planning.cloudbuild_recipes import Source
    from archkit.planning.dockerfile import Dockerfile, Needs
    from archkit.ports.registry import PlatformLookup

_CLOUD = BuildMachine(MACHINE, tuple(Platform("linux", cpu) for cpu in EMULATED), name="Cloud Build's machine")


def check_platforms(image: str, platforms: PlatformSet) -> None:
    """Refuse what Cloud Build's machines cannot build.

    Raises:
        BuildError: A platform of another operating system than Linux.
    """
    for platform in platforms:
        if platform.os != MACHINE.os:
            raise BuildError(image, "Cloud Build's machines build for Linux alone", str(platform), "build it on a machine of that system")


def check_recipe(
    image: str, recipe: Recipe, folder: Path, *, source: Source, platforms: PlatformSet, lookup: PlatformLookup
) -> list[Finding]:
    """Refuse a build that could not succeed; what is found besides stands in the plan.

    Raises:
        BuildError: A file that the recipe needs is not there, a base lacks a platform, or jib cannot name one.
        EmulationMissing: A program of a CPU would run that nothing in Cloud Build runs.
    """
    if isinstance(recipe, DockerRecipe):
        return _check_dockerfile(image, recipe, folder, platforms, lookup)
    if isinstance(recipe, JibRecipe):
        _check_jib(image, recipe, source, platforms)
    _check_base(image, recipe, platforms, lookup)
    return _check_emulation(image, list(platforms)) if isinstance(recipe, BuildpacksRecipe) else []


def emulated_cpus(image: str, recipe: Recipe, folder: Path, platforms: PlatformSet) -> tuple[str, ...]:
    """The CPUs whose programs the build runs and the machine does not: for these an emulator is registered."""
    run: list[Platform] = []
    if isinstance(recipe, BuildpacksRecipe):
        run = list(platforms)
    elif isinstance(recipe, DockerRecipe):
        file = _dockerfile(image, recipe, folder)
        run = (
            list(platforms) if file is None else [one.platform for need in _needs(file, recipe, platforms).values() for one in need.foreign]
        )
    return tuple(sorted({platform.arch for platform in run if not platform.runs_on(MACHINE)}))


def _dockerfile(image: str, recipe: DockerRecipe, folder: Path) -> Dockerfile | None:
    path = PurePosixPath(recipe.dockerfile)
    if path.is_absolute() or ".." in path.parts:
        reason = f"the Dockerfile {recipe.dockerfile} is not in the source folder, and the folder alone is sent to Cloud Build"
        raise BuildError(image, reason, "", "move it into the folder")
    return load_dockerfile(image, folder / path, "give its name in the artifact's folder as DockerRecipe(dockerfile=…)")


def _needs(file: Dockerfile, recipe: DockerRecipe, platforms: PlatformSet) -> Mapping[Platform, Needs]:
    return {platform: file.needs(platform, MACHINE, stage=recipe.target, args=recipe.build_args) for platform in platforms}


def _check_dockerfile(image: str, recipe: DockerRecipe, folder: Path, platforms: PlatformSet, lookup: PlatformLookup) -> list[Finding]:
    for name, value in recipe.build_args.items():
        if isinstance(value, Secret):
            reason = f"the build argument {name} is a secret, and whoever may see the project's builds can read the request"
            raise BuildError(image, reason, "", "let a step of your own take it from Secret Manager")
    file = _dockerfile(image, recipe, folder)
    if file is None:
        return _check_emulation(image, list(platforms))
    check_stage(image, recipe.dockerfile, file, recipe.target)
    needs = _needs(file, recipe, platforms)
    check_bases(image, recipe.dockerfile, needs, lookup)
    for need in needs.values():
        for run in need.foreign:
            where = f"RUN in line {run.line} of {recipe.dockerfile}, {run.stage}"
            refuse_missing(image, judge([run.platform], [_CLOUD]), [_CLOUD], where=where)
    return _check_emulation(image, [run.platform for need in needs.values() for run in need.foreign])


def _check_emulation(image: str, run: list[Platform]) -> list[Finding]:
    verdicts = judge(run, [_CLOUD])
    refuse_missing(image, verdicts, [_CLOUD])
    return emulation_findings(image, verdicts)


def _check_jib(image: str, recipe: JibRecipe, source: Source, platforms: PlatformSet) -> None:
    if recipe.chosen(source) is None:
        reason = "the source folder has no build file of Maven or Gradle"
        raise BuildError(image, reason, "", f"give the folder of {MAVEN_FILES[0]} or {GRADLE_FILES[0]} as the artifact's context")
    for platform in platforms:
        if platform != Platform(platform.os, platform.arch):
            reason = "jib knows operating system and CPU alone, no variants"
            raise BuildError(image, reason, str(platform), f"ask for {platform.os}/{platform.arch}")


def _check_base(image: str, recipe: Recipe, platforms: PlatformSet, lookup: PlatformLookup) -> None:
    if recipe.base is None:
        return
    there = platforms_of(recipe.base, lookup)
    for platform in platforms:
        if there is not None and not any(one.satisfies(platform) for one in there):
            raise base_lacks_platform(image, recipe.base, there, platform)
