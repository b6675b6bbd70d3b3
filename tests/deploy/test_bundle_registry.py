"""The registry: one champion at any moment, whoever is killed and whoever else writes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seglab.bundle.aliases import locate_bundle
from seglab.bundle.sealing import pack
from seglab.cli.main import run
from seglab.core.errors import ConfigError, DataError
from seglab.deploy.predict.launch import shares_of
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.registry.log import LOG
from seglab.deploy.registry.registry import Registry
from tests.bundle.tiny import write_tiny_bundle
from tests.waiting import wait_for

KILLS = Path(__file__).with_name("registry_kills.py")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [write_tiny_bundle(folder / name, name=name) for name in ("first", "second", "third")]


@pytest.fixture(scope="module")
def filled(bundles: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A registry: the second bundle is the champion, the first the previous one, the third rivals."""
    folder = tmp_path_factory.mktemp("filled") / "registry"
    registry, names = Registry(folder), []
    for number, bundle in enumerate(bundles):
        names.append(registry.add(bundle))
        if number < 2:
            registry.promote("challenger", why=f"number {number}")
    return folder, names


@pytest.fixture
def registry(filled: tuple[Path, list[str]], tmp_path: Path) -> Registry:
    return Registry(shutil.copytree(filled[0], tmp_path / "registry"))


@pytest.fixture
def names(filled: tuple[Path, list[str]]) -> list[str]:
    return filled[1]


def test_promotes_and_rolls_back_step_by_step(registry: Registry, names: list[str]) -> None:
    first, second, third = names
    assert registry.aliases == {"champion": second, "challenger": third, "previous": first}
    assert registry.promote("challenger", "better") == third
    assert registry.aliases == {"champion": third, "challenger": None, "previous": second}
    count = len(registry.entries())
    registry.promote(third)  # it is already
    assert len(registry.entries()) == count
    assert registry.rollback("worse at night") == second
    assert registry.aliases == {"champion": second, "challenger": None, "previous": first}
    assert registry.rollback() == first
    with pytest.raises(ConfigError, match="no champion before"):
        registry.rollback()
    with pytest.raises(ConfigError, match="has no challenger"):
        registry.promote("challenger")
    assert registry.problems() == []


def test_tells_the_champion_of_any_time(registry: Registry, names: list[str]) -> None:
    promotions = [one.moment for one in registry.entries() if one.what == "promoted"]
    moments = [promotions[0], promotions[1] - timedelta(microseconds=1), promotions[1]]
    found = [registry.champion_at(moment) for moment in moments]
    assert [one and one.champion for one in found] == [names[0], names[0], names[1]]
    assert registry.champion_at(promotions[0] - timedelta(microseconds=1)) is None
    with pytest.raises(ConfigError, match="still to come"):
        registry.champion_at(datetime.now(UTC) + timedelta(hours=1))


def test_keeps_a_bundle_once_from_folder_and_zip(
    registry: Registry, bundles: list[Path], names: list[str], tmp_path: Path
) -> None:
    lines = (registry.folder / LOG).read_text().splitlines()
    assert registry.add(pack(bundles[2], tmp_path / "third.zip")) == names[2]
    assert (registry.folder / LOG).read_text().splitlines() == lines
    kept = registry.place(names[2])
    assert (kept / "model.onnx").read_bytes() == (bundles[2] / "model.onnx").read_bytes()
    (kept / "model.onnx").write_bytes(b"other")
    assert "model.onnx" in registry.problems()[0]
    with pytest.raises(DataError, match=r"model\.onnx"):
        registry.promote(names[2])
    registry.add(bundles[2])  # mends it
    assert registry.problems() == []


def test_refuses_what_is_no_bundle(registry: Registry, tmp_path: Path, bundles: list[Path]) -> None:
    before = (registry.folder / LOG).read_bytes()
    (tmp_path / "file").write_text("none")
    outside = pack(bundles[0], tmp_path / "outside.zip")
    with zipfile.ZipFile(outside, "a") as archive:
        info = json.loads(archive.read("bundle.json"))
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr(
            "bundle.json",
            json.dumps({**info, "files": {"../away": hashlib.sha256(b"x").hexdigest()}}),
        )
        archive.writestr("../away", b"x")
    for path, words in ((tmp_path / "file", "expected a bundle"), (other, "outside it")):
        with pytest.raises(DataError, match=words):
            registry.add(path)
    assert not (tmp_path / "registry" / "bundles" / "away").exists()
    assert (registry.folder / LOG).read_bytes() == before


def test_compare_and_swap_of_the_champion(registry: Registry, names: list[str]) -> None:
    with pytest.raises(DataError, match="compare again"):
        registry.promote(names[2], instead_of=names[0])
    assert registry.aliases["champion"] == names[1]
    assert registry.promote(names[2], instead_of=names[1]) == names[2]


def test_a_log_cut_off_anywhere_in_its_last_line_is_whole_again(registry: Registry) -> None:
    """A process killed while it writes the line, after the aliases were replaced."""
    registry.promote("challenger", why="ä\nnew line")
    path = registry.folder / LOG
    content, wanted = path.read_bytes(), registry.entries()
    start = content[:-1].rfind(b"\n") + 1
    for end in range(start, len(content) + 1):
        path.write_bytes(content[:end])
        assert registry.entries() == wanted, end
    for end in (start, start + 1, len(content) - 1):
        path.write_bytes(content[:end])
        last = registry.note("refused", wanted[-1].bundle, "next", {})
        assert registry.entries() == [*wanted, last]
        assert registry.problems() == []
        assert path.read_bytes().startswith(content[:end])  # only added to


def test_sees_a_log_that_was_edited(registry: Registry) -> None:
    path = registry.folder / LOG
    lines = path.read_text().splitlines(keepends=True)
    for edited in (
        [*lines[:2], lines[2].replace("number 0", "number 9"), *lines[3:]],
        [*lines[:3], *lines[4:]],
    ):
        path.write_text("".join(edited))
        assert len(registry.problems()) == 1, edited
    path.write_text("".join(lines))
    assert registry.problems() == []


def test_references_stand_for_what_is_promoted(registry: Registry, names: list[str]) -> None:
    place = registry.folder / "bundles"
    assert locate_bundle(f"{registry.folder}@champion") == place / names[1]
    assert locate_bundle(f"{registry.folder}@{names[0]}") == place / names[0]
    odd = shutil.copytree(place / names[0], registry.folder.parent / "b@champion")
    assert locate_bundle(str(odd)) == odd
    words = {"bundle": f"{registry.folder}@champion", "input": "photos", "shards": 2}
    found = [one.words for one in shares_of(PredictFilesOptions.read(words))]
    assert all(f"bundle={place / names[1]}" in one for one in found)  # one for all shares
    for text, said in (
        (f"{registry.folder}@champoin", "did you mean 'champion'"),
        (f"{registry.folder.parent}@champion", "holds no aliases.json"),
        (f"{registry.folder}@../../x", "expected one of"),
        (str(registry.folder.parent / "gone"), "is not there"),
    ):
        with pytest.raises(ConfigError, match=said):
            locate_bundle(text)
    (registry.folder / "aliases.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        locate_bundle(f"{registry.folder}@champion")


def test_commands(bundles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def cli(*words: str) -> tuple[int, str, str]:
        return run([*words]), *capsys.readouterr()

    told = f"registry={tmp_path / 'models'}"
    code, _, said = cli("registry", "list", told)
    assert (code, "seglab registry add" in said) == (2, True)
    assert cli("registry", "add", str(bundles[0]), told)[0] == 0
    assert cli("registry", "promote", told, "why=true")[0] == 0
    code, out, _ = cli("registry", "at", datetime.now(UTC).isoformat(), told)
    name = out.split()[0]
    assert code == 0
    assert out.splitlines()[1].endswith(": true")
    assert cli("registry", "at", "2020-01-01", told)[0] == 1
    assert cli("registry", "at", "yesterday", told)[0] == 2
    _, out, _ = cli("registry", "list", told)
    assert out.startswith(f"{name}  champion")
    assert "promoted by" in cli("registry", "show", told)[1]
    assert cli("registry", "verify", told)[0] == 0
    (tmp_path / "models" / "bundles" / name / "model.onnx").unlink()
    code, _, said = cli("registry", "verify", told)
    assert (code, "model.onnx" in said) == (1, True)
    assert cli("registry", "rollbck")[0] == 2


def test_reads_without_torch_and_onnxruntime() -> None:
    heavy = ("torch", "hydra", "pandas", "onnxruntime", "numpy", "wandb", "mlflow")
    code = (
        "import sys, seglab.cli.production.registry, seglab.deploy.registry.registry,"
        "seglab.deploy.registry.describe; print(sorted(set({heavy!r}) & set(sys.modules)))"
    ).replace("{heavy!r}", repr(heavy))
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.slow
def test_mlflow_shows_what_the_folder_says(
    registry: Registry, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="seglab[mlflow] is not installed")
    monkeypatch.chdir(tmp_path)  # beside a database MLflow keeps artifacts in the working directory
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    words = ["registry", "publish", f"registry={registry.folder}", f"mlflow={uri}", "name=road"]
    for _ in range(2):  # again changes nothing
        assert run(words) == 0
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = client.search_model_versions("name='road'")
        ids = {one.version: one.tags["seglab.bundle"] for one in found}
        assert sorted(ids.values()) == sorted(names)
        aliases = client.get_registered_model("road").aliases
        assert {alias: ids[version] for alias, version in aliases.items()} == registry.aliases
    registry.promote("challenger")
    assert run(words) == 0
    aliases = client.get_registered_model("road").aliases
    assert {alias: ids[version] for alias, version in aliases.items()} == {
        "champion": names[2],
        "previous": names[1],
    }


@pytest.mark.slow
def test_wandb_gets_the_aliases(
    registry: Registry, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline: the artifacts wait in the run's file for `seglab wandb sync`."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    assert run(["registry", "publish", f"registry={registry.folder}", "wandb=road"]) == 0
    (kept,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    words = [word.encode() for word in [*names, *registry.aliases]]
    # W&B's own process writes the file, and may do so after the run ended here.
    wait_for(lambda: all(word in kept.read_bytes() for word in words), 20)


@pytest.mark.slow
@pytest.mark.parametrize("work", ["promote", "rollback", "add"])
def test_killed_at_every_change_of_the_disk(registry: Registry, work: str, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "new", name="new")
    words = [sys.executable, str(KILLS), "calls", str(tmp_path), work]
    points = int(subprocess.check_output(words, text=True))
    assert points > 20


@pytest.mark.slow
def test_killed_at_any_time(registry: Registry, tmp_path: Path) -> None:
    words = [sys.executable, str(KILLS), "times", str(tmp_path), "20"]
    before = len(registry.entries())
    assert int(subprocess.check_output(words, text=True)) > before + 1


@pytest.mark.slow
def test_processes_at_once_take_turns(registry: Registry, bundles: list[Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from seglab.deploy.registry.registry import Registry\n"
        "registry = Registry(Path(sys.argv[1]))\n"
        "for number in range(20):\n"
        "    registry.note('compared', 'b', sys.argv[2], {'number': number})\n"
        "    registry.promote(registry.add(Path(sys.argv[3 + number % 2])))\n"
    )
    before = len(registry.entries())
    words = [sys.executable, "-c", code, str(registry.folder)]
    running = [
        subprocess.Popen([*words, str(number), str(bundles[0]), str(bundles[2])])
        for number in range(2)
    ]
    assert [one.wait(timeout=120) for one in running] == [0, 0]
    noted = [
        (one.why, one.details["number"]) for one in registry.entries() if one.what == "compared"
    ]
    assert sorted(noted) == [(who, number) for who in "01" for number in range(20)]
    assert len(registry.entries()) > before + 40
    assert registry.problems() == []
