"""The house of DESIGN section 3: an import goes only downward, and packages form no cycle."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "seglab"

# package -> packages it may import. Rooms of one floor import each other only where listed.
FLOOR_2 = {
    "annotations",
    "data",
    "augment",
    "models",
    "losses",
    "metrics",
    "optim",
    "inference",
    "runs",
}
ALLOWED = {
    "core": set(),
    "config": {"core"},
    **{room: {"core"} for room in FLOOR_2},
    "data": {"annotations", "core"},
    "engine": FLOOR_2 | {"core", "config"},
    "bundle": {"core"},
    "monitor": {"analysis", "bundle", "metrics", "core"},
    "serve": {"bundle", "monitor", "annotations", "core"},
    "testing": FLOOR_2 | {"engine", "core", "config"},
    "analysis": {"runs", "metrics", "core"},
    "curation": {"data", "annotations", "metrics", "runs", "core"},
    "feedback": {"deploy", "curation", "monitor", "bundle"}
    | {"data", "annotations", "metrics", "core"},
    "experiment": FLOOR_2 | {"engine", "analysis", "core", "config"},
    "deploy": FLOOR_2
    | {"experiment", "engine", "analysis", "curation", "bundle", "core", "config"},
    "sweep": {"experiment", "engine", "analysis", "runs", "core", "config"},
    "cli": FLOOR_2
    | {"deploy", "bundle", "monitor", "serve", "feedback", "experiment", "engine", "analysis"}
    | {"curation"}
    | {"core", "config"},
}
# Inside a package: part (a folder, or one file) -> parts it may import. Files that lie in no part that
# is named here belong to the nearest one above; a package's __init__.py may hand on what lies below it.
PARTS = {
    "annotations": {"annotations": set(), "annotations.formats": {"annotations"}},
    "analysis": {
        "analysis": set(),
        "analysis.statistics": set(),
        "analysis.learning": {"analysis"},
        "analysis.evaluation": {"analysis", "analysis.statistics"},
        "analysis.failures": {"analysis"},
        "analysis.comparison": {"analysis", "analysis.statistics"},
        "analysis.study": {"analysis"},
        "analysis.study.figures": {"analysis", "analysis.study"},
        "analysis.study.text": {"analysis", "analysis.study", "analysis.study.figures"},
        "analysis.report": {"analysis", "analysis.learning"},
        "analysis.report.reading": {"analysis.report", "analysis.learning"},
        "analysis.report.sections": {
            "analysis",
            "analysis.evaluation",
            "analysis.report",
            "analysis.learning",
        },
        "analysis.report.page": {
            "analysis",
            "analysis.evaluation",
            "analysis.report",
            "analysis.report.sections",
        },
        "analysis.report.study_page": {
            "analysis",
            "analysis.study",
            "analysis.study.figures",
            "analysis.study.text",
            "analysis.report",
            "analysis.report.reading",
        },
    },
    "config": {
        "config": {"config.declared", "config.language", "config.rules"},
        "config.declared": set(),
        "config.language": set(),
        "config.rules": {"config.declared", "config.language"},
    },
    "core": {
        "core": set(),
        "core.cluster": {"core"},
        "core.disk": {"core"},
        "core.parts": {"core"},
        "core.text": set(),
    },
    "curation": {
        "curation": {"curation.alike"},
        "curation.alike": set(),
        "curation.cleaning": {"curation"},
        "curation.labels": {"curation", "curation.alike"},
        "curation.agreement": set(),
        "curation.review": {"curation.cleaning"},
        "curation.changes": {"curation", "curation.review"},
        "curation.page": {"curation"},
        "curation.checks": {"curation", "curation.alike", "curation.labels"},
    },
    "deploy": {
        "deploy": set(),
        "deploy.export": set(),
        "deploy.registry": set(),
        "deploy.retrain": {"deploy.export", "deploy.registry"},
        "deploy.predict.files": set(),
        "deploy.predict": {"deploy.predict.files"},
        "deploy.predict.large": {"deploy.predict", "deploy.predict.files"},
        "deploy.predict.run": {"deploy.predict", "deploy.predict.files", "deploy.predict.large"},
    },
    "engine": {
        "engine": set(),
        "engine.device": set(),
        "engine.loop": {"engine.device", "engine.step", "engine.tracking"},
        "engine.process": {"engine.device", "engine.step"},
        "engine.step": set(),
        "engine.tracking": set(),
    },
    "experiment": {
        "experiment.prepare": set(),
        "experiment.parts": {"experiment.prepare"},
        "experiment.fit": {"experiment.prepare", "experiment.parts"},
        "experiment.scoring": {"experiment.prepare", "experiment.parts", "experiment.fit"},
        "experiment.train": {
            "experiment.prepare",
            "experiment.parts",
            "experiment.fit",
            "experiment.scoring",
        },
        "experiment.cv": {
            "experiment.prepare",
            "experiment.parts",
            "experiment.scoring",
            "experiment.train",
        },
        "experiment": {
            "experiment.prepare",
            "experiment.parts",
            "experiment.scoring",
            "experiment.train",
            "experiment.cv",
        },
    },
    "feedback": {
        "feedback": set(),
        "feedback.queue": set(),
        "feedback.exchange": {"feedback.queue"},
    },
    "monitor": {
        "monitor": {"monitor.log"},
        "monitor.log": set(),
        "monitor.drift": {"monitor"},
        "monitor.quality": {"monitor", "monitor.drift"},
        "monitor.alerts": {"monitor", "monitor.log", "monitor.drift", "monitor.quality"},
        "monitor.watch": {
            "monitor",
            "monitor.log",
            "monitor.drift",
            "monitor.quality",
            "monitor.alerts",
        },
        "monitor.report": {
            "monitor",
            "monitor.log",
            "monitor.drift",
            "monitor.quality",
            "monitor.alerts",
        },
    },
    "serve": {
        "serve": set(),
        "serve.pipeline": {"serve"},
        "serve.api": {"serve", "serve.pipeline"},
        "serve.process": {"serve", "serve.pipeline", "serve.api"},
    },
    "sweep": {
        "sweep": {"sweep.ask", "sweep.conclude", "sweep.workers"},
        "sweep.ask": set(),
        "sweep.conclude": {"sweep.ask", "sweep.workers"},
        "sweep.ledger": {"sweep.ask"},
        "sweep.watch": {"sweep.ask"},
        "sweep.workers": {"sweep.ask", "sweep.ledger", "sweep.watch"},
    },
    "data": {
        "data": {"data.files", "data.remote"},
        "data.annotated": {"data", "data.build", "data.files", "data.importers"},
        "data.bands": {"data", "data.files"},
        "data.build": {"data", "data.bands", "data.files"},
        "data.description": {"data", "data.bands", "data.splits"},
        "data.files": set(),
        "data.folds": {"data", "data.build"},
        "data.freshness": {"data", "data.remote"},
        "data.importers": {
            "data",
            "data.build",
            "data.files",
            "data.freshness",
            "data.importers.ids",
        },
        "data.importers.datasets": {"data.build", "data.files", "data.importers"},
        "data.importers.frameworks": {
            "data.build",
            "data.files",
            "data.importers",
            "data.importers.ids",
        },
        "data.importers.ids": {"data.files"},
        "data.loading": {"data", "data.bands", "data.files", "data.remote"},
        "data.remote": set(),
        "data.splits": {"data", "data.build", "data.folds", "data.remote"},
        "data.synth": {"data.build", "data.importers", "data.synth.drawing"},
        "data.synth.drawing": set(),
    },
    "metrics": {"metrics": set(), "metrics.confidence": {"metrics"}, "metrics.shape": {"metrics"}},
    "runs": {"runs": set(), "runs.studies": set()},
    "augment": {"augment": set(), "augment.corruption": {"augment"}},
    "models": {"models": {"models.weights"}, "models.weights": set()},
    "cli": {
        "cli": {"cli.base", "cli.diagnosis"},
        "cli.base": set(),
        "cli.data": {"cli", "cli.base"},
        "cli.data.annotation": {"cli.data"},
        "cli.data.cleaning": set(),
        "cli.diagnosis": set(),
        "cli.monitor": {"cli", "cli.base"},
        "cli.production": {"cli.base"},
        "cli.review": {"cli", "cli.base"},
        "cli.runs": {"cli", "cli.base"},
    },
}
MOST_FILES = 12
NAMELESS = {"utils.py", "helpers.py", "common.py", "misc.py"}


def _sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _imports(tree: ast.AST, top_level_only: bool = False) -> Iterator[str]:
    nodes = _top_level(tree) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield node.module or ""


def _top_level(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run at import: neither inside functions nor under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _top_level(node)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def _arrows() -> set[tuple[str, str, str]]:
    arrows = set()
    for path in _sources():
        if path.parent == PACKAGE:
            continue
        for module in _imports(ast.parse(path.read_text(encoding="utf-8"))):
            parts = module.split(".")
            if parts[0] == "seglab" and len(parts) > 1 and parts[1] != _room(path):
                if _room(path) == "config" and parts[-1] == "options":
                    continue  # what a component may be told is declared beside it, without torch
                arrows.add((_room(path), parts[1], str(path.relative_to(PACKAGE))))
    return arrows


def test_every_package_has_a_place_in_the_house() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(ALLOWED)


def test_imports_go_only_downward() -> None:
    wrong = {arrow for arrow in _arrows() if arrow[1] not in ALLOWED[arrow[0]]}
    assert not wrong, f"imports against the floors: {sorted(wrong)}"


def test_packages_form_no_cycle() -> None:
    graph: dict[str, set[str]] = {room: set() for room in ALLOWED}
    for source, target, _ in _arrows():
        graph[source].add(target)
    done: set[str] = set()
    while len(done) < len(graph):
        free = {room for room, targets in graph.items() if room not in done and targets <= done}
        assert free, f"cycle among {sorted(set(graph) - done)}"
        done |= free


def test_one_name_per_class_of_the_sweep() -> None:
    trees = [
        ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / "sweep").rglob("*.py")
    ]
    names = Counter(
        node.name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not [name for name, count in names.items() if count > 1]


# Circles that only an import inside a function allows, by the modules in them, each with its reason.
LAZY_CIRCLES: dict[frozenset[str], str] = {
    frozenset({"seglab.core.options", "seglab.core.option_problems", "seglab.core.describe"}): (
        "pydantic's judgement is put in words only where something is wrong, and the words are "
        "those of the declarations"
    )
}


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in _sources()
    }


def _imported_modules(path: Path, names: Collection[str]) -> set[str]:
    """Modules a file imports anywhere, also by `from package import module`, but for types."""
    found = set()
    for node in _at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in names else str(node.module) for name in inner}
    return found & set(names)


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _at_run_time(node)


def _circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Sets of modules that reach one another."""
    reach = {name: set(targets) for name, targets in graph.items()}
    grows = True
    while grows:
        grows = False
        for targets in reach.values():
            further = set().union(*(reach[one] for one in targets)) - targets
            targets |= further
            grows |= bool(further)
    return {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in reach
        if name in reach[name]
    }


def test_modules_form_no_cycle() -> None:
    """Imports inside functions count: a circle hidden there is one all the same."""
    names = _modules()
    graph = {name: _imported_modules(path, names) - {name} for name, path in names.items()}
    found = _circles(graph)
    assert found - set(LAZY_CIRCLES) == set()
    assert set(LAZY_CIRCLES) - found == set(), "circles that are gone need no reason"


def test_circle_check_sees_an_import_in_a_function(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    from seglab import b\n")
    names = {"seglab.a", "seglab.b"}
    assert _imported_modules(tmp_path / "a.py", names) == {"seglab.b"}
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}}
    assert _circles(graph) == {frozenset({"b", "c"})}


def _part(module: str, parts: Collection[str]) -> str:
    """The innermost part that a module, named from below the package, belongs to."""
    while module not in parts:
        module = module.rpartition(".")[0]
    return module


def _part_arrows(room: str) -> Iterator[tuple[str, str, str]]:
    parts = PARTS[room]
    for path in sorted((PACKAGE / room).rglob("*.py")):
        here = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for module in _modules_of(ast.parse(path.read_text(encoding="utf-8"))):
            name = module.removeprefix("seglab.")
            handed_on = f"{name}.".startswith(here.removesuffix("__init__")) and "__init__" in here
            declares = "options" in name.split(".")  # as for `config`
            if name == module or name.split(".")[0] != room or handed_on or declares:
                continue
            source, target = _part(here.removesuffix(".__init__"), parts), _part(name, parts)
            if source != target:
                yield source, target, here


def _modules_of(tree: ast.AST) -> Iterator[str]:
    """Imported modules, in `from package import module` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("room", PARTS)
def test_parts_of_a_package_import_only_what_is_declared(room: str) -> None:
    arrows = set(_part_arrows(room))
    wrong = {arrow for arrow in arrows if arrow[1] not in PARTS[room][arrow[0]]}
    assert not wrong, f"imports that PARTS does not allow: {sorted(wrong)}"
    drawn = {(source, target) for source, target, _ in arrows}
    unused = {(s, t) for s, targets in PARTS[room].items() for t in targets} - drawn
    assert not unused, f"PARTS allows what nobody needs: {sorted(unused)}"


@pytest.mark.parametrize("room", PARTS)
def test_parts_of_a_package_are_its_folders_and_form_no_cycle(room: str) -> None:
    folders = {
        ".".join(path.parent.relative_to(PACKAGE).parts)
        for path in (PACKAGE / room).rglob("__init__.py")
    }
    assert folders <= set(PARTS[room])
    list(TopologicalSorter(PARTS[room]).static_order())  # raises CycleError


def test_folders_stay_small() -> None:
    sizes = Counter(path.parent for path in _sources())
    assert not {str(folder): n for folder, n in sizes.items() if n > MOST_FILES}


@pytest.mark.parametrize(
    ("rooms", "forbidden"),
    [
        (("core", "config", "runs"), {"torch", "pytorch_lightning", "wandb"}),
        (tuple(FLOOR_2 - {"data", "runs"}), {"pytorch_lightning", "hydra", "wandb"}),
        (("engine", "analysis"), {"hydra"}),
        (("testing",), {"pytest"}),
        (
            ("serve", "bundle", "monitor"),
            {"torch", "pytorch_lightning", "hydra", "wandb", "pandas"},
        ),
        (("cli",), {"torch", "pytorch_lightning", "wandb", "pandas", "cv2", "matplotlib"}),
    ],
)
def test_rooms_stay_free_of(rooms: tuple[str, ...], forbidden: set[str]) -> None:
    found = {
        (str(path.relative_to(PACKAGE)), module)
        for path in _sources()
        if path.parent != PACKAGE and _room(path) in rooms
        for module in _imports(ast.parse(path.read_text()), top_level_only=True)
        if module.split(".")[0] in forbidden
    }
    assert not found


def test_only_the_composition_root_instantiates() -> None:
    users = {
        _room(path)
        for path in _sources()
        if path.parent != PACKAGE and "hydra.utils" in set(_imports(ast.parse(path.read_text())))
    }
    assert users <= {"experiment"}


def test_file_names_say_something() -> None:
    assert not [path for path in _sources() if path.name in NAMELESS]


def test_checker_sees_a_wrong_arrow(tmp_path: Path) -> None:
    source = tmp_path / "wrong.py"
    source.write_text("def f():\n    from seglab.cli import main\n")
    assert "seglab.cli" in set(_imports(ast.parse(source.read_text())))
