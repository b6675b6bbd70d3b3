"""Night falls on a served model: does the loop notice, have images labelled, train, and promote?

    python experiments/closed-loop/run.py --out runs/closed-loop            # three seeds, files of LabelMe
    python experiments/closed-loop/run.py --out runs/closed-loop --studio http://localhost:8080

The second goes through a running Label Studio, its token in LABEL_STUDIO_API_KEY. Every step is a command
of seglab, and nobody looks on. A seed that is finished is not done again. Writes `results.json` and
`timeline.png` beside itself; with --tiny, which only shows that it works, below --out.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from oracle import correct, take, truth
from service import Answer, send, serving, wait_for_champion
from timeline import draw_timeline
from world import Frame, World, make_world, step

from seglab.bundle.aliases import locate_bundle
from seglab.bundle.loader import load
from seglab.core.disk.files import write_json
from seglab.data.manifest import Manifest
from seglab.feedback.queue.content import read_queue
from seglab.metrics import miou
from seglab.metrics.confusion import mask_confusion

HERE = Path(__file__).parent
SIZES = {"day": 800, "night": 280, "epochs": 20, "queue": 48}
TINY = {"day": 240, "night": 160, "epochs": 4, "queue": 16}
LOOK_EVERY, FIND_WITHIN = 16, 64
MODEL = [
    "model=unet",
    "model.encoder_name=mobilenetv3_small_100",
    "model.options.decoder_channels=[64,48,32,16,16]",
    "optimizer.lr=3e-3",
    "data.crop_size=[96,128]",
    "data.batch_size=8",
    "trainer.num_workers=0",
    "trainer.num_threads=1",
    "callbacks.progress=off",
    "callbacks.overlays.num_images=0",
    "logger=none",
]
REFUSED, PROMOTED = 3, 0
# Of the retraining that must not win.
WORSE = ["start=scratch", "overrides=[trainer.max_epochs=1]"]


class Loop:
    """One seed.

    Args:
        out: Folder of all that is made.
        seed: Of the world, the model and the queue.
        sizes: Images, epochs, items of a queue.
        studio: Address of a running Label Studio; None: files of LabelMe.
    """

    def __init__(self, out: Path, seed: int, sizes: dict[str, int], studio: str | None) -> None:
        self.out, self.seed, self.sizes, self.studio = out, seed, sizes, studio
        self.registry, self.log, self.runs = out / "models", out / "log", out / "runs"
        self.world: World = make_world(out / "world", seed, sizes)
        self.classes = Manifest.read(self.world.street).labels.num_classes
        self.answers: list[Answer] = []
        self.events: list[dict[str, Any]] = []

    def note(self, what: str, **facts: Any) -> None:
        """Keep what happened, and after how many frames."""
        self.events.append({"frames": len(self.answers), "what": what, **facts})
        print(
            f"[seed {self.seed}] after {len(self.answers)} frames: {what} {facts or ''}", flush=True
        )

    def first_model(self) -> None:
        """Train on the day and put the bundle in the registry."""
        words = [*MODEL, f"trainer.max_epochs={self.sizes['epochs']}", f"seed={self.seed}"]
        words += [f"data.manifest={self.world.street}", f"paths.runs_dir={self.runs}"]
        if self.sizes is TINY:
            # So little training hangs by a thread; processors with bf16 shall not decide the outcome.
            words.append("trainer.precision=fp32")
        step("train", *words, f"paths.data_dir={self.out / 'cache'}", "run_name=first")
        (record,) = self.runs.glob("*/*/run.json")
        step("export", f"run={record.parent}", f"output={self.out / 'first'}", "int8=false")
        step("registry", "add", f"bundle={self.out / 'first'}", f"registry={self.registry}")
        step("registry", "promote", f"registry={self.registry}", "why=the first")
        self.note("first model in service")

    def send(self, address: str, frames: Sequence[Frame]) -> None:
        """Send frames, and keep what was answered."""
        self.answers += send(address, frames, self.classes)

    def alerts(self) -> list[str]:
        """Have the watch look once; return the kinds of what it tells."""
        champion = locate_bundle(f"{self.registry}@champion")
        step(
            "monitor", "watch", f"log={self.log}", f"bundle={champion}", "once=true", allowed=(0, 1)
        )
        told = json.loads((self.log / "alerts.json").read_text(encoding="utf-8"))["alerts"]
        return sorted({one["kind"] for one in told})

    def watch(self, address: str, frames: Sequence[Frame], until: str | None = None) -> int:
        """Send frames and look every few; stop at an alert of a kind; return how many were sent."""
        for start in range(0, len(frames), LOOK_EVERY):
            self.send(address, frames[start : start + LOOK_EVERY])
            if kinds := self.alerts():
                self.note("alerts", kinds=kinds)
                if until in kinds:
                    return start + LOOK_EVERY
        return len(frames)

    def label(self) -> dict[str, Path]:
        """Queue, have corrected and take back; return the new versions, the poisoned one too."""
        words = [f"log={self.log}", f"count={self.sizes['queue']}", f"seed={self.seed}"]
        words += [
            f"bundle={locate_bundle(f'{self.registry}@champion')}",
            f"holdout={self.world.holdout}",
        ]
        versions = {}
        for name, poisoned in (("street-poisoned", True), ("street-labelled", False)):
            place, queued = self.out / name, self.out / f"queue-{name}"
            shutil.copytree(self.world.street, place)
            step("review", "queue", *words, f"output={queued}", "holdout_splits=[test]")
            queue = read_queue(queued)
            frames = [*self.world.day, *self.world.night]
            correct(queue, truth(queue, frames, self.classes, poisoned), self.studio)
            take(queue, place, self.world.holdout)
            versions[name] = place
        self.note("labels are back", images=self.sizes["queue"])
        return versions

    def retrain(self, name: str, data: Path, allowed: Sequence[int], *words: str) -> int:
        """Retrain on a version; return how it ended."""
        given = [f"registry={self.registry}", f"data={data}", f"holdout={self.world.holdout}"]
        given += [f"runs_dir={self.runs}", f"output={self.out / name}", "int8=false", *words]
        code = step("retrain", *given, allowed=allowed)
        self.note(f"retrained: {name}", exit_code=code)
        return code

    def run(self) -> dict[str, Any]:
        """Go round once; return what came of it."""
        self.first_model()
        night, result = self.world.night, {"seed": self.seed}
        with serving(self.registry, self.log) as address:
            self.watch(address, self.world.day)
            result["alerts_by_day"] = [
                one["kinds"] for one in self.events if one["what"] == "alerts"
            ]
            self.note("night falls")
            seen = self.watch(address, night[:FIND_WITHIN], until="drift")
            result["found_after"] = seen if "drift" in self.alerts() else None
            versions = self.label()
            good = versions["street-labelled"]
            result["worse"] = self.retrain("worse", good, (PROMOTED, REFUSED), *WORSE)
            poisoned = versions["street-poisoned"]
            result["poisoned"] = self.retrain("poisoned", poisoned, (PROMOTED, REFUSED))
            result["better"] = self.retrain("better", good, (PROMOTED, REFUSED))
            wait_for_champion(address, self.registry)
            self.note(
                "the champion answers", bundle=locate_bundle(f"{self.registry}@champion").name
            )
            rest = night[seen:]
            self.send(address, rest)
        result["statuses"] = sorted({one.status for one in self.answers})
        result["night"] = self.compare(rest)
        result |= {"events": self.events, "miou": self.course()}
        return result

    def compare(self, frames: Sequence[Frame]) -> dict[str, Any]:
        """Score the first model on the frames that the last one answered, paired by drive."""
        first = load(self.out / "first")
        after = [one.confusion for one in self.answers[-len(frames) :]]
        before = []
        for frame in frames:
            mask = first.predict(first.decode(frame.image.read_bytes())).mask
            before.append(mask_confusion(mask, frame.mask, self.classes))
        drives = sorted({one.drive for one in frames})
        place = np.array([drives.index(one.drive) for one in frames])
        sums = [
            np.stack(
                [np.sum(np.array(found)[place == drive], axis=0) for drive in range(len(drives))]
            )
            for found in (before, after)
        ]
        draws = np.random.default_rng(self.seed).integers(0, len(drives), (2000, len(drives)))
        gains = [miou(sums[1][draw].sum(0)) - miou(sums[0][draw].sum(0)) for draw in draws]
        low, high = np.percentile(gains, [2.5, 97.5])
        scores = [float(miou(one.sum(0))) for one in sums]
        names = ("before", "after", "low", "high")
        values = (*scores, float(low), float(high))
        return {"drives": len(drives), **dict(zip(names, values, strict=True))}

    def course(self, over: int = LOOK_EVERY) -> list[float]:
        """Return the true mIoU of the answers, over the last few at each frame."""
        found = [one.confusion for one in self.answers]
        known = [
            np.zeros((self.classes, self.classes), np.int64) if one is None else one
            for one in found
        ]
        return [
            float(miou(np.sum(known[max(0, end - over) : end], axis=0)))
            for end in range(1, len(known) + 1)
        ]


def closes(result: dict[str, Any]) -> dict[str, bool]:
    """Return the conditions of the decision rule, and which of them were met."""
    found = result["found_after"]
    return {
        "no drift by day": not any("drift" in kinds for kinds in result["alerts_by_day"]),
        f"drift found within {FIND_WITHIN} frames": found is not None and found <= FIND_WITHIN,
        "better by night": result["night"]["low"] > 0,
        "promoted": result["better"] == PROMOTED,
        "worse kept out": result["worse"] == REFUSED,
        "poisoned kept out": result["poisoned"] == REFUSED,
        "every request answered": result["statuses"] == [200],
    }


def main() -> None:
    """Run the seeds that are asked for, and tell what all of them say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--studio", metavar="URL", help="a running Label Studio")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it works")
    args = parser.parse_args()
    out, results = args.out.absolute(), []
    for seed in args.seeds:
        kept = out / f"seed{seed}.json"
        if not kept.is_file():
            shutil.rmtree(out / f"seed{seed}", ignore_errors=True)
            loop = Loop(out / f"seed{seed}", seed, TINY if args.tiny else SIZES, args.studio)
            write_json(kept, loop.run())
        results.append(json.loads(kept.read_text(encoding="utf-8")))
    place = out if args.tiny else HERE
    write_json(place / "results.json", {str(one["seed"]): one for one in results})
    draw_timeline(results, place / "timeline.png")
    for result in results:
        print(json.dumps({"seed": result["seed"], **result["night"], **closes(result)}, indent=1))
    does_close = all(all(closes(one).values()) for one in results)
    print("the loop closes" if does_close else "the loop does not close")


if __name__ == "__main__":
    main()
