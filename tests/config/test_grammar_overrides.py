"""Words made of paths and names: Hydra reads back what was meant, whatever it is called."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from seglab.config.composer import open_composer
from seglab.config.language.grammar import literal_word
from seglab.config.language.override import OverrideReader
from seglab.config.overrides import check_overrides
from seglab.core.text.shell import shell_command

ODD = "#&'\";:!~[]{}()$%=,\\`*?<>|@+- \t./aÜ\u0308é0"
# No name of a file holds NUL; lone surrogates stand for bytes that are no UTF-8.
NAMES = st.one_of(
    st.text(st.sampled_from(ODD), min_size=1, max_size=12),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.sampled_from(["null", "true", "1e-3", "0x1", "${seed}", "\\${a}\\", "-", "~", "a b", " a "]),
)


@settings(max_examples=60)
@given(NAMES)
def test_a_configuration_gets_the_very_path(name: str) -> None:
    override = OverridesParser.create().parse_override(literal_word("data.root", Path("/") / name))
    assert not override.is_sweep_override()
    cfg = OmegaConf.create()
    OmegaConf.update(cfg, override.key_or_group, override.value())
    assert OmegaConf.to_container(cfg, resolve=True) == {"data": {"root": str(Path("/") / name)}}


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_the_shell_gets_the_very_words(words: list[str]) -> None:
    assert shlex.split(shell_command(*words)) == words


def test_bash_agrees() -> None:
    words = [ODD, "$HOME", "`id`", "a\nb", "-x", "~", "!!", "*"]
    done = subprocess.run(
        ["bash", "-c", shell_command("printf", "%s\\0", *words)], capture_output=True, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == words


@settings(max_examples=60)
@given(NAMES)
def test_what_needs_quotes_is_answered_with_what_to_type(name: str) -> None:
    text = f"data.root=/data/{name}"
    problems = OverrideReader(None, lambda name: False).read([text], multirun=False)[1]
    if not problems:
        return
    assert len(problems) == 1, "no second fault is found with it"
    _, found, typed = problems[0].partition("as text it is typed ")
    if not found:
        _, found, typed = problems[0].partition("the text as it stands ")
        typed = typed.removesuffix(f"; got {text}")
    assert found
    (word,) = shlex.split(typed)
    assert OverridesParser.create().parse_override(word).value() == f"/data/{name}"


def test_nothing_else_is_said_of_a_path_that_needs_quotes(tmp_path: Path) -> None:
    place = tmp_path / "My Drive (1)" / "v=2, new"
    place.mkdir(parents=True)
    problems = check_overrides("train", ["data=folder", f"data.root={place}"]).problems
    assert len(problems) == 1
    assert problems[0].endswith(f"as text it is typed data.root=\"'{place}'\"")
    # A comma alone: several values to Hydra.
    comma = tmp_path / "a,b"
    comma.mkdir()
    words = ["data=folder", f"data.root={comma}"]
    problems = check_overrides("train", words).problems
    assert len(problems) == 1
    assert f"the text as it stands data.root=\"'{comma}'\"; got" in problems[0]
    problems = OverrideReader(None, lambda name: False).read(words[1:], multirun=True)[1]
    assert len(problems) == 1, "nor are there two folders where there is this one"
    assert "there is such a path" in problems[0]


def test_configurations_are_found_in_any_folder(tmp_path: Path) -> None:
    experiment = tmp_path / "Mu\u0308 (1), v=2: #&'\"" / ";!~[x]{y}$z%d" / "experiment"
    experiment.mkdir(parents=True)
    (experiment / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    checked = check_overrides("train", ["experiment=mine"], search=[experiment.parent])
    assert not checked.problems
    with open_composer("train", search=[experiment.parent]) as composer:
        assert composer.compose(checked.overrides)[0].seed == 7
