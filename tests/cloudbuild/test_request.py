"""What Cloud Build is asked to do: for each kind of source, with each setting, always in Google's own message types."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from cloudbuild_messages import STATES, checked_build
from hypothesis import given
from hypothesis import strategies as st

from archkit import BuildError, ImageReference, PlatformSet
from archkit.planning.cloudbuild import (
    ENDED,
    CloudBuildOptions,
    Uploaded,
    build_request,
    read_build,
    read_operation,
)
from archkit.planning.cloudbuild_recipes import (
    BINFMT,
    DOCKER,
    BuildpacksRecipe,
    DockerRecipe,
    JibRecipe,
    KoRecipe,
    Recipe,
    Source,
    told_digest,
)

BOTH = PlatformSet.parse("linux/amd64,linux/arm64")
ARM64 = PlatformSet.parse("linux/arm64")
IMAGE = ImageReference.parse("europe-docker.pkg.dev/team-prod/web/shop:1.0")
DIGEST = "sha256:" + "a" * 64
RESULT = "/tmp/archkit-result"  # noqa: S108 - in the container of a step
TELLING = ["-c", f'"$$@" && cp {RESULT} "$$BUILDER_OUTPUT/output"', "sh"]


def options(**changed: Any) -> CloudBuildOptions:
    return CloudBuildOptions(**{"project": "team-prod", "bucket": "team-prod_cloudbuild", "timeout": 1200, "queue_ttl": 600, **changed})


def asked(
    recipe: Recipe,
    platforms: PlatformSet = BOTH,
    *,
    emulate: tuple[str, ...] = (),
    source: Source | None = None,
    where: CloudBuildOptions | None = None,
    uploaded: Uploaded | None = None,
    run: str = "",
) -> dict[str, Any]:
    made = recipe.steps(platforms, IMAGE, emulate=emulate, source=source or Source())
    request = build_request("shop", made, where or options(), uploaded, run=run)
    checked_build(request)
    return request


# ---- recipes ---------------------------------------------------------------------------------------------------------


def test_a_dockerfile_is_built_for_all_platforms_by_one_buildkit() -> None:
    steps = asked(DockerRecipe(), emulate=("arm64",))["steps"]
    assert [step["id"] for step in steps] == ["emulators", "buildkit", "build"]
    assert steps[0]["args"] == ["run", "--privileged", "--rm", BINFMT, "--install", "arm64"]
    assert steps[1]["args"] == ["buildx", "create", "--name", "archkit", "--driver", "docker-container", "--use"]
    assert steps[2]["entrypoint"] == "sh"
    assert steps[2]["args"] == [
        *TELLING,
        *("docker", "buildx", "build", "--pull", "--platform", "linux/amd64,linux/arm64", "--file", "Dockerfile"),
        *("--provenance=false", "--progress", "plain", "--metadata-file", RESULT, "--tag", str(IMAGE), "--push", "."),
    ]
    assert {step["name"] for step in steps} == {DOCKER}


def test_nothing_is_emulated_where_nothing_needs_it() -> None:
    assert [step["id"] for step in asked(DockerRecipe())["steps"]] == ["buildkit", "build"]


def test_a_dockerfile_is_built_for_one_platform_as_skaffold_does_it() -> None:
    recipe = DockerRecipe(per_platform=True, target="app", build_args={"REVISION": "7"}, labels={"team": "web"})
    request = asked(recipe, ARM64, emulate=("arm64",))
    assert [step["id"] for step in request["steps"]] == ["emulators", "build"]
    assert request["steps"][1]["env"] == ["DOCKER_BUILDKIT=1"]
    assert request["steps"][1]["args"] == [
        *("build", "--pull", "--platform", "linux/arm64", "--file", "Dockerfile", "--target", "app"),
        *("--build-arg", "REVISION=7", "--label", "team=web", "--tag", str(IMAGE), "."),
    ]
    assert request["images"] == [str(IMAGE)]
    assert "entrypoint" not in request["steps"][1]


def test_ko_compiles_for_all_platforms_without_emulation() -> None:
    recipe = KoRecipe(
        main="./cmd/web", base="europe-docker.pkg.dev/team-prod/base/static:1", flags="--image-label=team=web", env={"A": "1"}
    )
    request = asked(recipe)
    (step,) = request["steps"]
    assert step["args"] == [
        *TELLING,
        *("go", "run", "github.com/google/ko@v0.19.1", "build", "./cmd/web", "--platform=linux/amd64,linux/arm64", "--bare"),
        *("--sbom=none", "--tags=1.0", f"--image-refs={RESULT}", "--image-label=team=web"),
    ]
    assert step["env"] == [f"KO_DOCKER_REPO={IMAGE.name}", "KO_DEFAULTBASEIMAGE=europe-docker.pkg.dev/team-prod/base/static:1", "A=1"]
    assert "images" not in request


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param(Source(frozenset({"pom.xml"}), has_jib=True), ["mvn", "jib:build"], id="maven"),
        pytest.param(
            Source(frozenset({"pom.xml", "mvnw"})),
            ["./mvnw", "com.google.cloud.tools:jib-maven-plugin:3.5.2:build"],
            id="wrapper-and-no-plugin",
        ),
        pytest.param(Source(frozenset({"build.gradle", "pom.xml"})), ["gradle", ":jib"], id="gradle-wins"),
        pytest.param(Source(frozenset({"gradlew"})), ["./gradlew", ":jib"], id="gradle-wrapper"),
    ],
)
def test_jib_runs_in_the_tool_of_the_folder(source: Source, words: list[str]) -> None:
    (step,) = asked(JibRecipe(), source=source)["steps"]
    assert step["args"][1].startswith('export DOCKER_CONFIG="$$HOME/.docker"; ')
    assert step["args"][3] == words[0]
    assert words[1] in step["args"]
    assert "-Djib.from.platforms=linux/amd64,linux/arm64" in step["args"]
    assert f"-Djib.outputPaths.imageJson={RESULT}" in step["args"]
    assert f"-Djib.to.image={IMAGE}" in step["args"]


def test_buildpacks_build_into_the_engine_and_cloud_build_pushes() -> None:
    recipe = BuildpacksRecipe(builder="builder:1", env={"BP_GO_TARGETS": "./cmd"}, buildpacks=["a", "b"], args="--clear-cache")
    request = asked(recipe, ARM64, emulate=("arm64",))
    assert request["steps"][1]["args"] == [
        *("build", str(IMAGE), "--builder", "builder:1", "--path", ".", "--platform", "linux/arm64", "--pull-policy", "always"),
        *("--network", "cloudbuild", "--trust-builder", "--env", "BP_GO_TARGETS=./cmd", "--buildpack", "a", "--buildpack", "b"),
        "--clear-cache",
    ]
    assert request["images"] == [str(IMAGE)]


# ---- settings --------------------------------------------------------------------------------------------------------


def test_all_settings_stand_in_the_request() -> None:
    where = options(
        region="europe-west1",
        service_account="builder@team-prod.iam.gserviceaccount.com",
        machine_type="E2_HIGHCPU_8",
        disk_size_gb=200,
        tags=("nightly",),
    )
    message = checked_build(asked(DockerRecipe(), where=where, uploaded=Uploaded("b", "s.tgz", "17"), run="archkit-1"))
    assert message.timeout.seconds == 1200
    assert message.queue_ttl.seconds == 600
    assert message.service_account == "projects/team-prod/serviceAccounts/builder@team-prod.iam.gserviceaccount.com"
    assert message.options.machine_type.name == "E2_HIGHCPU_8"
    assert message.options.disk_size_gb == 200
    assert message.options.logging.name == "GCS_ONLY"
    assert message.logs_bucket == "gs://team-prod_cloudbuild/archkit-logs"
    assert list(message.tags) == ["nightly", "archkit-1"]
    source = message.source.storage_source
    assert (source.bucket, source.object_, source.generation) == ("b", "s.tgz", 17)
    assert where.parent == "projects/team-prod/locations/europe-west1"


@pytest.mark.parametrize("pool", ["arm", "projects/other/locations/europe-west1/workerPools/arm"])
def test_a_private_pool_is_named_in_full(pool: str) -> None:
    message = checked_build(asked(DockerRecipe(), where=options(region="europe-west1", worker_pool=pool)))
    project = "other" if "/" in pool else "team-prod"
    assert message.options.pool.name == f"projects/{project}/locations/europe-west1/workerPools/arm"


def test_without_a_bucket_for_logs_they_go_to_cloud_logging() -> None:
    message = checked_build(asked(DockerRecipe(), where=options(logs="cloud-logging")))
    assert message.options.logging.name == "CLOUD_LOGGING_ONLY"
    assert message.logs_bucket == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"project": "Team Prod"}, "not a project id", id="project"),
        pytest.param({"worker_pool": "arm"}, "is in a region", id="pool-without-region"),
        pytest.param({"worker_pool": "arm", "region": "r", "machine_type": "E2_HIGHCPU_8"}, "decides the machine", id="pool-and-machine"),
        pytest.param({"substitutions": {"REVISION": "7"}}, "not a substitution", id="substitution"),
        pytest.param({"tags": ("a b",)}, "not a tag", id="tag"),
        pytest.param({"logs": "none"}, "logs is", id="logs"),
        pytest.param({"timeout": 0}, "seconds", id="timeout"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options(**changed)


def test_a_substitution_stays_one_and_every_other_dollar_is_itself() -> None:
    recipe = DockerRecipe(
        build_args={"REVISION": "$_REVISION", "PRICE": "5$", "HOME": "${HOME}", "AS": "x${_REVISION}y", "NEAR": "$_REVISIONS"}
    )
    args = asked(recipe, where=options(substitutions={"_REVISION": "7"}))["steps"][-1]["args"]
    assert [word for word in args if word.partition("=")[0] in recipe.build_args] == [
        "REVISION=${_REVISION}",
        "PRICE=5$$",
        "HOME=$${HOME}",
        "AS=x${_REVISION}y",
        "NEAR=$$_REVISIONS",
    ]


def test_a_substitution_that_nothing_uses_is_refused_before_cloud_build_does() -> None:
    with pytest.raises(BuildError, match="nothing uses the substitution _OTHER"):
        asked(DockerRecipe(), where=options(substitutions={"_OTHER": "7"}))


@given(st.text(max_size=20))
def test_cloud_build_gives_every_text_back_as_it_was(text: str) -> None:
    args = asked(DockerRecipe(build_args={"A": text}))["steps"][-1]["args"]
    written = next(word for word in args if word.startswith("A="))
    assert "$" not in written.replace("$$", "")
    assert written.replace("$$", "$") == f"A={text}"


def test_what_is_beyond_the_limits_of_a_step_is_refused() -> None:
    with pytest.raises(BuildError, match="arguments"):
        asked(DockerRecipe(build_args={f"A{number}": "" for number in range(60)}))


# ---- answers ---------------------------------------------------------------------------------------------------------


def test_every_state_is_known() -> None:
    assert set(STATES) - ENDED == {"STATUS_UNKNOWN", "PENDING", "QUEUED", "WORKING"}
    assert set(STATES) > ENDED


def test_an_answer_is_read() -> None:
    state = read_build(
        {
            "id": "1",
            "status": "FAILURE",
            "statusDetail": "detail",
            "logUrl": "https://log",
            "logsBucket": "gs://b/logs/",
            "failureInfo": {"type": "USER_BUILD_STEP", "detail": "step 1 failed"},
            "steps": [{"id": "one", "status": "SUCCESS"}, {"id": "two", "status": "FAILURE", "exitCode": 3}],
        }
    )
    assert state.ended
    assert (state.detail, state.step, state.exit_code, state.log_url) == ("step 1 failed", "two", 3, "https://log")
    assert state.log_object == ("b", "logs/log-1.txt")


def test_a_log_may_stand_at_the_top_of_its_bucket_or_nowhere() -> None:
    assert read_build({"id": "1", "logsBucket": "b"}).log_object == ("b", "log-1.txt")
    assert read_build({"id": "1"}).log_object is None


def test_the_answer_to_a_creation_holds_the_build() -> None:
    state = read_operation({"name": "operations/x", "metadata": {"build": {"id": "1", "status": "QUEUED"}}})
    assert state is not None
    assert (state.id, state.status, state.ended) == ("1", "QUEUED", False)
    assert read_operation({"name": "operations/x"}) is None


@pytest.mark.parametrize(
    "results",
    [
        pytest.param({"images": [{"name": "x", "digest": DIGEST}]}, id="pushed-by-cloud-build"),
        pytest.param({"buildStepOutputs": ["", b64encode(DIGEST.encode()).decode(), ""]}, id="told-by-a-step"),
        pytest.param({"buildStepOutputs": ["ZmFsc2U="], "images": [{"digest": DIGEST}]}, id="images-win"),
    ],
)
def test_the_digest_of_a_pushed_image_is_read(results: dict[str, Any]) -> None:
    assert read_build({"results": results}).digest == DIGEST


@pytest.mark.parametrize(
    ("output", "digest"),
    [
        pytest.param('{"containerimage.digest": "%s"}', DIGEST, id="buildx"),
        pytest.param('{"image": "x", "imageDigest": "%s"}', DIGEST, id="jib"),
        pytest.param("host/x@%s\nhost/x@sha256:" + "b" * 64 + "\n", DIGEST, id="ko"),
        pytest.param("{}", None, id="nothing"),
        pytest.param("[1]", None, id="no-mapping"),
        pytest.param('{"imageDigest": "sha256:12"}', None, id="no-digest"),
        pytest.param("", None, id="empty"),
    ],
)
def test_what_a_step_tells_is_read(output: str, digest: str | None) -> None:
    assert told_digest((output % DIGEST if "%s" in output else output).encode()) == digest


@pytest.mark.parametrize(
    "fields", [{"results": []}, {"results": {"images": 5, "buildStepOutputs": ["%"]}}, {"steps": [3]}, {"failureInfo": 1}]
)
def test_a_strange_answer_tells_nothing_and_breaks_nothing(fields: dict[str, Any]) -> None:
    assert read_build(fields).digest is None
