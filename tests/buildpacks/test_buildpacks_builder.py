"""BuildpacksBuilder: what pack is told, what is refused before it runs, and what is found out afterwards."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_pack import BOTH, LABEL, after, metadata

from archkit import (
    Artifact,
    BuildError,
    BuildpacksBuilder,
    BuildToolError,
    CancelledError,
    DockerEngine,
    EmulationMissing,
    EngineSink,
    ImageReference,
    LayoutSink,
    Platform,
    PlatformNotDelivered,
    PlatformSet,
    Secret,
    build,
)
from archkit.planning.emulation import BuildMachine
from archkit.testing.processes import Answer

if TYPE_CHECKING:
    from fake_pack import Pack, Run

    from archkit import Event
    from archkit.testing import Call

needs_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="this Python reads no TOML; what is said then has a test of its own")


# ---- what is run -----------------------------------------------------------------------------------------------------


def test_one_run_of_pack_for_each_platform(pack: Pack, run: Run, folder: Path) -> None:
    image = run().images[0]

    host = pack.registry.host
    assert image.platforms == PlatformSet(BOTH)
    assert list(pack.registry.tags("web")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    assert pack.registry.resolve("web:v1") == image.digest
    assert sorted(call.command[2] for call in pack.builds) == [f"{host}/web:v1_linux_amd64", f"{host}/web:v1_linux_arm64"]
    for call in pack.builds:
        assert {"--publish", "--trust-builder"} <= {*call.command}
        assert "--lifecycle-image" not in call.command
        assert after(call, "--pull-policy") == "always"
        assert after(call, "--path") == str(folder)
        assert after(call, "--network") == "host"  # the registry is on this machine
        assert call.command[2].endswith(after(call, "--platform").replace("/", "_"))
        given = ImageReference.parse(after(call, "--builder"))
        assert pack.registry.platforms(given) == PlatformSet(after(call, "--platform"))
        assert call.env["TMPDIR"] != str(folder)
        assert not Path(call.env["TMPDIR"]).exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"run_image": "HOST/run:1"}, ["--run-image", "HOST/run:1"]),
        ({"buildpacks": ["archkit/hello", "from=builder:a/b"]}, ["--buildpack", "archkit/hello", "--buildpack", "from=builder:a/b"]),
        ({"buildpacks": ["https://packs.test/a,b.tgz"], "trust_extra_buildpacks": True}, ["--buildpack", '"https://packs.test/a,b.tgz"']),
        ({"default_process": "worker"}, ["--default-process", "worker"]),
        ({"pull": "if-not-present"}, ["--pull-policy", "if-not-present"]),
        ({"trust_extra_buildpacks": True}, ["--trust-extra-buildpacks"]),
        ({"cache_image": "ghcr.io/team/cache:main"}, ["--cache-image", "ghcr.io/team/cache:main_linux_arm64"]),
        ({"cache_image": "ghcr.io/team/cache"}, ["--cache-image", "ghcr.io/team/cache:latest_linux_arm64"]),
        (
            {"cache": "type=build;format=bind;source=/c/{platform}"},
            ["--cache", "type=build;format=bind;source=/c/linux_arm64"],
        ),
        ({"clear_cache": True}, ["--clear-cache"]),
        ({"network": "mine"}, ["--network", "mine"]),
        ({"volumes": ["/a:/b:rw"]}, ["--volume", "/a:/b:rw"]),
        ({"insecure_registries": "reg.test"}, ["--insecure-registry", "reg.test"]),
        ({"args": "--creation-time=now"}, ["--creation-time=now"]),
    ],
)
def test_what_is_run(options: dict[str, Any], words: list[str], pack: Pack, run: Run) -> None:
    run("linux/arm64", **{name: filled(value, pack) for name, value in options.items()})

    (call,) = pack.builds
    expected = [filled(word, pack) for word in words]
    assert any(list(call.command[at : at + len(expected)]) == expected for at in range(len(call.command))), call.command


def filled(value: Any, pack: Pack) -> Any:
    return value.replace("HOST", pack.registry.host) if isinstance(value, str) else value


def test_caches_are_kept_for_a_repository_and_platform_whatever_the_tag(pack: Pack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PACK_VOLUME_KEY", raising=False)
    run()
    run(more={"tag": "v2"})
    monkeypatch.setenv("PACK_VOLUME_KEY", "key")
    run()

    caches = [tuple(word for word in call.command if word.startswith("type=")) for call in pack.builds]
    assert {*caches[:2]} == {*caches[2:4]}
    assert len({*caches[:2]}) == 2
    assert not {*caches[:2]} & {*caches[4:]}
    for names in caches:
        assert [name.partition(";")[0] for name in names] == ["type=build", "type=launch"]


def test_environment_of_buildpacks_stands_on_no_command_line(pack: Pack, run: Run) -> None:
    run("linux/amd64", env={"BP_JVM_VERSION": "21", "NPM_TOKEN": "hunter2", "HTTP_PROXY": "http://proxy.test"})

    (call,) = pack.builds
    words = [call.command[at + 1] for at, word in enumerate(call.command) if word == "--env"]
    assert words == ["BP_JVM_VERSION", "NPM_TOKEN", "HTTP_PROXY=http://proxy.test"]
    assert (call.env["BP_JVM_VERSION"], call.env["NPM_TOKEN"]) == ("21", "hunter2")
    assert isinstance(call.env["NPM_TOKEN"], Secret)

    with pytest.raises(BuildError, match="the environment variable PACK_TOKEN is a secret"):
        run("linux/amd64", env={"PACK_TOKEN": "hunter2"})


def test_pack_is_not_asked_for_a_platform_by_the_environment(pack: Pack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/s390x")
    run("linux/arm64", host="unix:///run/other.sock")

    (call,) = pack.builds
    assert "DOCKER_DEFAULT_PLATFORM" not in call.env
    assert call.env["DOCKER_HOST"] == "unix:///run/other.sock"


def test_nobody_says_a_platform(pack: Pack, run: Run) -> None:
    assert run(None).images[0].platforms == PlatformSet("linux/amd64")  # the engine's
    assert after(pack.builds[0], "--platform") == "linux/amd64"


def test_an_image_for_the_engine(pack: Pack, run: Run) -> None:
    runner = pack.docker.runner
    image = run("linux/arm64", more={"sink": EngineSink(), "engine": DockerEngine(runner=runner)}, host="unix:///x").images[0]

    assert image.platforms == PlatformSet("linux/arm64")
    (call,) = pack.builds
    assert "--publish" not in call.command
    assert after(call, "--docker-host") == "inherit"
    assert pack.docker.local == {"docker.io/library/web:v1": "linux/arm64"}


# ---- trust -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "listed", "trusts", "own"),
    [
        pytest.param({"trust_builder": True}, "", True, False, id="trusted"),
        pytest.param({"trust_builder": False}, "", False, True, id="not trusted"),
        pytest.param({"trust_builder": None}, "Trusted Builders:\n  HOST/builder\n", True, False, id="trusted by pack's settings"),
        pytest.param({"trust_builder": None}, "Trusted Builders:\n  HOST/builder:2\n", False, True, id="another tag is trusted"),
        pytest.param({"buildpacks": "docker://HOST/run:1"}, "", True, True, id="a buildpack from elsewhere"),
        pytest.param(
            {"buildpacks": "docker://HOST/run:1", "trust_extra_buildpacks": True}, "", True, False, id="a trusted one from elsewhere"
        ),
        pytest.param({"buildpacks": "archkit/hello@0.0.1"}, "", True, False, id="the builder's own buildpack"),
        pytest.param({"buildpacks": "archkit/hello@0.0.2"}, "", True, True, id="another version of it"),
    ],
)
def test_the_lifecycle_image_is_looked_at_where_pack_takes_it(
    options: dict[str, Any], listed: str, trusts: bool, own: bool, pack: Pack, run: Run
) -> None:
    pack.trusts = filled(listed, pack)
    lifecycle = f"{pack.registry.host}/lifecycle:0.20.5"
    run("linux/arm64", lifecycle_image=lifecycle, **{name: filled(value, pack) for name, value in options.items()})

    (call,) = pack.builds
    assert ("--trust-builder" in call.command) == trusts
    assert ("--lifecycle-image" in call.command) == own
    if own:
        assert pack.registry.platforms(ImageReference.parse(after(call, "--lifecycle-image"))) == PlatformSet("linux/arm64")


def test_without_a_word_the_public_lifecycle_image_is_taken(pack: Pack, run: Run) -> None:
    class Store:
        """A registry client that knows of one registry."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def manifest(self, reference: Any) -> Any:
            asked.append(str(reference))
            return client.manifest(str(reference).replace("docker.io/buildpacksio", pack.registry.host))

        def blob(self, reference: Any, *words: Any, **more: Any) -> bytes:
            return client.blob(str(reference).replace("docker.io/buildpacksio", pack.registry.host), *words, **more)

    asked: list[str] = []
    with pack.registry.client() as client:
        run("linux/amd64", trust_builder=False, store=Store())

    assert "docker.io/buildpacksio/lifecycle:0.20.5" in asked
    assert after(pack.builds[0], "--lifecycle-image").startswith("docker.io/buildpacksio/lifecycle@sha256:")


# ---- project.toml ----------------------------------------------------------------------------------------------------


@needs_toml
@pytest.mark.parametrize(
    "text", ['[_]\nschema-version = "0.2"\n[io.buildpacks]\nbuilder = "HOST/builder:1"\n', '[build]\nbuilder = "HOST/builder:1"\n']
)
def test_a_project_descriptor_names_the_builder(text: str, pack: Pack, run: Run, folder: Path) -> None:
    (folder / "app.toml").write_text(filled(text, pack))

    assert run(builder=None, descriptor="app.toml").images[0].platforms == PlatformSet(BOTH)
    assert {after(call, "--descriptor") for call in pack.builds} == {"app.toml"}


@needs_toml
def test_a_buildpack_of_the_descriptor_counts_too(pack: Pack, run: Run, folder: Path) -> None:
    (folder / "project.toml").write_text('[_]\nschema-version = "0.2"\n[[io.buildpacks.group]]\nuri = "https://packs.test/x.tgz"\n')

    with pytest.raises(BuildError, match=r"the lifecycle image HOST/absent:1 cannot be read".replace("HOST", pack.registry.host)):
        run(lifecycle_image=f"{pack.registry.host}/absent:1")


@needs_toml
def test_a_descriptor_that_is_no_toml(run: Run, folder: Path) -> None:
    (folder / "project.toml").write_text("builder: x\n")

    with pytest.raises(BuildError, match=r"the project descriptor \S+project\.toml cannot be read"):
        run()


@needs_toml
def test_a_descriptor_that_pack_does_not_read(run: Run, folder: Path) -> None:
    (folder / "project.toml").write_text('[io.buildpacks]\nbuilder = "x"\n')

    with pytest.raises(BuildError, match=r"names no schema version, so pack does not read its \[io\.buildpacks\]"):
        run(builder=None)


@pytest.mark.parametrize(("text", "message"), [(None, "no builder image is named"), ("", "no builder image is named|Python 3.11")])
def test_no_builder_is_named(text: str | None, message: str, run: Run, folder: Path) -> None:
    if text is not None:
        (folder / "project.toml").write_text(text)

    with pytest.raises(BuildError, match=message):
        run(builder=None)


def test_a_python_that_reads_no_toml(pack: Pack, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "project.toml").write_text("[build]\n")
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))

    run("linux/amd64")  # a builder that is named needs no descriptor
    with pytest.raises(BuildError, match=r"project\.toml can be read by Python 3\.11 and later only.*BuildpacksBuilder\('IMAGE'\)"):
        run("linux/amd64", builder=None)
    assert len(pack.builds) == 1


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (
            "linux/amd64,linux/s390x",
            {},
            r"for linux/s390x: the builder image HOST/builder:1 has only linux/amd64, linux/arm64",
        ),
        (BOTH, {"builder": "HOST/amd64:1"}, r"for linux/arm64: the builder image HOST/amd64:1 has only linux/amd64"),
        (BOTH, {"run_image": "HOST/amd64:1"}, r"for linux/arm64: the run image HOST/amd64:1 has only linux/amd64"),
        (
            BOTH,
            {"trust_builder": False, "lifecycle_image": "HOST/amd64:1"},
            r"for linux/arm64: the lifecycle image HOST/amd64:1 has only linux/amd64",
        ),
        (BOTH, {"builder": "HOST/absent:1"}, r"the builder image HOST/absent:1 cannot be read"),
        (BOTH, {"builder": "a b"}, "the builder image a b is no image reference"),
        (BOTH, {"builder": "HOST/run:1"}, r"HOST/run:1 is no builder image: it has no label"),
        (BOTH, {"builder": "HOST/broken:1"}, r"the label \S+ of the builder image HOST/broken:1 cannot be read"),
        (BOTH, {"builder": "HOST/runless:1"}, "names no run image"),
    ],
)
def test_refused_before_anything_is_built(targets: str, options: dict[str, Any], message: str, pack: Pack, run: Run) -> None:
    pack.images.push("amd64:1", ["linux/amd64"], labels={LABEL: metadata(f"{pack.registry.host}/run:1")})
    pack.images.push("broken:1", BOTH, labels={LABEL: "[]"})
    pack.images.push("runless:1", BOTH, labels={LABEL: json.dumps({"lifecycle": {"version": "1.0.0"}})})

    with pytest.raises(BuildError, match=message.replace("HOST", pack.registry.host)):
        run(targets, **{name: filled(value, pack) for name, value in options.items()})

    assert pack.builds == []
    assert list(pack.registry.tags("web")) == []


def test_an_emulator_is_missing(run: Run, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DockerEngine, "_is_here", staticmethod(lambda _: True))
    with pytest.raises(EmulationMissing, match=r"it runs programs of linux/arm64 \(buildpacks\)"):
        run(machine=BuildMachine(Platform("linux", "amd64")))
    assert pack.builds == []


def test_emulation_is_told(run: Run) -> None:
    (finding,) = run().findings
    assert finding.code == "emulated-build"


def test_the_run_image_of_the_images_own_registry_is_looked_at(pack: Pack, run: Run) -> None:
    pack.images.push("mirror:1", ["linux/amd64"])
    mirrored = metadata("ghcr.io/team/run:1", images=[{"image": "ghcr.io/team/run:1", "mirrors": [f"{pack.registry.host}/mirror:1"]}])
    pack.images.push("mirrored:1", BOTH, labels={LABEL: mirrored})

    with pytest.raises(BuildToolError, match=r"run image \S+/mirror:1 has only linux/amd64") as caught:
        run(builder=f"{pack.registry.host}/mirrored:1")
    assert caught.value.kind == "base-lacks-platform"


@pytest.mark.parametrize(
    "options",
    [
        {"pull": "sometimes"},
        {"cache": "type=build;format=volume;name=mine"},
        {"args": "--platform=linux/amd64"},
        {"args": ["-t", "x"]},
        {"args": "-tx"},
    ],
)
def test_values_that_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pull is one of|cache of its own|archkit gives"):
        BuildpacksBuilder("x", **options)


def test_no_layouts(tmp_path: Path, pack: Pack) -> None:
    with pytest.raises(BuildError, match="cannot put images into a LayoutSink"):
        build(Artifact("web", tmp_path, builder=BuildpacksBuilder("x")), targets=BOTH, sink=LayoutSink(tmp_path / "out"), tag="1")
    assert pack.builds == []


def test_no_cache_image_for_an_engine(run: Run, pack: Pack) -> None:
    with pytest.raises(BuildError, match="a cache image needs an image that goes to a registry"):
        run("linux/amd64", cache_image="x/y", more={"sink": EngineSink(), "engine": DockerEngine(runner=pack.docker.runner)})


# ---- the engine's own images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pull", "local", "message"),
    [
        ("if-not-present", "linux/arm64", None),
        ("if-not-present", "linux/amd64", r"the builder image local:1 in the engine has only linux/amd64"),
        ("never", "linux/amd64", r"the builder image local:1 in the engine has only linux/amd64"),
        ("never", None, r"local:1 is not in the engine, and pull='never'; `docker pull --platform linux/arm64 local:1`"),
        ("if-not-present", None, r"the builder image local:1 cannot be read"),
        ("always", "linux/arm64", r"local:1 is in the engine alone, not in its registry; BuildpacksBuilder\(pull='if-not-present'\)"),
    ],
)
def test_a_builder_that_only_the_engine_has(pull: str, local: str | None, message: str | None, pack: Pack, run: Run) -> None:
    name = f"{pack.registry.host}/local:1"
    pack.labels = {LABEL: metadata(f"{pack.registry.host}/run:1")}
    if local is not None:
        pack.docker.local[name] = local
    if message is None:
        assert run("linux/arm64", builder=name, pull=pull).images[0].platforms == PlatformSet("linux/arm64")
        assert after(pack.builds[0], "--builder") == name
        return
    with pytest.raises(BuildError, match=message.replace("local:1", name)):
        run("linux/arm64", builder=name, pull=pull)
    assert pack.builds == []


def test_an_older_image_in_the_engine_is_not_taken_for_another_platform(pack: Pack, run: Run) -> None:
    """pack itself would build with it: what it is given is the digest of the platform's own image."""
    name = f"{pack.registry.host}/builder:1"
    pack.docker.local[name] = "linux/amd64"

    assert run("linux/arm64", pull="if-not-present").images[0].platforms == PlatformSet("linux/arm64")


@pytest.mark.parametrize(("local", "policy"), [("linux/amd64", "always"), ("linux/arm64", "if-not-present"), (None, "if-not-present")])
def test_an_older_run_image_in_the_engine_is_pulled_again(local: str | None, policy: str, pack: Pack, run: Run) -> None:
    """For images that stay in the engine pack takes the run image by its name."""
    if local:
        pack.docker.local[f"{pack.registry.host}/run:1"] = local
    run("linux/arm64", pull="if-not-present", more={"sink": EngineSink(), "engine": DockerEngine(runner=pack.docker.runner)})

    assert after(pack.builds[0], "--pull-policy") == policy


def test_without_a_docker_client(pack: Pack, run: Run) -> None:
    """pack needs none; what the client would have told is not known."""
    pack.info = None

    result = run()

    assert result.images[0].platforms == PlatformSet(BOTH)
    assert [finding.code for finding in result.findings] == ["emulated-build"]
    assert "cannot be seen from here" in result.findings[0].message


# ---- what is found out -----------------------------------------------------------------------------------------------


def test_a_lie_is_found_out_before_the_tag_moves(pack: Pack, run: Run) -> None:
    before = run().images[0].digest
    pack.delivers = "linux/amd64"

    with pytest.raises(PlatformNotDelivered, match=r"for linux/arm64 and delivered linux/amd64.*run image has changed meanwhile"):
        run()

    assert pack.registry.resolve("web:v1") == before


def test_a_lie_in_the_engine_is_found_out(pack: Pack, run: Run) -> None:
    pack.delivers = "linux/amd64"

    with pytest.raises(PlatformNotDelivered, match="linux/arm64"):
        run("linux/arm64", more={"sink": EngineSink(), "engine": DockerEngine(runner=pack.docker.runner)})
    assert pack.docker.local == {}


def test_without_a_report_the_tag_says_what_was_pushed(pack: Pack, run: Run) -> None:
    def unreported(call: Call) -> Answer:
        done = pack.build(call)
        Path(after(call, "--report-output-dir"), "report.toml").unlink()
        return done

    pack.instead = unreported
    assert run().images[0].platforms == PlatformSet(BOTH)


FAILED = "ERROR: failed to build: executing lifecycle: failed with status code: {}\n"


@pytest.mark.parametrize(
    ("stdout", "stderr", "kind", "names"),
    [
        (
            "[creator] ERROR: failed to create image cache: validating registry write access: PUT x: DENIED: denied\n",
            FAILED.format(1),
            "push-denied",
            ["DENIED", "may push"],
        ),
        ("[creator] ERROR: x: 401 Unauthorized\n", FAILED.format(1), "sign-in-refused", ["401 Unauthorized"]),
        (
            "[detector] ERROR: No buildpack groups passed detection.\n[detector] ERROR: failed to detect: no buildpacks participating\n",
            FAILED.format(20),
            "failed",
            ["no buildpack of the builder fits the folder", "no buildpacks participating", "use a builder for its language"],
        ),
        (
            "===> BUILDING\n[builder] npm: no such package\n[builder] ERROR: failed to build: exit status 7\n",
            FAILED.format(51),
            "failed",
            ["exit status 7", "npm: no such package"],
        ),
        (
            "",
            "ERROR: failed to build: executing lifecycle: exec /cnb/lifecycle/creator: exec format error\n",
            "emulation-missing",
            ["emulator"],
        ),
        (
            "",
            "ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?\n",
            "engine-down",
            ["start the engine"],
        ),
        ("", "ERROR: unknown flag: --report-output-dir\n", "tool-too-old", ["newer version"]),
        ("", "ERROR: something else\n", "failed", ["something else"]),
    ],
)
def test_the_build_fails(stdout: str, stderr: str, kind: str, names: list[str], pack: Pack, run: Run) -> None:
    pack.instead = lambda _: Answer(stdout, stderr, 1)

    with pytest.raises(BuildToolError) as caught:
        run("linux/arm64")

    assert caught.value.kind == kind
    assert caught.value.platform == "linux/arm64"
    assert [name for name in names if name not in str(caught.value)] == [], str(caught.value)
    assert list(pack.registry.tags("web")) == []


def test_pack_is_missing(pack: Pack, run: Run) -> None:
    pack.installed = False

    with pytest.raises(BuildToolError, match=r"buildpacks needs pack, which is not installed.*install it") as caught:
        run()
    assert caught.value.kind == "tool-missing"


def test_pack_is_too_old(pack: Pack, run: Run) -> None:
    pack.version = "0.34.2+git-1.build-1"

    with pytest.raises(BuildToolError, match=r"pack is version 0\.34\.2\S*; 0\.35\.0 or later is needed") as caught:
        run()
    assert caught.value.kind == "tool-too-old"
    assert pack.builds == []


@pytest.mark.parametrize("version", ["0.0.0", "0.35.0+git-1"])
def test_other_versions_will_do(version: str, pack: Pack, run: Run) -> None:
    pack.version = "" if version == "0.0.0" else version  # a build from a working copy says none

    assert run().images[0].platforms == PlatformSet(BOTH)


def test_the_engine_is_down(pack: Pack, run: Run) -> None:
    message = "ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?\n"
    pack.info = Answer("{}", message, 1)

    with pytest.raises(BuildToolError) as caught:
        run()
    assert caught.value.kind == "engine-down"
    assert pack.builds == []


def test_cancel(pack: Pack, run: Run) -> None:
    cancel = threading.Event()

    def cancelled(call: Call) -> Answer:
        assert call.cancel is not None
        cancel.set()
        assert call.cancel.is_set()  # what the runner would see
        raise CancelledError("pack was ended")

    pack.instead = cancelled

    with pytest.raises(CancelledError):
        run(more={"cancel": cancel})
    assert list(pack.registry.tags("web")) == []


def ended(number: str, cache: str, when: str) -> dict[str, Any]:
    """A container of pack, as `docker inspect` tells."""
    volumes = [f"pack-layers-{number}", f"pack-app-{number}", cache, "mine"]
    mounts: list[dict[str, str]] = [{"Type": "volume", "Name": name} for name in volumes]
    config = {"Image": f"pack.local/builder/{number}:latest"}
    return {"Id": number, "Mounts": [*mounts, {"Type": "bind"}], "State": {"FinishedAt": when}, "Config": config}


def test_what_a_killed_run_left_in_the_engine_is_removed(pack: Pack, run: Run) -> None:
    """pack removes its containers itself; those that ended long ago are nobody's. Others than archkit's are let alone."""
    pack.ended = [
        ended("a", "archkit-cache-0-linux_amd64.build", "2026-11-24T19:00:00.5Z"),
        ended("b", "archkit-cache-0-linux_amd64.build", "2026-11-24T19:55:00.5Z"),
        ended("c", "pack-cache-x.build", "2026-11-24T19:00:00.5Z"),
    ]

    run("linux/amd64")

    assert pack.removed == ["rm --force a", "volume rm pack-layers-a", "volume rm pack-app-a", "image rm pack.local/builder/a:latest"]


def test_lines_are_passed_on_with_their_platform(pack: Pack, run: Run) -> None:
    events: list[Event] = []
    run(more={"on_event": events.append})

    told = {str(event.platform) for event in events if event.stage == "progress" and event.message == "===> BUILDING"}
    assert told == {*BOTH.split(",")}
    assert all(call.timeout == 3600.0 for call in pack.builds)
