"""CloudBuildBuilder against a double of Google's APIs: what is sent, followed, verified, and left behind."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from cloudbuild_double import BUCKET, PROJECT, CloudBuild, CloudDouble, google_error, pushing
from cloudbuild_messages import checked_build
from ruamel.yaml import YAML

from archkit import (
    Artifact,
    BuildError,
    BuildpacksRecipe,
    BuildResult,
    BuildToolError,
    CancelledError,
    CloudBuildBuilder,
    DockerRecipe,
    EmulationMissing,
    Finding,
    JibRecipe,
    KoRecipe,
    LayoutSink,
    Pipeline,
    PlatformNotDelivered,
    RegistrySink,
    Secret,
    build,
)
from archkit.adapters.google.storage import CHUNK
from archkit.testing import Response

if TYPE_CHECKING:
    from pathlib import Path

    from archkit import Event
    from archkit.testing import EmbeddedRegistry, ImageFactory, Request

Run = Callable[..., BuildResult]
Builders = Callable[..., CloudBuildBuilder]
LOCATION = f"/v1/projects/{PROJECT}/locations/global/builds"


def lines(events: list[Event]) -> list[str]:
    return [event.message for event in events if event.work == "build" and event.stage == "progress"]


# ---- what is built ---------------------------------------------------------------------------------------------------


def test_one_build_makes_all_platforms_and_archkit_writes_the_tag(
    google: CloudDouble, archkit_registry: EmbeddedRegistry, run: Run, events: list[Event]
) -> None:
    result = run()
    (made,) = google.builds.values()
    assert f"{archkit_registry.host}/shop:v1_archkit-staging" in made.args
    assert str(result.images[0].platforms) == "linux/amd64,linux/arm64"
    assert archkit_registry.tags("shop") == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    assert made.files == {"Dockerfile": b"FROM scratch\nCOPY hello /\n", "hello": b"hi"}
    assert [step["id"] for step in made.request["steps"]] == ["buildkit", "build"]
    said = lines(events)
    assert "step 1: building" in said
    assert "done" in said
    assert f"build {made.id} is SUCCESS" in said


def test_nothing_is_left_in_the_bucket(google: CloudDouble, run: Run) -> None:
    run()
    assert google.objects == {}
    assert len(google.asked("DELETE", f"/storage/v1/b/{BUCKET}/o/archkit%2Fsource-")) == 1


def test_each_platform_by_a_build_of_its_own(google: CloudDouble, archkit_registry: EmbeddedRegistry, run: Run) -> None:
    result = run(recipe=DockerRecipe(per_platform=True))
    assert sorted(made.request["images"][0].rpartition("/")[2] for made in google.builds.values()) == [
        "shop:v1_linux_amd64",
        "shop:v1_linux_arm64",
    ]
    assert str(result.images[0].platforms) == "linux/amd64,linux/arm64"
    assert google.objects == {}


@pytest.mark.parametrize(
    ("dockerfile", "emulators"),
    [
        pytest.param("FROM scratch\nCOPY hello /\n", None, id="nothing-runs"),
        pytest.param("FROM scratch\nRUN true\n", "arm64", id="a-program-runs"),
        pytest.param(
            "FROM --platform=$BUILDPLATFORM scratch AS x\nRUN true\nFROM scratch\nCOPY --from=x /a /\n", None, id="cross-compiled"
        ),
        pytest.param("# syntax=example.com/own:1\nFROM scratch\n", "arm64", id="nobody-can-tell"),
    ],
)
def test_emulators_are_registered_only_where_the_dockerfile_needs_them(
    google: CloudDouble, project: Path, run: Run, dockerfile: str, emulators: str | None
) -> None:
    (project / "Dockerfile").write_text(dockerfile)
    result = run()
    (made,) = google.builds.values()
    first = made.request["steps"][0]
    assert (first["args"][-1] if first["id"] == "emulators" else None) == emulators
    assert ("emulated-build" in {finding.code for finding in result.findings}) == (emulators is not None)


def test_the_double_takes_nothing_that_google_would_refuse(google: CloudDouble, run: Run) -> None:
    run()
    (made,) = google.builds.values()
    with pytest.raises(ValueError, match="no Build"):
        checked_build({**made.request, "machineTyp": "x"})


def told(output: Callable[[str], str], flag: str, delivers: str = "linux/amd64,linux/arm64") -> Callable[[ImageFactory], Any]:
    """A step that pushes to what stands behind a flag, and tells the digest in its own form."""

    def make(images: ImageFactory) -> Callable[[CloudBuild], None]:
        def work(made: CloudBuild) -> None:
            word = next(word for word in made.args if word.startswith(flag)).partition("=")[2]
            name = next(
                (one.partition("=")[2] for one in made.request["steps"][-1].get("env", []) if one.startswith("KO_DOCKER_REPO=")), ""
            )
            pushed = images.push(f"{name}:{word}" if name else word, delivers, docker=not name)
            made.tell(output(str(pushed.digest)).encode())

        return work

    return make


def test_ko_and_jib_push_all_platforms_and_tell_the_digest(
    google: CloudDouble, archkit_images: ImageFactory, project: Path, run: Run
) -> None:
    google.work = told(lambda digest: f"x@{digest}\n", "--tags=")(archkit_images)
    assert run(recipe=KoRecipe()).images[0].platforms is not None
    (project / "pom.xml").write_text("<artifactId>jib-maven-plugin</artifactId>")
    google.work = told(lambda digest: f'{{"imageDigest": "{digest}"}}', "-Djib.to.image=")(archkit_images)
    assert str(run(recipe=JibRecipe()).images[0].platforms) == "linux/amd64,linux/arm64"
    ko, jib = google.builds.values()
    assert "jib:build" in jib.args
    assert ko.request["steps"][-1]["name"].startswith("docker.io/library/golang:")


def test_buildpacks_build_each_platform(
    google: CloudDouble, archkit_images: ImageFactory, run: Run, archkit_registry: EmbeddedRegistry
) -> None:
    def pack(made: CloudBuild) -> None:
        words = made.args
        pushed = archkit_images.push(words[1], words[words.index("--platform") + 1])
        made.results["images"] = [{"name": words[1], "digest": pushed.digest}]

    google.work = pack
    archkit_images.push("builder:1", "linux/amd64,linux/arm64")
    result = run(recipe=BuildpacksRecipe(builder=f"{archkit_registry.host}/builder:1"))
    assert str(result.images[0].platforms) == "linux/amd64,linux/arm64"
    assert [len(made.request["steps"]) for made in sorted(google.builds.values(), key=lambda one: one.args[1])] == [1, 2]
    with pytest.raises(BuildToolError, match=r"the base .*builder:1 has only linux/amd64, linux/arm64") as caught:
        run("linux/s390x", recipe=BuildpacksRecipe(builder=f"{archkit_registry.host}/builder:1"))
    assert caught.value.kind == "base-lacks-platform"


# ---- the source ------------------------------------------------------------------------------------------------------


def test_what_is_ignored_or_secret_is_not_sent(google: CloudDouble, project: Path, run: Run, events: list[Event]) -> None:
    (project / ".dockerignore").write_text("*\n!hello\n!src\n")
    (project / ".gcloudignore").write_text("#!include:.gitignore\nbig/\n")
    (project / ".gitignore").write_text("*.log\n")
    for name in ("src/a.go", "src/x.log", "src/big/data", ".env", "key.pem", "other"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    run()
    (made,) = google.builds.values()
    assert sorted(made.files) == [".dockerignore", "Dockerfile", "hello", "src/a.go"]
    assert any(line.startswith("left out key.pem") for line in lines(events))


def test_the_ignore_file_of_the_dockerfile_itself_comes_first(google: CloudDouble, project: Path, run: Run) -> None:
    (project / "Dockerfile.dockerignore").write_text("hello\n")
    (project / ".dockerignore").write_text("*\n")
    run()
    (made,) = google.builds.values()
    assert sorted(made.files) == [".dockerignore", "Dockerfile", "Dockerfile.dockerignore"]


def test_dockers_ignore_file_is_dockers_alone(google: CloudDouble, archkit_images: ImageFactory, project: Path, run: Run) -> None:
    (project / ".dockerignore").write_text("*\n")
    google.work = told(lambda digest: f"x@{digest}\n", "--tags=")(archkit_images)
    run(recipe=KoRecipe())
    assert "hello" in next(iter(google.builds.values())).files


def test_an_upload_is_resumed_where_it_broke_off(google: CloudDouble, project: Path, run: Run) -> None:
    content = random.Random(1).randbytes(2 * CHUNK + 1000)
    (project / "hello").write_bytes(content)
    google.refuse("PUT", "/session/", google_error(503, "Backend error"), times=1)
    run()
    (made,) = google.builds.values()
    assert made.files["hello"] == content
    spans = [request.headers["content-range"] for request in google.asked("PUT", "/session/")]
    assert spans[1].startswith("bytes */")  # how far it came
    assert len(spans) == 5


def test_an_upload_that_cannot_be_is_given_up(google: CloudDouble, run: Run) -> None:
    google.refuse("PUT", "/session/", google_error(410, "gone"))
    with pytest.raises(BuildToolError, match="did not let archkit upload the source: gone"):
        run()
    assert google.builds == {}


def test_an_upload_that_gets_nowhere_ends(google: CloudDouble, run: Run) -> None:
    google.refuse("PUT", "/session/", Response(308))
    with pytest.raises(BuildToolError, match="takes no more than the first 0 of"):
        run()


def test_what_arrived_must_be_what_was_sent(google: CloudDouble, run: Run) -> None:
    google.refuse("PUT", "/session/", Response(200, {}, b'{"generation": "1", "md5Hash": "x"}'))
    with pytest.raises(BuildToolError, match="holds something else than was sent"):
        run()


def test_equal_folders_are_equal_archives(google: CloudDouble, run: Run) -> None:
    run()
    run()
    first, second = google.builds.values()
    assert first.source == second.source
    names = [made.request["source"]["storageSource"]["object"] for made in (first, second)]
    assert names[0] != names[1]
    assert names[0][:28] == names[1][:28]


def test_the_default_bucket_must_be_the_projects_own(google: CloudDouble, run: Run) -> None:
    google.buckets.clear()
    with pytest.raises(BuildError, match="gcloud storage buckets create gs://team-prod_cloudbuild --project=team-prod"):
        run()
    assert google.asked("POST", "/upload/") == []


def test_a_named_bucket_is_not_looked_for(google: CloudDouble, run: Run) -> None:
    google.buckets.append("mine")
    run(bucket="mine")
    assert google.asked("GET", "/storage/v1/b\\?") == []
    with pytest.raises(BuildToolError, match="make it with `gcloud storage buckets create gs://other"):
        run(bucket="other")


# ---- following -------------------------------------------------------------------------------------------------------


def test_the_log_comes_while_the_build_runs_and_whole(
    google: CloudDouble, archkit_images: ImageFactory, run: Run, events: list[Event]
) -> None:
    seen = threading.Event()

    def slow(made: CloudBuild) -> None:
        made.status = "PENDING"
        made.say("first ")
        made.status = "WORKING"
        made.say("line\nhalf of ")
        assert seen.wait(10)
        made.say("the second\nlast without end")
        pushing(archkit_images)(made)

    google.work = slow

    def watch() -> None:
        for _ in range(500):
            if "first line" in lines(events):
                break
            seen.wait(0.01)
        seen.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    watcher.join()
    said = [line for line in lines(events) if not line.startswith(("upload", "Cloud Build", "build ", "done"))]
    assert said == ["first line", "half of the second", "last without endstep 1: building"]


def test_the_log_comes_from_cloud_logging_where_there_is_no_bucket_for_it(
    google: CloudDouble, archkit_images: ImageFactory, run: Run, events: list[Event]
) -> None:
    def chatty(made: CloudBuild) -> None:
        made.say("".join(f"line {number}\n" for number in range(11)))
        pushing(archkit_images)(made)

    google.work = chatty
    run(logs="cloud-logging")
    said = lines(events)
    assert [line for line in said if line.startswith("line ")] == [f"line {number}" for number in range(11)]
    assert "the log comes from Cloud Logging, some seconds late" in said
    assert google.asked("GET", "archkit-logs") == []


def test_a_log_that_may_not_be_read_is_told_once_and_does_not_end_the_build(google: CloudDouble, run: Run, events: list[Event]) -> None:
    google.refuse("GET", "archkit-logs", google_error(403, "no storage.objects.get access", "PERMISSION_DENIED"))
    assert run().images
    told = [line for line in lines(events) if "the log cannot be read" in line]
    assert len(told) == 1
    assert f"gcloud storage buckets add-iam-policy-binding gs://{BUCKET} --member=user:YOU --role=roles/storage.objectViewer" in told[0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_looking_again_is_patient(google: CloudDouble, run: Run, status: int) -> None:
    google.refuse("GET", "/builds/build-", google_error(status, "later", "UNAVAILABLE"), times=6)
    assert run().images


def test_a_build_of_which_nothing_is_heard_is_given_up(
    google: CloudDouble, archkit_registry: EmbeddedRegistry, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archkit.builders.cloudbuild.running._PATIENCE", 0.0)
    google.work = lambda made: made.cancelled.wait(20)
    google.refuse("GET", "/builds/build-", google_error(503, "later", "UNAVAILABLE"))
    with pytest.raises(BuildToolError, match="did not let archkit look at the build: later"):
        run()
    assert google.builds["build-1"].status == "CANCELLED"
    assert archkit_registry.tags("shop") == []


@pytest.mark.parametrize("state", ["QUEUED", "PENDING", "WORKING", "STATUS_UNKNOWN"])
def test_a_state_that_is_not_the_last_is_waited_out(
    google: CloudDouble, archkit_images: ImageFactory, run: Run, events: list[Event], state: str
) -> None:
    def waits(made: CloudBuild) -> None:
        made.status = state
        threading.Event().wait(0.15)
        pushing(archkit_images)(made)

    google.work = waits
    assert run().images
    assert f"build build-1 is {state}" in lines(events)


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        pytest.param("FAILURE", "failed", "ended with status 3: it broke", id="failure"),
        pytest.param("INTERNAL_ERROR", "failed", "Cloud Build itself failed", id="internal-error"),
        pytest.param("TIMEOUT", "timeout", "ended it after 3600 s", id="timeout"),
        pytest.param("CANCELLED", "failed", "somebody cancelled build build-1", id="cancelled"),
        pytest.param("EXPIRED", "quota-exceeded", "waited in the queue for more than 3600 s", id="expired"),
    ],
)
def test_a_build_that_does_not_succeed_is_an_error_with_its_log(
    google: CloudDouble, archkit_registry: EmbeddedRegistry, run: Run, state: str, kind: str, said: str
) -> None:
    def fails(made: CloudBuild) -> None:
        made.say("one\nit broke\n")
        made.more = {"steps": [*made.request["steps"][:-1], {**made.request["steps"][-1], "status": "FAILURE", "exitCode": 3}]}
        made.status = state

    google.work = fails
    with pytest.raises(BuildToolError, match=said) as caught:
        run()
    assert caught.value.kind == kind
    assert "it broke" in caught.value.log
    assert "see https://console.cloud.google.com/cloud-build/builds/build-1" in str(caught.value)
    assert archkit_registry.tags("shop") == []
    assert google.objects == {}
    assert not google.builds["build-1"].cancelled.is_set()


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        pytest.param("exec /bin/sh: exec format error", "emulation-missing", "binfmt", id="emulation"),
        pytest.param("denied: requested access to the resource is denied", "push-denied", "roles/artifactregistry.writer", id="push"),
        pytest.param("no space left on device", "disk-full", "", id="disk"),
        pytest.param(
            "\x1b[1m[ERROR] Failed to execute goal x:1:build (default-cli) on project p: no main class -> [Help 1]\n[ERROR] see\n\x1b[0m",
            "failed",
            "step build: no main class; see https",
            id="maven",
        ),
    ],
)
def test_the_log_says_why_a_step_failed(google: CloudDouble, run: Run, line: str, kind: str, said: str) -> None:
    def fails(made: CloudBuild) -> None:
        made.say(f"{line}\n")
        made.more = {"steps": [*made.request["steps"][:-1], {**made.request["steps"][-1], "status": "FAILURE"}]}
        made.status = "FAILURE"

    google.work = fails
    with pytest.raises(BuildToolError) as caught:
        run()
    assert caught.value.kind == kind
    assert said in str(caught.value)
    assert isinstance(caught.value, EmulationMissing) == (kind == "emulation-missing")


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        pytest.param(
            google_error(
                403,
                "Cloud Build API has not been used in project 12 before or it is disabled.",
                "PERMISSION_DENIED",
                "SERVICE_DISABLED",
                "cloudbuild.googleapis.com",
            ),
            "api-disabled",
            "gcloud services enable cloudbuild.googleapis.com --project=team-prod",
            id="api-disabled",
        ),
        pytest.param(
            google_error(403, "This API method requires billing to be enabled.", "PERMISSION_DENIED", "BILLING_DISABLED"),
            "billing-disabled",
            "gcloud billing projects link team-prod --billing-account=ACCOUNT",
            id="billing-disabled",
        ),
        pytest.param(
            google_error(403, "The caller does not have permission", "PERMISSION_DENIED"),
            "permission-denied",
            "gcloud projects add-iam-policy-binding team-prod --member=user:YOU --role=roles/cloudbuild.builds.editor",
            id="permission",
        ),
        pytest.param(
            google_error(403, "caller does not have permission to act as service account builder@x", "PERMISSION_DENIED"),
            "permission-denied",
            "gcloud iam service-accounts add-iam-policy-binding builder@x --project=team-prod --member=user:YOU --role=roles/iam.serviceAccountUser",
            id="service-account",
        ),
        pytest.param(
            google_error(429, "Quota exceeded for quota metric 'Concurrent builds'", "RESOURCE_EXHAUSTED"),
            "quota-exceeded",
            "https://console.cloud.google.com/iam-admin/quotas?project=team-prod",
            id="quota",
        ),
        pytest.param(
            google_error(400, "due to quota restrictions, cannot run builds in this region", "FAILED_PRECONDITION"),
            "quota-exceeded",
            "use another region",
            id="region",
        ),
        pytest.param(
            google_error(404, "Requested entity was not found.", "NOT_FOUND"), "failed", "check the project team-prod", id="nothing"
        ),
        pytest.param(google_error(400, "invalid build: bad tag", "INVALID_ARGUMENT"), "failed", "invalid build: bad tag", id="invalid"),
    ],
)
def test_what_google_refuses_is_told_with_what_to_do(
    google: CloudDouble, archkit_registry: EmbeddedRegistry, run: Run, answer: Any, kind: str, said: str
) -> None:
    google.refuse("POST", LOCATION, answer)
    with pytest.raises(BuildToolError) as caught:
        run(service_account="builder@x")
    assert caught.value.kind == kind
    assert said in str(caught.value)
    assert "did not let archkit start a build" in str(caught.value)
    assert google.asked("GET", "/builds") == []  # nothing was started, so nothing is looked for
    assert google.objects == {}
    assert archkit_registry.tags("shop") == []


def test_a_pool_that_may_not_be_used_is_told(google: CloudDouble, run: Run) -> None:
    google.refuse("POST", "/builds", google_error(403, "permission denied on workerpool", "PERMISSION_DENIED"))
    with pytest.raises(BuildToolError, match=r"roles/cloudbuild\.workerPoolUser"):
        run(region="europe-west1", worker_pool="mine")


def test_an_upload_that_is_not_allowed_is_told(google: CloudDouble, run: Run) -> None:
    google.refuse("POST", "/upload/", google_error(403, "x does not have storage.objects.create access"))
    with pytest.raises(BuildToolError, match=r"--role=roles/storage\.objectUser") as caught:
        run()
    assert caught.value.kind == "permission-denied"


def test_buckets_that_may_not_be_listed_need_a_name(google: CloudDouble, run: Run) -> None:
    google.refuse("GET", "/storage/v1/b\\?", google_error(403, "no storage.buckets.list access"))
    with pytest.raises(BuildToolError, match="or name the bucket with CloudBuildBuilder\\(bucket=…\\)"):
        run()


def test_a_start_that_nobody_answered_is_found_again_and_not_repeated(
    google: CloudDouble, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = google.handle
    lost = [True]

    def once(request: Request, number: int = 0) -> Response:
        answer = real(request, number)
        if request.method == "POST" and request.path == LOCATION and lost:
            lost.clear()
            return attrs.evolve(answer, cut=0)
        return answer

    monkeypatch.setattr(google, "handle", once)
    assert run().images
    assert len(google.builds) == 1


# ---- lies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "delivers"),
    [
        pytest.param(DockerRecipe(), "linux/amd64", id="one-of-two"),
        pytest.param(DockerRecipe(per_platform=True), "linux/amd64", id="the-machines-own"),
    ],
)
def test_a_build_that_delivers_something_else_is_caught_before_the_tag_moves(
    google: CloudDouble, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, run: Run, recipe: DockerRecipe, delivers: str
) -> None:
    before = archkit_images.push("shop:v1", "linux/amd64")
    google.work = pushing(archkit_images, delivers)
    with pytest.raises(PlatformNotDelivered, match=r"linux/arm64"):
        run(recipe=recipe)
    assert archkit_registry.contents.manifest(archkit_registry.reference("shop:v1")).digest == before.digest


def test_a_success_without_an_image_is_caught(google: CloudDouble, run: Run) -> None:
    google.work = lambda made: None
    with pytest.raises(BuildError, match=r"ended without an error, but .* is not there"):
        run()


# ---- cancelling ------------------------------------------------------------------------------------------------------


def cancel_when(running: threading.Event, cancel: threading.Event) -> None:
    running.wait(10)
    cancel.set()


@pytest.fixture
def endless(google: CloudDouble) -> threading.Event:
    """Builds run until they are cancelled; set when one runs."""
    running = threading.Event()

    def work(made: CloudBuild) -> None:
        made.status = "WORKING"
        running.set()
        made.cancelled.wait(20)

    google.work = work
    return running


@pytest.mark.parametrize("recipe", [DockerRecipe(), DockerRecipe(per_platform=True)], ids=["one", "each"])
def test_a_cancelled_build_is_cancelled_there_too(
    google: CloudDouble, endless: threading.Event, archkit_registry: EmbeddedRegistry, run: Run, recipe: DockerRecipe
) -> None:
    cancel = threading.Event()
    threading.Thread(target=cancel_when, args=(endless, cancel)).start()
    with pytest.raises(CancelledError):
        run(cancel=cancel, recipe=recipe)
    assert google.builds
    assert {made.status for made in google.builds.values()} == {"CANCELLED"}
    assert google.objects == {}
    assert archkit_registry.tags("shop") == []


def test_a_cancel_before_the_upload_starts_nothing(google: CloudDouble, run: Run) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        run(cancel=cancel)
    assert google.builds == {}
    assert google.objects == {}


def test_a_build_that_could_not_be_cancelled_says_how(google: CloudDouble, endless: threading.Event, run: Run, events: list[Event]) -> None:
    google.refuse("POST", ":cancel", google_error(403, "no", "PERMISSION_DENIED"))
    cancel = threading.Event()
    threading.Thread(target=cancel_when, args=(endless, cancel)).start()
    with pytest.raises(CancelledError):
        run(cancel=cancel)
    assert any("gcloud builds cancel build-1 --project=team-prod --region=global" in line for line in lines(events))


def test_a_build_is_cancelled_when_it_does_not_end_by_itself(
    google: CloudDouble, endless: threading.Event, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archkit.builders.cloudbuild.running._LATE", -2.0)
    with pytest.raises(BuildToolError, match="is still WORKING") as caught:
        run(timeout=1, queue_ttl=1)
    assert caught.value.kind == "timeout"
    assert google.builds["build-1"].status == "CANCELLED"


# ---- before the build ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "options", "said"),
    [
        pytest.param("windows/amd64", {}, "Linux alone", id="windows"),
        pytest.param("linux/amd64", {"recipe": DockerRecipe(dockerfile="../Dockerfile")}, "is not in the source folder", id="outside"),
        pytest.param("linux/amd64", {"recipe": DockerRecipe(dockerfile="nope")}, "cannot be read", id="no-dockerfile"),
        pytest.param("linux/amd64", {"recipe": DockerRecipe(target="nope")}, "has no stage 'nope'", id="no-stage"),
        pytest.param("linux/amd64", {"recipe": DockerRecipe(build_args={"A": Secret("x")})}, "is a secret", id="secret"),
        pytest.param("linux/amd64", {"recipe": JibRecipe()}, "no build file", id="no-build-file"),
        pytest.param("linux/amd64", {"substitutions": {"_A": "1"}}, "nothing uses the substitution", id="substitution"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    google: CloudDouble, run: Run, targets: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BuildError, match=said):
        run(targets, **options)
    assert google.requests == []


def test_a_base_without_the_platform_is_refused(
    google: CloudDouble, project: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, run: Run
) -> None:
    archkit_images.push("base:1", "linux/amd64")
    (project / "Dockerfile").write_text(f"FROM {archkit_registry.host}/base:1\n")
    with pytest.raises(BuildToolError, match="has only linux/amd64") as caught:
        run()
    assert caught.value.kind == "base-lacks-platform"
    with pytest.raises(BuildToolError, match="has only linux/amd64"):
        run(recipe=KoRecipe(base=f"{archkit_registry.host}/base:1"))
    assert google.requests == []


def test_a_cpu_that_nothing_emulates_is_refused(project: Path, run: Run) -> None:
    (project / "Dockerfile").write_text("FROM scratch\nRUN true\n")
    with pytest.raises(EmulationMissing, match="RUN in line 2"):
        run("linux/sparc64")


def test_jib_names_no_variants(project: Path, run: Run) -> None:
    (project / "pom.xml").write_text("<project/>")
    with pytest.raises(BuildError, match="no variants"):
        run("linux/arm/v6", recipe=JibRecipe())


def test_a_registry_on_this_machine_cannot_be_reached_from_google(project: Path) -> None:
    artifact = Artifact("shop", project, builder=CloudBuildBuilder(PROJECT))
    with pytest.raises(BuildError, match="is on this machine, and Cloud Build is not"):
        build(artifact, targets="linux/amd64", sink=RegistrySink("127.0.0.1:1"), tag="v1")


def test_images_go_to_registries_alone(project: Path, tmp_path: Path, builder: Builders) -> None:
    with pytest.raises(BuildError, match="cannot put images into a LayoutSink"):
        build(Artifact("shop", project, builder=builder()), targets="linux/amd64", sink=LayoutSink(tmp_path / "out"), tag="v1")


# ---- the plan and the file -------------------------------------------------------------------------------------------


def test_the_plan_shows_the_request_that_is_sent(
    google: CloudDouble, archkit_registry: EmbeddedRegistry, project: Path, builder: Builders, run: Run
) -> None:
    artifact = Artifact("shop", project, builder=builder())
    planned = Pipeline(artifact, default_repo=archkit_registry.host, tag="v1", requested="linux/amd64,linux/arm64").plan()
    assert google.requests == []
    assert planned.build is not None
    (shown,) = planned.build.builds[0].shown
    head, _, text = shown.partition("\n")
    assert head == f"POST {google.endpoint}{LOCATION}"
    fields = json.loads(text)
    assert head in planned.explain()
    assert '"buildx"' in planned.explain()
    run()
    (made,) = google.builds.values()
    sent = dict(made.request)
    known_later = ("source", "tags")
    assert {key: value for key, value in fields.items() if key not in known_later} == {
        key: value for key, value in sent.items() if key not in known_later
    }
    assert fields["source"]["storageSource"]["bucket"] == BUCKET


def test_the_file_is_the_request_without_a_source(builder: Builders, project: Path) -> None:

    made = builder(machine_type="E2_HIGHCPU_8", recipe=DockerRecipe(build_args={"A": "yes", "B": "5$", "C": "# x: 1"}))
    text = made.to_cloudbuild_yaml("europe-docker.pkg.dev/p/r/shop:1", project, platforms="linux/amd64,linux/arm64")
    fields = YAML(typ="safe", pure=True).load(text)
    checked_build(fields)
    args = fields["steps"][-1]["args"]
    assert args[-4:] == ["--tag", "europe-docker.pkg.dev/p/r/shop:1", "--push", "."]
    assert {"A=yes", "B=5$$", "C=# x: 1"} < set(args)
    assert "source" not in fields
    assert fields["options"]["machineType"] == "E2_HIGHCPU_8"


@pytest.mark.parametrize(
    ("image", "platforms", "recipe", "said"),
    [
        pytest.param("host.example/shop", "linux/amd64", DockerRecipe(), "no tag", id="no-tag"),
        pytest.param("host.example/shop:1", "linux/amd64,linux/arm64", DockerRecipe(per_platform=True), "one platform", id="several"),
        pytest.param("host.example/shop:1", "all", DockerRecipe(), "all were asked", id="all"),
        pytest.param("host.example/shop:1", "windows/amd64", DockerRecipe(), "Linux alone", id="windows"),
    ],
)
def test_a_file_that_would_not_work_is_refused(
    builder: Builders, project: Path, image: str, platforms: str, recipe: DockerRecipe, said: str
) -> None:
    with pytest.raises(BuildError, match=said):
        builder(recipe=recipe).to_cloudbuild_yaml(image, project, platforms=platforms)


def test_why_something_else_was_delivered_is_told(google: CloudDouble, archkit_images: ImageFactory, run: Run) -> None:
    google.work = pushing(archkit_images, "linux/amd64")
    with pytest.raises(PlatformNotDelivered, match="may have built another platform"):
        run("linux/arm64")


def test_findings_are_the_emulated_platforms(project: Path, run: Run) -> None:
    (project / "Dockerfile").write_text("FROM scratch\nRUN true\n")
    found = [finding for finding in run().findings if finding.code == "emulated-build"]
    assert found == [Finding.of("emulated-build", found[0].message, "shop", found[0].hint)]
    assert "linux/arm64 will be built under emulation" in found[0].message
