"""`seglab retrain`: check the data, train, export, compare, decide; each step once, also after a kill."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from seglab.bundle.loader import Bundle, load
from seglab.core.disk.files import write_text
from seglab.core.text.terminal import say, telling
from seglab.core.text.wording import plural
from seglab.data.manifest import Manifest
from seglab.deploy.export.bundling import export
from seglab.deploy.options import ExportOptions
from seglab.deploy.registry.log import COMPARED, REFUSED
from seglab.deploy.registry.registry import Registry
from seglab.deploy.retrain.checks import audited_kinds, check_data, require_same_classes
from seglab.deploy.retrain.duel import fight, require_guards
from seglab.deploy.retrain.gate import Decision, decide
from seglab.deploy.retrain.holdout import Holdout, uses_before
from seglab.deploy.retrain.options import RetrainOptions
from seglab.deploy.retrain.recipe import champion_run, changes, configuration, origin_run
from seglab.deploy.retrain.report import facts_of, page, repeated_use
from seglab.deploy.retrain.state import State, key_of, open_state
from seglab.experiment.launch import launch, resume_job
from seglab.experiment.prepare.records import saved_config
from seglab.inference.options import ViewOptions
from seglab.runs import RunRecord
from seglab.runs.locate import RECORD_FILE, new_run_dir

PROMOTED, NOTHING_NEW, NOT_PROMOTED, PLANNED = "promoted", "nothing new", "not promoted", "planned"


@dataclass(frozen=True)
class Outcome:
    """How it ended: promoted, nothing new, not promoted or planned; and where the report is."""

    verdict: str
    text: str
    report: Path | None = None


@dataclass(frozen=True)
class _Task:
    """What all steps share."""

    options: RetrainOptions
    registry: Registry
    champion: Bundle
    manifest: Manifest
    holdout: Holdout
    former: RunRecord
    origin: RunRecord
    cfg: DictConfig
    console: Console


def retrain(options: RetrainOptions, console: Console) -> Outcome:
    """Train the champion's configuration on new data, and promote what comes of it where it may be.

    Raises:
        ConfigError: The words do not go together, or with the registry, the run or the holdout.
        DataError: Data is missing or damaged.
        SeglabError: The training or the export failed; the same words go on with it.
    """
    task = _open(options, console)
    uses = uses_before(task.holdout, task.registry.entries(), options.new_holdout)
    if task.manifest.is_of(task.champion.info["data"]["fingerprint"]):
        text = (
            f"nothing new: the champion {task.champion.id} was trained on this version of the data; "
            "to train it otherwise, use seglab train, seglab export and seglab registry add"
        )
        say(console, text)
        return Outcome(NOTHING_NEW, text)
    if options.dry_run:
        return _plan(task, uses)
    key = key_of(options, task.manifest.fingerprint, task.champion.id, task.holdout.fingerprint)
    folder = Path(options.output or task.registry.folder / "retrain" / key).expanduser().absolute()
    with open_state(folder, key) as state:
        if state.get("verdict") is None:
            _go_on(task, state, key, uses)
        say(console, state.content["text"])
        say(console, f"report  {folder / 'retrain.md'}")
        return Outcome(state.content["verdict"], state.content["text"], folder / "retrain.md")


def _open(options: RetrainOptions, console: Console) -> _Task:
    registry = Registry(Path(options.registry).expanduser().absolute())
    champion = load(registry.place("champion"))
    manifest = Manifest.read(Path(options.data).expanduser())
    holdout = Holdout.read(
        Path(options.holdout or options.data).expanduser(), options.holdout_split
    )
    require_same_classes(manifest, holdout, champion)
    require_guards(holdout, options.guard)
    audited_kinds(options)
    former = champion_run(options, champion.info)
    origin = origin_run(options, former)
    cfg = configuration(options, origin, registry.place("champion"))
    return _Task(options, registry, champion, manifest, holdout, former, origin, cfg, console)


def _plan(task: _Task, uses: int) -> Outcome:
    checked = _check(task)
    lines = [
        f"champion  {task.champion.id}, configuration of {task.origin.run_dir}",
        f"data      {task.manifest.name} {task.manifest.fingerprint}: {task.manifest.splits()}",
        f"holdout   {task.holdout.fingerprint}, {plural(len(task.holdout.sources), 'image')}, compared "
        f"on {plural(uses, 'time')} before",
        *(f"changes   {line}" for line in changes(saved_config(task.origin), task.cfg)),
        *(f"note      {line}" for line in checked["notes"]),
        *(f"stops     {line}" for line in checked["problems"]),
    ]
    for line in lines:
        say(task.console, line)
    return Outcome(PLANNED, "\n".join(lines))


def _check(task: _Task) -> dict[str, Any]:
    former = task.former.run_dir / "manifest"
    known = Manifest.read(former) if former.is_dir() else None
    with telling(task.console, "checking the data") as tell:
        given = (task.options, task.manifest, task.holdout, task.champion, known)
        return check_data(*given, tell).to_dict()


def _go_on(task: _Task, state: State, key: str, uses: int) -> None:
    if state.get("key") is None:
        state.set(key=key, champion=task.champion.id, options=task.options.to_dict())
        state.set(configuration_of=str(task.origin.run_dir), data=task.manifest.fingerprint)
    if state.get("checks") is None:
        state.set(checks=_check(task))
    problems = state.content["checks"]["problems"]
    if problems:
        _conclude(task, state, NOT_PROMOTED, "not trained: " + "; ".join(problems))
        return
    challenger = state.get("challenger") or _make_challenger(task, state, key)
    _count_use(task, state, challenger, uses)
    decision = _compare(task, state, challenger)
    words = f"{challenger} instead of {task.champion.id}: {decision.why}"
    if not decision.promotes:
        _conclude(task, state, NOT_PROMOTED, f"not promoted: {decision.why}")
        return
    task.registry.promote(challenger, decision.why, instead_of=task.champion.id)
    _conclude(task, state, PROMOTED, f"promoted: {words}")


def _make_challenger(task: _Task, state: State, key: str) -> str:
    bundle = _export(task, state, _train(task, state))
    challenger = task.registry.add(bundle, why=f"retrained, {key}")
    state.set(challenger=challenger)
    shutil.rmtree(bundle)  # the registry has it
    bundle.with_suffix(".zip").unlink(missing_ok=True)
    return challenger


def _train(task: _Task, state: State) -> Path:
    if state.get("run") is None:
        runs = Path(task.cfg.paths.runs_dir)
        state.set(run=str(new_run_dir(runs, task.cfg.experiment_name, "retrain")))
    run_dir = Path(state.content["run"])
    if (run_dir / RECORD_FILE).is_file():
        resume_job(run_dir, task.console)
    else:
        launch(task.cfg, run_dir, task.console, is_valid=True)
    return run_dir


def _export(task: _Task, state: State, run_dir: Path) -> Path:
    target = state.folder / "bundle"
    if target.is_dir():
        return target
    target.with_suffix(".zip").unlink(missing_ok=True)  # of an export that was killed
    info, options = task.champion.info, task.options
    views = {name: info["predict"][name] for name in ViewOptions.model_fields}
    chosen = {
        "run": str(run_dir),
        "output": str(target),
        "name": info["name"],
        "licence": info["licence"],
        "max_pixels": info["input"]["max_pixels"],
        "max_miou_drop": options.max_miou_drop,
        "int8": options.int8,
    }
    return export(ExportOptions.read({**chosen, **views}), task.console)


def _count_use(task: _Task, state: State, challenger: str, uses: int) -> None:
    """Note that the holdout is looked at, before it is; once, also where this is killed then."""
    key = state.get("key")
    entries = (one for one in task.registry.entries() if one.what == COMPARED)
    entry = next((one for one in entries if one.details["key"] == key), None)
    if entry is None:
        details = {
            "key": key,
            "champion": task.champion.id,
            "holdout": task.holdout.fingerprint,
            "images": len(task.holdout.sources),
            "use": uses + 1,
        }
        entry = task.registry.note(COMPARED, challenger, f"with {task.champion.id}", details)
    state.set(holdout=entry.details)
    for warning in repeated_use(entry.details):
        say(task.console, f"warning: {warning}")


def _compare(task: _Task, state: State, challenger: str) -> Decision:
    rival = load(task.registry.place(challenger))
    with telling(task.console, "comparing") as tell:
        duel = fight((task.champion, rival), task.holdout, task.options, tell)
    decision = decide(duel, task.options)
    state.set(duel=facts_of(duel), decision=decision.to_dict())
    return decision


def _conclude(task: _Task, state: State, verdict: str, text: str) -> None:
    if verdict == NOT_PROMOTED:
        about = state.get("challenger") or task.champion.id
        task.registry.note(REFUSED, about, text, {"key": state.get("key")})
    state.set(verdict=verdict, text=text)
    write_text(state.folder / "retrain.md", page(state.content))
