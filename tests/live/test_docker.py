"""DockerBuilder with real tools, each way: both CPUs built, pushed and run; what the tools do not tell; errors and secrets."""

from __future__ import annotations

import base64
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    Artifact,
    BuildError,
    BuildToolError,
    DockerBuilder,
    DockerEngine,
    EmulationMissing,
    EngineSink,
    FilesBuilder,
    LayoutSink,
    Login,
    OciLayout,
    PlatformNotDelivered,
    PlatformSet,
    RegistryClient,
    RegistrySink,
    Secret,
    StaticCredentials,
    TargetsError,
    build,
)
from archkit.testing import BasicAuth, EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from docker_ways import DockerWay
    from engine import Engine

    from archkit import BuildResult, Event

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="written for an amd64 machine that emulates arm64"),
]

BOTH = "linux/amd64,linux/arm64"
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
HELLO = 'CMD ["-c", "echo Hello world! Running on $(uname -m)"]\n'


@pytest.fixture
def classic(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{engine.client.parent}{os.pathsep}{os.environ['PATH']}")
    return {"host": engine.host}


@pytest.fixture(autouse=True)
def _environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way's settings, and a client that would choose another platform by itself."""
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/s390x")
    if "way" in request.fixturenames:
        for name, value in request.getfixturevalue("way").environ.items():
            monkeypatch.setenv(name, value)


def source(folder: Path, dockerfile: str) -> Path:
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "Dockerfile").write_text(dockerfile)
    return folder / "src"


def run(host: str, folder: Path, options: dict[str, Any], targets: str | None = BOTH, *, image: str = "app", **more: Any) -> BuildResult:
    what = Artifact(image, folder, builder=DockerBuilder(**options))
    return build(what, **{"targets": targets, "sink": RegistrySink(host), "tag": "v1", **more})


def test_hello_runs_on_both(way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    events: list[Event] = []
    folder = source(tmp_path, f"FROM {busybox_bases}/base:1\n{HELLO}")
    image = run(busybox_bases, folder, way.options, image=f"hello-{way.name}", on_event=events.append).images[0]
    assert image.platforms == PlatformSet(BOTH)
    for name, cpu in MACHINES.items():
        assert engine.run(image.reference, name) == f"Hello world! Running on {cpu}\n"
    with RegistryClient() as client:
        tags = client.tags(f"{busybox_bases}/hello-{way.name}")
    assert tags == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    if way.name != "buildkit":
        stages = [(event.work, event.stage, str(event.platform)) for event in events if event.work == "push"]
        assert sorted(stages) == sorted(("push", stage, name) for name in MACHINES for stage in ("started", "finished"))


def test_run_under_emulation(way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, f'FROM {busybox_bases}/base:1\nRUN uname -m > /made-on\nCMD ["-c", "cat /made-on"]\n')
    result = run(busybox_bases, folder, way.options, image=f"emulated-{way.name}")
    for name, cpu in MACHINES.items():
        assert engine.run(result.images[0].reference, name) == f"{cpu}\n"
    (finding,) = [finding for finding in result.findings if finding.code == "emulated-build"]
    assert "linux/arm64" in finding.message


CROSS = """\
FROM --platform=$BUILDPLATFORM {host}/base:1 AS build
ARG TARGETARCH
RUN echo "made on $(uname -m) for $TARGETARCH" > /made
FROM {host}/base:1
COPY --from=build /made /made
CMD ["-c", "cat /made; uname -m"]
"""


def test_cross_compiling_needs_no_emulation(way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, CROSS.format(host=busybox_bases))
    if way.name == "classic":
        with pytest.raises(BuildToolError, match=r"line 1 of Dockerfile uses --platform=\$BUILDPLATFORM, which needs BuildKit") as error:
            run(busybox_bases, folder, way.options)
        assert error.value.kind == "tool-missing"
        return
    result = run(busybox_bases, folder, way.options, image=f"cross-{way.name}")
    for name, cpu in MACHINES.items():
        assert engine.run(result.images[0].reference, name) == f"made on x86_64 for {name.partition('/')[2]}\n{cpu}\n"
    assert result.findings == ()


def test_one_platform_is_the_one_that_was_asked(way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, f"FROM {busybox_bases}/base:1\n{HELLO}")
    image = run(busybox_bases, folder, way.options, "linux/arm64", image=f"one-{way.name}").images[0]
    assert image.platforms == PlatformSet("linux/arm64")
    assert engine.run(image.reference, "linux/arm64") == "Hello world! Running on aarch64\n"


def test_nobody_says_a_platform(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, f"FROM {busybox_bases}/base:1\n{HELLO}")
    image = run(busybox_bases, folder, way.options, image=f"default-{way.name}", targets=None).images[0]
    assert image.platforms == PlatformSet("linux/amd64")


# ---- what the tools do not tell --------------------------------------------------------------------------------------


def test_an_old_local_base_of_another_cpu_is_not_taken(classic: dict[str, Any], engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    engine.docker("pull", "--platform", "linux/amd64", f"{busybox_bases}/base:1")
    folder = source(tmp_path, f"FROM {busybox_bases}/base:1\n{HELLO}")
    image = run(busybox_bases, folder, classic, "linux/arm64", image="pulled").images[0]
    assert image.platforms == PlatformSet("linux/arm64")

    engine.docker("pull", "--platform", "linux/amd64", f"{busybox_bases}/base:1")
    with pytest.raises(PlatformNotDelivered, match="was asked to build pulled for linux/arm64 and delivered linux/amd64"):
        run(busybox_bases, folder, {**classic, "pull": False}, "linux/arm64", image="pulled", tag="v2")
    with RegistryClient() as client:
        assert [tag for tag in client.tags(f"{busybox_bases}/pulled") if tag.startswith("v2")] == []


class Blind:
    """Nobody can say which platforms a base has."""

    def platforms(self, reference: object, /) -> None:
        return None


def test_a_base_of_one_platform_is_found_before_the_build(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, f"FROM {busybox_bases}/base:amd64\n{HELLO}")
    with pytest.raises(BuildToolError, match=r"base:amd64 \(line 1 of Dockerfile\) has only linux/amd64, linux/arm64 is needed") as error:
        run(busybox_bases, folder, way.options, image=f"lies-{way.name}")
    assert (error.value.kind, error.value.platform) == ("base-lacks-platform", "linux/arm64")


def test_a_base_of_one_platform_that_nobody_looked_at_is_caught_before_the_tag_moves(
    way: DockerWay, busybox_bases: str, tmp_path: Path
) -> None:
    """Every way ends with status 0: the classic builder with an amd64 image, BuildKit with an amd64 program labelled arm64."""
    good = source(tmp_path, f"FROM {busybox_bases}/base:1\n{HELLO}")
    image = f"unseen-{way.name}"
    before = run(busybox_bases, good, way.options, image=image).images[0]
    folder = source(tmp_path, f"FROM {busybox_bases}/base:amd64\n{HELLO}")
    with pytest.raises(PlatformNotDelivered) as error:
        run(busybox_bases, folder, {**way.options, "lookup": Blind()}, image=image)
    found = "linux/amd64" if way.name == "classic" else "linux/arm64 with a program for amd64"
    assert (error.value.platform, error.value.delivered) == ("linux/arm64", (found,))
    with RegistryClient() as client:
        now = client.head(f"{busybox_bases}/{image}:v1")
    assert now is not None
    assert now.digest == before.digest


def test_a_program_that_nothing_runs_is_found_before_the_build(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    with RegistryClient() as client:
        ImageFactory(client).push(f"{busybox_bases}/base:strange", ["linux/s390x"])
    folder = source(tmp_path, f'FROM {busybox_bases}/base:strange\nRUN ["/bin/sh"]\n')
    with pytest.raises(EmulationMissing, match="RUN in line 2 of Dockerfile") as error:
        run(busybox_bases, folder, way.options, "linux/s390x")
    assert "tonistiigi/binfmt --install s390x" in str(error.value)


def test_exec_format_error_gets_the_same_advice(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    """A base that says amd64 and holds a program of a CPU that nothing here runs."""
    strange = tmp_path / "strange"
    strange.mkdir()
    program = strange / "sh"
    program.write_bytes(b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x02\x00\x16" + bytes(100))
    program.chmod(0o755)
    base = Artifact("mislabelled", strange, builder=FilesBuilder(env={"PATH": "/"}, labels={"a": "b"}, entrypoint=["/none"]))
    build(base, targets="linux/amd64", sink=RegistrySink(busybox_bases), tag="1")
    folder = source(tmp_path, f'FROM {busybox_bases}/mislabelled:1\nRUN ["/sh"]\n')
    with pytest.raises(EmulationMissing) as error:
        run(busybox_bases, folder, way.options, "linux/amd64")
    assert error.value.kind == "emulation-missing"
    assert "exec format error" in str(error.value)


# ---- other places ----------------------------------------------------------------------------------------------------


def test_a_layout(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, f"FROM {busybox_bases}/base:1\n{HELLO}")
    options: dict[str, Any] = {"sink": LayoutSink(tmp_path / "out")}
    if way.name != "buildkit":
        with pytest.raises(BuildError, match="cannot put images into a LayoutSink"):
            run(busybox_bases, folder, way.options, **options)
        return
    run(busybox_bases, folder, way.options, **options)
    assert OciLayout(tmp_path / "out").platforms("app:v1") == PlatformSet(BOTH)


def test_the_engine(way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, f"FROM {busybox_bases}/base:1\n{HELLO}")
    options: dict[str, Any] = {"sink": EngineSink(), "engine": DockerEngine(host=engine.host)}
    image = f"local-{way.name}"
    made = run(busybox_bases, folder, way.options, "linux/arm64", image=image, **options).images[0]
    assert made.platforms == PlatformSet("linux/arm64")
    printed = engine.docker("run", "--rm", "--network", "none", "--platform", "linux/arm64", f"{image}:v1").stdout
    assert printed == "Hello world! Running on aarch64\n"
    assert engine.docker("image", "ls", "--format", "{{.Tag}}", image).stdout.split() == ["v1"]
    with pytest.raises((TargetsError, BuildError)):
        run(busybox_bases, folder, way.options, BOTH, image=image, **options)


# ---- options and secrets ---------------------------------------------------------------------------------------------

TOKEN = "hunter2-and-more"
OPTIONS = """\
FROM {host}/base:1 AS first
ARG TOKEN
ARG VERSION
RUN echo "token $TOKEN version $VERSION"; echo "$VERSION" > /version
CMD ["-c", "cat /version"]
FROM first AS last
CMD ["-c", "echo last"]
"""


def test_options_pass_through_and_secrets_show_nowhere(
    way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "Other").write_text(OPTIONS.format(host=busybox_bases))
    events: list[Event] = []
    options = {
        **way.options,
        "dockerfile": "Other",
        "target": "first",
        "build_args": {"TOKEN": TOKEN, "VERSION": "1.2.3"},
        "labels": {"org.example.a": "b c"},
    }
    result = run(busybox_bases, tmp_path / "src", options, image=f"options-{way.name}", on_event=events.append)
    assert engine.run(result.images[0].reference, "linux/arm64") == "1.2.3\n"
    label = engine.docker("image", "inspect", "--format", "{{.Config.Labels}}", result.images[0].reference).stdout
    assert label == "map[org.example.a:b c]\n"
    said = "\n".join(event.message for event in events)
    assert "token *** version 1.2.3" in said
    assert TOKEN not in f"{said}{caplog.text}{result}{DockerBuilder(**{**options, 'build_args': {'TOKEN': Secret(TOKEN)}})}"


def test_a_failure_names_the_line_and_no_secret(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    text = f'FROM {busybox_bases}/base:1\nARG TOKEN\nRUN echo "it is $TOKEN" >&2; exit 7\n'
    options = {**way.options, "build_args": {"TOKEN": TOKEN}}
    with pytest.raises(BuildToolError) as error:
        run(busybox_bases, source(tmp_path, text), options)
    assert "it is ***" in error.value.log
    assert TOKEN not in f"{error.value!r}{error.value}"


def test_a_mounted_secret(way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    text = f'FROM {busybox_bases}/base:1\nRUN --mount=type=secret,id=key test "$(cat /run/secrets/key)" = "{TOKEN}"\n{HELLO}'
    folder = source(tmp_path, text)
    options = {**way.options, "secrets": {"key": TOKEN}}
    if way.name == "classic":
        with pytest.raises(BuildToolError, match="secrets: only BuildKit can do that"):
            run(busybox_bases, folder, options)
        return
    (tmp_path / "key").write_text(TOKEN)
    run(busybox_bases, folder, options, image=f"secret-{way.name}")
    run(busybox_bases, folder, {**options, "secrets": {"key": tmp_path / "key"}}, image=f"secret-{way.name}", tag="v2")


def test_attestations_are_kept(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, f"FROM {busybox_bases}/base:1\n{HELLO}")
    options = {**way.options, "provenance": True, "annotations": {"index:org.example.a": "b"}}
    if way.name != "buildkit":
        with pytest.raises(BuildToolError, match="provenance"):
            run(busybox_bases, folder, options)
        return
    image = run(busybox_bases, folder, options, image="attested").images[0]
    with RegistryClient() as client:
        raw = client.manifest(image.reference)
    assert b"attestation-manifest" in raw.content
    assert b"org.example.a" in raw.content
    assert image.platforms == PlatformSet(BOTH)


def test_caches_of_each_platform(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    folder = source(tmp_path, f"FROM {busybox_bases}/base:1\nRUN uname -m\n{HELLO}")
    options = {**way.options, "cache_to": f"type=local,dest={tmp_path}/cache-{{platform}}", "cache_from": []}
    if way.name != "buildkit":
        with pytest.raises(BuildToolError, match=r"cache_to: only BuildKit|Cache export is not supported for the docker driver"):
            run(busybox_bases, folder, options)
        return
    run(busybox_bases, folder, options, image="cached")
    assert (tmp_path / "cache-linux_amd64-linux_arm64" / "index.json").is_file()


def test_signing_in(way: DockerWay, tmp_path: Path) -> None:
    """With the client's own login; without it, the error says so. The password shows nowhere."""
    password = "open-sesame-17"
    encoded = base64.b64encode(f"bob:{password}".encode()).decode()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    settings = Path(way.environ["DOCKER_CONFIG"]) / "config.json"
    before = settings.read_bytes() if settings.exists() else None
    events: list[Event] = []
    with EmbeddedRegistry(auth=BasicAuth("bob", password)) as registry:
        client = RegistryClient(credentials=StaticCredentials({registry.host: Login("bob", password)}))
        options: dict[str, Any] = {"registry": client, "on_event": events.append}
        try:
            with client, pytest.raises(BuildToolError) as error:
                run(registry.host, tmp_path / "src", way.options, **options)
            assert error.value.kind == "sign-in-refused"
            settings.write_text(json.dumps({"auths": {registry.host: {"auth": encoded}}}))
            assert run(registry.host, tmp_path / "src", way.options, **options).images[0].platforms == PlatformSet(BOTH)
        finally:
            settings.unlink(missing_ok=True)
            if before is not None:
                settings.write_bytes(before)
    said = "\n".join(event.message for event in events)
    assert not [secret for secret in (password, encoded) if secret in f"{said}{error.value!r}{error.value.log}"]


# ---- what is missing -------------------------------------------------------------------------------------------------


def test_no_engine(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{docker.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(BuildToolError, match=r"Cannot connect|failed to connect") as error:
        run("localhost:1", source(tmp_path, "FROM scratch\n"), {"host": f"unix://{tmp_path}/none.sock"})
    assert error.value.kind == "engine-down"
    assert "start the engine" in str(error.value)


def test_no_such_builder(way: DockerWay, busybox_bases: str, tmp_path: Path) -> None:
    options = {**way.options, "builder": "nobodys"}
    with pytest.raises(BuildToolError) as error:
        run(busybox_bases, source(tmp_path, "FROM scratch\n"), options)
    assert error.value.kind == ("tool-missing" if way.name == "classic" else "builder-missing")
    assert "buildx" in str(error.value)
