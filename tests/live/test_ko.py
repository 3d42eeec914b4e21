"""KoBuilder with the real ko and Go: built for two CPUs, pushed to a real registry, run on both; lies; settings; errors."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distribution_registry
import pytest

from archkit import (
    Artifact,
    BuildError,
    BuildResult,
    BuildToolError,
    CustomBuilder,
    KoBuilder,
    LayoutSink,
    OciLayout,
    PlatformNotDelivered,
    PlatformSet,
    RegistryClient,
    RegistrySink,
    build,
)
from archkit.testing import BasicAuth, EmbeddedRegistry, ImageFactory, RepositoryRules

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

BOTH = "linux/amd64,linux/arm64"
PROJECT = Path(__file__).parent / "projects" / "go"
MAIN = "./cmd/hello"


@pytest.fixture(autouse=True)
def _tools(ko: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ko and Go on PATH; nobody's logins, settings or platform."""
    if not shutil.which("go"):
        pytest.fail("ko needs Go; install it and put it on PATH")
    monkeypatch.setenv("PATH", f"{ko.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in [name for name in os.environ if name.startswith("KO_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def host(docker_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A docker-registry with bases: `base:1` of two platforms, `base:amd64` of one, `base:arm` of 32-bit ARM's variants."""
    with distribution_registry.running(docker_registry, tmp_path_factory.mktemp("registry")) as host, RegistryClient() as client:
        fill(ImageFactory(client), host)
        yield host


@pytest.fixture
def embedded() -> Iterator[EmbeddedRegistry]:
    """A registry that deletes by tag, with the same bases."""
    with EmbeddedRegistry() as registry:
        fill(ImageFactory(registry), registry.host)
        yield registry


def fill(images: ImageFactory, host: str) -> None:
    images.push(f"{host}/base:1", BOTH)
    images.push(f"{host}/base:amd64", ["linux/amd64"])
    images.push(f"{host}/base:arm", ["linux/arm/v6", "linux/arm/v7"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the project, to be changed."""
    return Path(shutil.copytree(PROJECT, tmp_path / "src"))


def artifact(host: str, source: Path = PROJECT, *, image: str = "hello", main: str = MAIN, **options: Any) -> Artifact:
    return Artifact(image, source, builder=KoBuilder(main, **{"base": f"{host}/base:1", **options}))


def run(host: str, what: Artifact, targets: str = BOTH, *, tag: str = "v1", **options: Any) -> BuildResult:
    return build(what, targets=targets, sink=RegistrySink(host), tag=tag, **options)


def said(crane: Path, reference: str, name: str, folder: Path, emulator: Path | None) -> list[str]:
    """What the program of an image prints, pulled by crane and run here, under emulation where it must be."""
    archive = folder / f"{name.replace('/', '_')}.tar"
    subprocess.run([crane, "export", "--platform", name, reference, archive], check=True, timeout=120, capture_output=True)
    with tarfile.open(archive) as opened:
        program = opened.extractfile(next(member for member in opened if member.name.lstrip("/") == "ko-app/hello"))
        assert program is not None
        path = folder / f"{name.replace('/', '_')}.program"
        path.write_bytes(program.read())
    path.chmod(0o755)
    command = [path] if emulator is None else [emulator, path]
    return subprocess.run(command, check=True, timeout=60, capture_output=True, encoding="utf-8").stdout.splitlines()


# ---- built, pushed, run --------------------------------------------------------------------------------------------


def test_both_platforms_in_one_run(host: str, crane: Path, qemu_aarch64: Path, tmp_path: Path) -> None:
    result = run(host, artifact(host, image="both"))

    image = result.images[0]
    assert str(image.platforms) == BOTH
    with RegistryClient() as client:
        assert client.tags(f"{host}/both") == ["v1", "v1_archkit-staging", "v1_linux_amd64", "v1_linux_arm64"]
        assert client.manifest(f"{host}/both:v1").digest == image.digest
    assert [finding.code for finding in result.findings] == ["staging-tag-left"]  # this registry deletes no tags
    for name, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")):
        if platform.machine() != machine and name != "linux/arm64":
            continue  # only arm64 is emulated here
        emulator = None if platform.machine() == machine else qemu_aarch64
        first = said(crane, image.reference, name, tmp_path, emulator)[0]
        assert first == f"Hello world! Running on {name}"


def test_the_same_source_gives_the_same_digest_and_the_staging_tag_goes(embedded: EmbeddedRegistry) -> None:
    first, again = (run(embedded.host, artifact(embedded.host)) for _ in range(2))

    assert first.images[0].digest == again.images[0].digest
    assert list(embedded.tags("hello")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    assert first.findings == again.findings == ()


def test_variants_of_arm(embedded: EmbeddedRegistry) -> None:
    image = run(embedded.host, artifact(embedded.host, base=f"{embedded.host}/base:arm"), "linux/arm/v6,linux/arm/v7").images[0]

    assert str(image.platforms) == "linux/arm/v6,linux/arm/v7"


def test_a_layout(host: str, crane: Path, tmp_path: Path) -> None:
    image = build(artifact(host), targets=BOTH, sink=LayoutSink(tmp_path / "out"), tag="v1").images[0]

    layout = OciLayout(tmp_path / "out")
    assert str(layout.platforms("hello:v1")) == str(image.platforms) == BOTH
    command: list[str | Path] = [crane, "push", "--index", tmp_path / "out", f"{host}/from-layout:1"]  # another reader finds all of it
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def test_settings_reach_the_program_and_the_image(
    host: str, crane: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOOS", "GOARCH", "GOARM", "GOAMD64"):
        monkeypatch.setenv(name, "nonsense")
    (source / ".ko.yaml").write_text(f"defaultBaseImage: {host}/base:1\n")
    built = artifact(
        host,
        source,
        image="ko://example.test/hello/cmd/hello",
        main="",
        base=None,
        ldflags=["-s", "-X main.version=1,2"],
        tags="bright",
        labels={"org.example.note": "a,b"},
        annotations={"org.example.quote": 'say "x"'},
        user="1000:1000",
    )
    image = run(host, built, "linux/amd64").images[0]

    assert image.reference.startswith(f"{host}/example_test_hello_cmd_hello:v1@")
    with RegistryClient() as client:
        manifest = client.manifest(image.reference).document()
        config = client.blob(image.reference, manifest.config.digest).decode()  # type: ignore[union-attr]
        assert manifest.annotations["org.example.quote"] == 'say "x"'
    assert '"org.example.note":"a,b"' in config
    assert '"User":"1000:1000"' in config
    if platform.machine() == "x86_64":
        assert said(crane, image.reference, "linux/amd64", tmp_path, None)[1] == "version 1,2, colours red"


def test_an_sbom_is_pushed_only_where_it_is_wanted(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    run(embedded.host, artifact(embedded.host, sbom="spdx", sbom_dir=tmp_path / "sbom"))

    assert sum(tag.endswith(".sbom") for tag in embedded.tags("hello")) == 3  # of the index and of each image
    assert len(list((tmp_path / "sbom").iterdir())) == 3


# ---- what ko says and does not do ------------------------------------------------------------------------------------


LIES = [
    pytest.param("linux/amd64,linux/s390x", "1", "linux/s390x", "linux/amd64, linux/arm64", id="a platform that the base lacks"),
    pytest.param(BOTH, "amd64", "linux/arm64", "linux/amd64", id="a base of one platform"),
]


@pytest.mark.parametrize(("asked", "base", "lacking", "has"), LIES)
def test_a_lie_is_refused_before_ko_runs(asked: str, base: str, lacking: str, has: str, embedded: EmbeddedRegistry) -> None:
    with pytest.raises(BuildError, match=rf"for {lacking}: .* has only {has};"):
        run(embedded.host, artifact(embedded.host, base=f"{embedded.host}/base:{base}"), asked)

    assert list(embedded.tags("hello")) == []


@pytest.mark.parametrize(("asked", "base", "lacking"), [lie.values[:3] for lie in LIES], ids=[lie.id for lie in LIES])
def test_the_same_lie_told_by_ko_itself_is_found_out(asked: str, base: str, lacking: str, embedded: EmbeddedRegistry, ko: Path) -> None:
    """ko ends with status 0; the final tag is as it was, and the staging tag is gone."""
    before = run(embedded.host, artifact(embedded.host)).images[0].digest
    script = f'KO_DOCKER_REPO="$IMAGE_REPO" {ko} build {MAIN} --platform="$PLATFORMS" --sbom=none --bare --tags="$IMAGE_TAG"'
    env = {"KO_DEFAULTBASEIMAGE": f"{embedded.host}/base:{base}"}
    custom = Artifact("hello", PROJECT, builder=CustomBuilder(shell=script, staged=True, env=env))

    with pytest.raises(PlatformNotDelivered) as caught:
        run(embedded.host, custom, asked)

    assert caught.value.asked == tuple(asked.split(","))
    assert caught.value.delivered == ("linux/amd64",)
    assert lacking in str(caught.value)
    assert embedded.resolve("hello:v1") == before
    assert list(embedded.tags("hello")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]


@pytest.mark.parametrize("key", ["defaultEnv: [GOARCH=amd64]", "builds: [{main: ./cmd/hello, env: [GOARCH=amd64]}]"])
def test_programs_for_another_cpu_than_the_image_says(key: str, embedded: EmbeddedRegistry, source: Path) -> None:
    """A line in .ko.yaml wins over the platform; ko ends with status 0."""
    before = run(embedded.host, artifact(embedded.host)).images[0].digest
    (source / ".ko.yaml").write_text(key)

    with pytest.raises(PlatformNotDelivered, match=r"linux/arm64 starts a program for .*amd64.*\.ko\.yaml"):
        run(embedded.host, artifact(embedded.host, source))

    assert embedded.resolve("hello:v1") == before
    assert list(embedded.tags("hello")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]


def test_a_base_that_loses_a_platform_while_ko_builds(embedded: EmbeddedRegistry) -> None:
    """Between our look at the base and ko's: what was pushed is read back, whatever was seen before."""
    before = run(embedded.host, artifact(embedded.host)).images[0].digest
    with RegistryClient() as client:
        single, whole = (client.manifest(f"{embedded.host}/base:{tag}") for tag in ("amd64", "1"))

        class Store:
            """A look at the base as it was."""

            def __getattr__(self, name: str) -> Any:
                return getattr(client, name)

            def manifest(self, reference: Any) -> Any:
                return whole if str(reference).endswith("base:1") else client.manifest(reference)

        client.put_manifest(f"{embedded.host}/base:1", single)
        with pytest.raises(PlatformNotDelivered, match="ko leaves out what its base lacks"):
            run(embedded.host, artifact(embedded.host, base_store=Store()))

    assert embedded.resolve("hello:v1") == before
    assert "v1_archkit-staging" not in embedded.tags("hello")


# ---- two runs, and registries that differ ----------------------------------------------------------------------------


def test_two_runs_of_one_tag_at_the_same_time(host: str) -> None:
    results: dict[str, BuildResult | BaseException] = {}

    def one(version: str) -> None:
        try:
            results[version] = run(host, artifact(host, image="race", ldflags=f"-X main.version={version}"), tag="race")
        except BaseException as error:  # noqa: BLE001 - shown below
            results[version] = error

    threads = [threading.Thread(target=one, args=(version,)) for version in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    built = [result for result in results.values() if isinstance(result, BuildResult)]
    assert len(built) == 2, results
    digests = {result.images[0].digest for result in built}
    assert len(digests) == 2
    with RegistryClient() as client:
        assert client.manifest(f"{host}/race:race").digest in digests
        assert client.platforms(f"{host}/race:race") == PlatformSet(BOTH)


def test_a_staging_tag_that_cannot_be_written_again(source: Path) -> None:
    """What a registry of immutable tags answers is seen in what ko prints, and the next run does not stumble over it."""
    with EmbeddedRegistry(rules={"hello": RepositoryRules(immutable_tags=True, delete=False)}) as registry:
        fill(ImageFactory(registry), registry.host)
        (source / ".ko.yaml").write_text("defaultEnv: [GOARCH=amd64]")
        with pytest.raises(PlatformNotDelivered):
            run(registry.host, artifact(registry.host, source))
        assert list(registry.tags("hello")) == ["v1_archkit-staging"]
        (source / ".ko.yaml").unlink()

        result = run(registry.host, artifact(registry.host, source))

        assert result.images[0].digest == registry.resolve("hello:v1")
        assert [tag for tag in registry.tags("hello") if "staging" not in tag] == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
        assert sum(tag.startswith("v1_archkit-staging-") for tag in registry.tags("hello")) == 1


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_without_go(host: str, ko: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ko").symlink_to(ko)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    with pytest.raises(BuildToolError, match="ko needs go, which is not installed or not on PATH; ko compiles with Go: install Go"):
        run(host, artifact(host))


def test_without_ko(host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(
        BuildToolError, match=r"ko needs ko, which is not installed or not on PATH; install it, for example with `go install"
    ) as caught:
        run(host, artifact(host))

    assert caught.value.kind == "tool-missing"


def test_a_ko_that_is_too_old(host: str, tmp_path: Path) -> None:
    old = tmp_path / "old-ko"
    old.write_text("#!/bin/sh\necho 0.12.0\n")
    old.chmod(0o755)

    with pytest.raises(BuildToolError, match=r"old-ko is version 0\.12\.0; 0\.15\.4 or later is needed") as caught:
        run(host, artifact(host, program=str(old)))

    assert caught.value.kind == "tool-too-old"


def test_a_push_that_is_denied() -> None:
    with EmbeddedRegistry(rules={"hello": RepositoryRules(denied={"push"})}) as registry:
        fill(ImageFactory(registry), registry.host)
        with pytest.raises(BuildToolError) as caught:
            run(registry.host, artifact(registry.host))

    assert caught.value.kind == "push-denied"
    assert "DENIED" in str(caught.value)


def test_a_sign_in_that_is_refused_to_ko() -> None:
    """archkit has a login of its own here, ko finds none."""
    from archkit import Login, StaticCredentials

    with EmbeddedRegistry(auth=BasicAuth("bob", "secret")) as registry:
        fill(ImageFactory(registry), registry.host)
        with (
            RegistryClient(credentials=StaticCredentials({registry.host: Login("bob", "secret")})) as client,
            pytest.raises(BuildToolError) as caught,
        ):
            run(registry.host, artifact(registry.host), registry=client)

    assert caught.value.kind == "sign-in-refused"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("main", "names"),
    [
        ("./cmd", ["no Go files", "example.test/hello/cmd/hello"]),
        ("./nowhere", ["directory not found", "example.test/hello/cmd/hello"]),
        ("./colours", ["library", "package colours", "example.test/hello/cmd/hello"]),
        ("./...", ["several packages", "example.test/hello/cmd/hello"]),
    ],
)
def test_no_program(main: str, names: list[str], host: str) -> None:
    with pytest.raises(BuildError) as caught:
        run(host, artifact(host, main=main))

    assert [name for name in names if name not in str(caught.value)] == [], str(caught.value)


def test_outside_of_a_module(host: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(BuildError, match=r"go\.mod file not found.*Go module"):
        run(host, artifact(host, tmp_path / "empty", main="."))


def test_a_program_that_does_not_compile(host: str, source: Path) -> None:
    (source / "cmd" / "hello" / "broken.go").write_text("package main\n\nvar x = undefinedName\n")

    with pytest.raises(BuildToolError, match=r"broken\.go:3:9: undefined: undefinedName"):
        run(host, artifact(host, source))


def test_a_base_that_is_not_there(host: str) -> None:
    with pytest.raises(BuildError, match=r"base:absent \(named by KoBuilder\(base=…\)\) cannot be read: .*404"):
        run(host, artifact(host, base=f"{host}/base:absent"))
