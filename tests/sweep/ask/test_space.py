"""Texts in Hydra's grammar become distributions; what is suggested becomes words that Hydra reads back."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from seglab.config.compose import compose
from seglab.config.composer import open_composer
from seglab.config.language.domains import (
    Choices,
    Numbers,
    group_options,
    listed_size,
    read_domain,
    take,
)
from seglab.config.language.grammar import (
    read_scalar,
    read_value,
    scalar_of,
    write_scalar,
    write_value,
)
from seglab.core.errors import ConfigError
from seglab.sweep.ask.space import parse_space, suggest


def values_of_hydra(text: str) -> list[Any]:
    """What Hydra's own sweeper would set a key to, one after the other."""
    override = OverridesParser.create().parse_override(f"key={text}")
    return [read_value(one) for one in override.sweep_string_iterator()]


def draw(space: dict[str, str], count: int = 40, **options: Any) -> list[list[str]]:
    """Words of trials at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = parse_space(space)
    return [suggest(study.ask(), distributions, **options) for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0.5, 2)", FloatDistribution(0.5, 2.0)),
        ("interval(1, 64)", FloatDistribution(1.0, 64.0)),
        ("tag(log, interval(1e-4, 1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("int(interval(1, 64))", IntDistribution(1, 64)),
        ("tag(log, int(interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("int(tag(log, interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("float(int(interval(1, 3)))", FloatDistribution(1.0, 3.0)),
        ("range(1, 5)", IntDistribution(1, 4)),
        ("range(0, 10, 3)", IntDistribution(0, 9, step=3)),
        ("range(0, 9, 3)", IntDistribution(0, 6, step=3)),
        ("range(10, 0, -3)", IntDistribution(1, 10, step=3)),
        ("sort(range(1, 5), reverse=true)", IntDistribution(1, 4)),
        ("shuffle(range(1, 5))", IntDistribution(1, 4)),
        ("float(range(1, 4))", FloatDistribution(1.0, 3.0, step=1.0)),
        ("range(0.1, 0.5, 0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("tag(log, range(1, 65))", IntDistribution(1, 64, log=True)),
        ("4,8,16", CategoricalDistribution((4, 8, 16))),
        ("choice(4, 8)", CategoricalDistribution((4, 8))),
        ("choice(unet)", CategoricalDistribution(("unet",))),
        ("sort(3,1,2)", CategoricalDistribution((1, 2, 3))),
        ("shuffle(3,1,2)", CategoricalDistribution((3, 1, 2))),
        ("null,0.5,true", CategoricalDistribution((None, 0.5, True))),
        ("int(1.5,2.5)", CategoricalDistribution((1, 2))),
        ("[64,32],[8]", CategoricalDistribution(("[64,32]", "[8]"))),
        ("{a:1},{a:2}", CategoricalDistribution(("{a:1}", "{a:2}"))),
        ("'1',1", CategoricalDistribution(("'1'", 1))),
        ("'a,b',a b", CategoricalDistribution(("'a,b'", "a b"))),
    ],
)
def test_text_becomes_the_distribution_it_says(
    text: str, expected: optuna.distributions.BaseDistribution
) -> None:
    assert parse_space({"key": text}) == {"key": expected}


@pytest.mark.parametrize(
    "text", ["range(1, 5)", "range(0, 9, 3)", "range(10, 0, -3)", "range(2, 3)"]
)
def test_the_stop_of_a_range_is_left_out_as_in_hydra(text: str) -> None:
    """The public plugin takes the stop in; nobody notices the value that was not asked for."""
    distribution = parse_space({"key": text})["key"]
    assert isinstance(distribution, IntDistribution)
    drawn = range(distribution.low, distribution.high + 1, distribution.step)

    assert sorted(drawn) == sorted(values_of_hydra(text))


def test_the_stop_of_a_range_of_floats_is_left_out_where_hydra_slips() -> None:
    # Hydra adds the binary 0.1 up, which stays below 0.4 and so lets the stop in.
    assert values_of_hydra("range(0.1, 0.4, 0.1)")[-1] == 0.4
    assert parse_space({"key": "range(0.1, 0.4, 0.1)"})["key"].high == 0.3  # type: ignore[attr-defined]
    for start, step, count in itertools.product((0.0, 0.1, 0.7), (0.1, 0.25, 0.05), (1, 3, 7)):
        stop = round(start + count * step, 10)
        domain, problems = read_domain("key", f"range({start}, {stop}, {step})", group_options)
        assert problems == []
        assert listed_size(domain) == count  # type: ignore[arg-type]


def test_glob_takes_the_choices_of_a_group() -> None:
    assert parse_space({"model": "glob(segnet*)"}) == {
        "model": CategoricalDistribution(("segnet", "segnet_basic"))
    }
    models = group_options("model")
    with open_composer("train"):
        assert group_options("model") == models  # as Hydra's own loader lists them
    left = parse_space({"model": "glob(*, exclude=u*)"})["model"]
    assert isinstance(left, CategoricalDistribution)
    assert list(left.choices) == [name for name in models if not name.startswith("u")]


WRONG = {
    "interval(3, 1)": "expected interval(low, high) with low <= high, got interval(3.0, 1.0)",
    "interval(0, inf)": "expected finite numbers, got interval(0.0, inf)",
    "tag(log, interval(0, 1))": "a logarithmic scale needs numbers above 0, got interval(0.0, 1.0)",
    "tag(log, range(1, 9, 2))": "a logarithmic scale has no steps, got range(1, 9, 2); use tag(log, "
    "interval(low, high))",
    "tag(log, choice(1, 2))": "tag(log, ...) goes with numbers: interval(low, high) or "
    "range(start, stop)",
    "tag(lgo, interval(1, 2))": "unknown tag 'lgo' (did you mean 'log'?); the only one is log",
    "range(3, 3)": "range(3, 3, 1) holds no value; the stop is left out",
    "range(5, 1)": "range(5, 1, 1) holds no value; the stop is left out",
    "range(1, 2, 0)": "expected a step other than 0, got range(1, 2, 0)",
    "choice(null, 1)": "cannot be read, got choice(null, 1): choice(...) takes no null; write the "
    "values with commas alone, such as null,1",
    "interval(1": "cannot be read, got interval(1: no viable alternative at input 'interval(1'",
    "choice(a, a)": "the same value twice: 'a'",
    "1,1.0": "1 and 1.0 cannot be told apart",
    "1,true": "1 and true cannot be told apart",
    "unet": "expected several values such as choice(4, 8), range(1, 5) or tag(log, interval(1e-4, "
    "1e-1)), got unet; what stays the same is given as a word of its own, {key}=unet",
    "glob(s*)": "glob(...) takes the choices of a group, and there is no group '{key}'",
}


def test_all_mistakes_of_a_space_come_at_once() -> None:
    space = {f"k{index}": text for index, text in enumerate(WRONG)}
    with pytest.raises(ConfigError) as caught:
        parse_space(space | {"good": "1,2", "free": "1,2"}, fixed=["free", "other"])

    assert caught.value.problems == [
        f"study.space.{key}: {WRONG[text].replace('{key}', key)}" for key, text in space.items()
    ] + [
        "free: the study searches it, so it cannot be fixed; leave the override out, or begin with "
        "study=default and name all that is searched on the command line"
    ]


def test_text_is_asked_for() -> None:
    with pytest.raises(
        ConfigError, match=r"study\.space\.key: expected text such as .*, got \[4, 8\]"
    ):
        parse_space({"key": [4, 8]})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "key",
    [
        "study.n_trials",
        "hydra.job.num",
        "monitor.metric",
        "paths.data_dir",
        "experiment_name",
        "hydra/launcher",
        "resume",
    ],
)
def test_what_all_trials_share_is_not_searched(key: str) -> None:
    with pytest.raises(ConfigError, match="cannot be searched: "):
        parse_space({key: "a,b"})


def test_nested_keys_mean_the_same_as_dotted_ones() -> None:
    nested: Any = {"optimizer": {"lr": "interval(1, 2)"}, "optimizer.name": "a,b"}
    assert list(parse_space(nested)) == ["optimizer.lr", "optimizer.name"]
    nested["optimizer.lr"] = "interval(1, 3)"
    with pytest.raises(ConfigError, match=r"study\.space\.optimizer\.lr: given twice"):
        parse_space(nested)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(
        [
            "null",
            "True",
            "1",
            "1e3",
            "a,b",
            "a b",
            "[1]",
            "{a:1}",
            "${x}",
            "choice(1,2)",
            "C:\\new",
            "it's",
            '"',
            "\\",
            "",
            " ",
            "a=b",
            "inf",
            "glob(*)",
        ]
    ),
)
VALUES = st.one_of(SCALARS, st.lists(st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4))


@given(value=VALUES)
def test_every_value_comes_back_from_its_text(value: Any) -> None:
    back = read_value(write_value(value))

    assert repr(back) == repr(value)  # with the types, and the sign of a zero


@given(value=VALUES)
def test_what_a_search_holds_is_what_is_written(value: Any) -> None:
    held = scalar_of(value)

    assert held is None or isinstance(held, bool | int | float | str)
    assert repr(read_value(write_scalar(held))) == repr(value)
    assert repr(read_scalar(held)) == repr(value)


@given(number=st.floats(min_value=5e-324, max_value=1e308))
def test_floats_keep_every_digit(number: float) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial({"optimizer.lr": number})
    space = parse_space({"optimizer.lr": "interval(0, 1e308)"})
    trial = study.ask()
    (word,) = suggest(trial, space)
    read = OverridesParser.create().parse_override(word).value()

    assert isinstance(read, float)
    assert read == number == trial.params["optimizer.lr"]


def test_mapping_and_array_scalars_are_written() -> None:
    import numpy as np

    assert write_value({"a": [1, "x y"], "b c": None}) == "{a:[1,'x y'],b\\ c:null}"
    assert write_value(np.float64(0.1)) == "0.1"
    assert write_value((1, 2)) == "[1,2]"
    assert write_value(np.array([1, 2])) == "[1,2]"
    for nothing in (object(), {"1": 2}, [object()]):
        with pytest.raises(ConfigError, match="expected text, a number"):
            write_value(nothing)


def test_words_of_a_trial_compose_to_what_was_chosen() -> None:
    space = {
        "model": "unet,linknet",
        "optimizer.lr": "tag(log, interval(1e-4, 1e-1))",
        "data.crop_size": "[64,96],[96,64]",
        "data.batch_size": "range(2, 9, 2)",
        "notes": "'a, b',null and void,'1'",
        "model.options.decoder_use_norm": "true,batchnorm",
        "optimizer.weight_decay": "0.0,0.01",
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    distributions = parse_space(space)
    for _ in range(3):
        trial = study.ask()
        words = suggest(trial, distributions)
        with open_composer("train") as composer:
            cfg, choices = composer.compose(words)

        assert list(trial.params) == list(space)
        assert choices["model"] == trial.params["model"]
        assert cfg.optimizer.lr == trial.params["optimizer.lr"]
        assert (
            f"[{cfg.data.crop_size[0]},{cfg.data.crop_size[1]}]" == trial.params["data.crop_size"]
        )
        assert cfg.data.batch_size == trial.params["data.batch_size"]
        assert cfg.notes == trial.params["notes"].strip("'")
        assert cfg.model.options.decoder_use_norm == trial.params["model.options.decoder_use_norm"]
        assert "++optimizer.weight_decay=" in " ".join(words)
    assert (
        compose(words).optimizer.lr == trial.params["optimizer.lr"]
    )  # and the check lets them pass


def test_suggestions_stay_in_the_space_and_reach_its_ends() -> None:
    space = {"model.width": "range(8, 33, 8)", "+preset": "a,b", "seed": "int(interval(0, 3))"}
    words = draw(space, 60)
    columns = zip(*words, strict=True)
    drawn = [{word.partition("=")[2] for word in column} for column in columns]

    assert drawn == [{"8", "16", "24", "32"}, {"a", "b"}, set("0123")]
    assert words[0][0].startswith("++model.width=")
    assert words[0][1].startswith("+preset=")  # a group that is in no defaults list
    assert words[0][2].startswith("seed=")


def test_domain_takes_what_it_holds() -> None:
    whole, real = Numbers(2, 8, 2), Numbers(0.5, 1.5, None, True)
    assert take(whole, 4) == 4
    assert isinstance(take(whole, 4.0), int)
    assert isinstance(take(real, 1), float)
    assert take(Choices(("[1,2]", None, "a")), [1, 2]) == "[1,2]"
    for domain, value in (
        (whole, 3),
        (whole, 10),
        (whole, True),
        (real, 2.0),
        (real, "1"),
        (Choices((1, 2)), True),
        (Choices(("a",)), "b"),
    ):
        with pytest.raises(ValueError, match="expected"):
            take(domain, value)


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the current folder, from which a command is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(Path.cwd()))])
    monkeypatch.delitem(sys.modules, "my_space", raising=False)
    path = tmp_path / "my_space.py"
    path.write_text(
        "def deeper(trial, chosen, least=3):\n"
        "    if chosen['model'] != 'unet':\n"
        "        return {}\n"
        "    depth = trial.suggest_int('model.encoder_depth', least, 5)\n"
        "    return {'model.encoder_depth': depth, 'notes': 'a, b', 'data.crop_size': [32, 64],\n"
        "            'optimizer.lr': chosen['optimizer.weight_decay'][0]}\n"
        "def silent(trial, chosen): pass\n"
        "def number(trial, chosen): return 3\n"
        "def broken(trial, chosen): return {'a': chosen['nothing']}\n"
        "def again(trial, chosen): return {'model': 'fpn', 3: 4, 'x y': 1, 'optimizer.lr': object()}\n"
        "def pruned(trial, chosen):\n"
        "    import optuna\n"
        "    raise optuna.TrialPruned\n",
        encoding="utf-8",
    )
    return path


CONDITIONED = {"model": "unet,segnet", "optimizer.weight_decay": "[0.1],[0.2]"}


def test_further_settings_depend_on_what_was_chosen(own_module: Path) -> None:
    trials = draw(CONDITIONED, conditional={"_target_": "my_space.deeper", "least": 4})
    deeper = [words for words in trials if words[0] == "model=unet"]

    assert 0 < len(deeper) < len(trials)
    assert all(len(words) == 2 for words in trials if words not in deeper)
    for words in deeper:
        assert words[3:5] == ["notes='a, b'", "++data.crop_size=[32,64]"]
        assert words[5] in ("++optimizer.lr=0.1", "++optimizer.lr=0.2")
    assert {words[2] for words in deeper} == {f"++model.encoder_depth={n}" for n in (4, 5)}


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        (
            "silent",
            [
                "study.conditional: expected my_space.silent to return settings, key -> value "
                "({} for none), got null"
            ],
        ),
        (
            "number",
            [
                "study.conditional: expected my_space.number to return settings, key -> value "
                "({} for none), got 3"
            ],
        ),
        ("broken", ["study.conditional: my_space.broken failed for trial 0: KeyError: 'nothing'"]),
        ("nowhere", ["my_space has no 'nowhere'"]),
        (
            "again",
            [
                "study.conditional: my_space.again returned 'model': the study searches it (study.space); "
                "return other keys only",
                "study.conditional: my_space.again returned 3: expected a key such as optimizer.lr",
                "study.conditional: my_space.again returned 'x y': expected a key such as optimizer.lr",
            ],
        ),
    ],
)
def test_function_that_returns_nonsense_is_named(
    own_module: Path, name: str, problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        draw(CONDITIONED, 1, conditional={"_target_": f"my_space.{name}"})

    assert caught.value.problems[: len(problems)] == problems


def test_module_that_is_not_there_and_pruning_are_told_apart(own_module: Path) -> None:
    with pytest.raises(
        ConfigError, match="cannot be imported: ModuleNotFoundError: No module named 'no_"
    ):
        draw(CONDITIONED, 1, conditional={"_target_": "no_space.deeper"})
    with pytest.raises(optuna.TrialPruned):
        draw(CONDITIONED, 1, conditional={"_target_": "my_space.pruned"})
