"""CloudBuildBuilder: what to build where, the request of it, and the call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from archkit.adapters.google.api import is_local
from archkit.adapters.google.signin import ApplicationDefault, GoogleCredentials
from archkit.adapters.loopback import is_loopback_registry
from archkit.builders.cloudbuild.checks import check_platforms, check_recipe, emulated_cpus
from archkit.builders.cloudbuild.running import CloudRun, GoogleEndpoints
from archkit.builders.cloudbuild.source import known_source, list_source, pack_source
from archkit.errors import BuildError
from archkit.model.build import BuilderAbilities, BuildRequest, Delivered, RegistrySink
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts, one_or_more
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import ImageReference
from archkit.planning.cloudbuild import GLOBAL, CloudBuildOptions, Logs, Uploaded, build_request, default_bucket
from archkit.planning.cloudbuild_recipes import MACHINE, DockerRecipe, Recipe

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from archkit.adapters.source_folder import SourceFolder
    from archkit.model.build import ArtifactFacts, Sink
    from archkit.model.finding import Finding
    from archkit.model.platform import Platform
    from archkit.ports.builder import Artifact, BuildContext, Builder, ExplainsMismatch, Preflight, ShowsCalls

_LATER = "(named when it is uploaded)"


@attrs.frozen
class CloudBuildBuilder:
    """Builds in Google Cloud Build; needs ``archkit[cloudbuild]``, a sign-in (Application Default Credentials) and a bucket.

    The source goes to the bucket and is removed when the build has ended; the log comes as progress events. The build
    pushes a staging tag or a tag for each platform; archkit reads back what is there and writes the final tag itself. A
    build that is given up here is cancelled there; after SIGKILL it ends by its own ``timeout``.

    Raises:
        ValueError: A setting that cannot be; says which.
    """

    project: str
    """The project's id."""
    recipe: Recipe = attrs.field(factory=DockerRecipe, kw_only=True)
    """How the image is made: ``DockerRecipe``, ``KoRecipe``, ``JibRecipe`` or ``BuildpacksRecipe``."""
    region: str = attrs.field(default=GLOBAL, kw_only=True)
    """Where builds run, such as ``europe-west1``."""
    bucket: str | None = attrs.field(default=None, kw_only=True)
    """Where the source goes, and the log; None: ``PROJECT_cloudbuild``, which gcloud makes, and only if it is the project's."""
    worker_pool: str = attrs.field(default="", kw_only=True)
    """A private pool of the region, or its whole name; empty: Google's own machines."""
    service_account: str = attrs.field(default="", kw_only=True)
    """Who the build runs as, by mail address; empty: the project's default for builds."""
    machine_type: str = attrs.field(default="", kw_only=True)
    """Such as ``E2_HIGHCPU_8``; empty: Cloud Build's default."""
    disk_size_gb: int | None = attrs.field(default=None, kw_only=True)
    timeout: int = attrs.field(default=3600, kw_only=True)
    """Seconds that the build may run."""
    queue_ttl: int = attrs.field(default=3600, kw_only=True)
    """Seconds that it may wait for its turn."""
    substitutions: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    """Such as ``{"_REVISION": "7"}``, for ``$_REVISION`` in texts of the recipe; any other ``$`` stays what it is."""
    tags: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """To find the build by, besides one of archkit's own."""
    logs: Logs = attrs.field(default="bucket", kw_only=True)
    """Where the build writes its log, and where it is read: ``bucket``, or ``cloud-logging``, which is some seconds late."""
    credentials: GoogleCredentials = attrs.field(factory=ApplicationDefault, kw_only=True, eq=False, repr=False)
    """None given: Application Default Credentials; or ``GoogleAccessToken(…)``."""
    endpoints: GoogleEndpoints = attrs.field(factory=GoogleEndpoints, kw_only=True)
    poll_interval: float = attrs.field(default=1.0, kw_only=True, validator=attrs.validators.gt(0))
    """Seconds between two looks at a build at first; up to ten while nothing happens."""

    def __attrs_post_init__(self) -> None:
        self._options()

    @property
    def name(self) -> str:
        """``cloudbuild``."""
        return "cloudbuild"

    def abilities(self, context: BuildContext) -> BuilderAbilities:  # noqa: ARG002 - the same everywhere
        """To registries; all platforms at once, or (``per_platform``, Buildpacks) each at the same time on its own machine."""
        where = f"the private pool {self.worker_pool}" if self.worker_pool else self.region
        return BuilderAbilities(
            native_multi=self.recipe.native,
            default=MACHINE,
            sinks=frozenset({RegistrySink}),
            parallel=not self.recipe.native,
            notes=(f"Cloud Build runs {self.recipe.name} in the project {self.project}, {where}, on {MACHINE}",),
        )

    def preflight(self, artifact: Artifact, platforms: PlatformSet, context: BuildContext, sink: Sink) -> list[Finding]:  # noqa: ARG002 - of the port
        """Look at the source and at the bases; nothing is asked of Google Cloud.

        Raises:
            BuildError: A file is missing, a base lacks a platform, or the request would be refused.
            EmulationMissing: A command would run a program of a CPU that nothing there runs.
        """
        check_platforms(artifact.image, platforms)
        folder = artifact.context
        source = known_source(folder, list_source(artifact.image, folder, self.recipe))
        return check_recipe(artifact.image, self.recipe, folder, source=source, platforms=platforms, lookup=context.registry)

    def show(self, request: BuildRequest) -> str:
        """The request that starts the build, as it is sent; the name of the uploaded source is known later.

        Raises:
            BuildError: It would be refused.
        """
        where = f"POST {self.endpoints.builds}/v1/{self._options().parent}/builds"
        image, folder = request.artifact.image, request.artifact.context
        source, files = Uploaded(self._options().bucket, _LATER), list_source(image, folder, self.recipe)
        fields = self._request(request.artifact, request.platforms, _pushed(request), source, files=files)
        return f"{where}\n{json.dumps(fields, indent=2)}"

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Upload the source, start a build, follow it, and cancel it when it is given up.

        Raises:
            BuildError: Google Cloud refused, or the build did not succeed.
            CancelledError: The caller cancelled.
            ToolNotFoundError: google-auth is not installed.
        """
        image, reference = request.artifact.image, _pushed(request)
        files = list_source(image, request.artifact.context, self.recipe)
        archive = pack_source(image, files, context)

        def make_request(source: Uploaded, run: str) -> dict[str, Any]:
            return self._request(request.artifact, request.platforms, reference, source, files=files, run=run)

        with CloudRun.open(
            image,
            request.platform if len(request.platforms) == 1 else None,
            self._options(),
            context,
            endpoints=self.endpoints,
            credentials=self.credentials,
            poll=self.poll_interval,
            own_bucket=self.bucket is not None,
        ) as run:
            state = run.build(archive, make_request)
            return Delivered(state.digest, log=run.log)

    def to_cloudbuild_yaml(
        self, image: str, context: str | os.PathLike[str] = ".", *, platforms: PlatformSet | str | Iterable[Platform | str]
    ) -> str:
        """A ``cloudbuild.yaml`` that builds and pushes the same, for ``gcloud builds submit --config``.

        Nothing reads back what it makes, and it writes the tag itself; :func:`archkit.verify` looks at it afterwards.

        Args:
            image: The whole reference to push, with its tag.
            context: The source folder, which gcloud is given too.
            platforms: What to build for; one where the recipe builds one at a time.

        Raises:
            BuildError: As :meth:`preflight`, or there are several platforms for a recipe of one.
            ReferenceSyntaxError, PlatformSyntaxError: A name that is none.
        """
        from archkit.adapters.yaml.emit import Block, block_mapping
        from archkit.ports.builder import Artifact

        wanted, reference = PlatformSet.parse(platforms), ImageReference.parse(image)
        if reference.tag is None or reference.digest is not None:
            raise BuildError(image, "there is no tag to push", "", "write the image as HOST/NAME:TAG")
        if wanted.is_all or (len(wanted) > 1 and not self.recipe.native):
            reason = f"one file builds one platform with this recipe, {wanted} were asked"
            raise BuildError(image, reason, "", "make a file for each, with a tag of its own, and join them with IndexStitcher")
        check_platforms(image, wanted)
        artifact = Artifact(image, context)
        files = list_source(image, artifact.context, self.recipe)
        fields = self._request(artifact, wanted, reference, None, files=files)
        return "\n".join([*block_mapping(fields, 0, Block()), ""])

    def why_not_delivered(self, asked: PlatformSet, found: PlatformSet, delivered: Delivered) -> str:  # noqa: ARG002 - of the port
        """Why a build in Cloud Build delivers other platforms than it was asked for."""
        return f"a step that ends well may have built another platform: {self.recipe.name} takes what its base has"

    # ---- inside -------------------------------------------------------------------------------------------------

    def _options(self) -> CloudBuildOptions:
        return CloudBuildOptions(
            project=self.project,
            region=self.region,
            bucket=self.bucket or default_bucket(self.project),
            worker_pool=self.worker_pool,
            service_account=self.service_account,
            machine_type=self.machine_type,
            disk_size_gb=self.disk_size_gb,
            timeout=self.timeout,
            queue_ttl=self.queue_ttl,
            substitutions=self.substitutions,
            tags=self.tags,
            logs=self.logs,
        )

    def _request(
        self,
        artifact: ArtifactFacts,
        platforms: PlatformSet,
        reference: ImageReference,
        source: Uploaded | None,
        *,
        files: SourceFolder,
        run: str = "",
    ) -> dict[str, Any]:
        if is_loopback_registry(reference.registry) and not is_local(self.endpoints.builds):
            reason = f"{reference.registry} is on this machine, and Cloud Build is not"
            raise BuildError(artifact.image, reason, "", "use a registry that can be reached from Google Cloud")
        folder: Path = artifact.context
        known = known_source(folder, files)
        emulate = emulated_cpus(artifact.image, self.recipe, folder, platforms)
        made = self.recipe.steps(platforms, reference, emulate=emulate, source=known)
        return build_request(artifact.image, made, self._options(), source, run=run)


def _pushed(request: BuildRequest) -> ImageReference:
    """What the build pushes; archkit gives every builder that does not push by digest a reference."""
    return request.reference or request.repository


if TYPE_CHECKING:
    _builds: type[Builder] = CloudBuildBuilder
    _looks: type[Preflight] = CloudBuildBuilder
    _explains: type[ExplainsMismatch] = CloudBuildBuilder
    _shows: type[ShowsCalls] = CloudBuildBuilder
