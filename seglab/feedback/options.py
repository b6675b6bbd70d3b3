"""What `seglab review` may be told."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import Interval
from pydantic import model_validator

from seglab.core.options import (
    FromList,
    Name,
    NotNegative,
    NotNegativeFloat,
    OneOf,
    Options,
    Positive,
    broken_rule,
)
from seglab.core.parts.components import components
from seglab.data.annotated.options import AnnotatedOptions
from seglab.monitor.options import Moment

# Those that are read back as annotations; the others are masks, which a tool does not correct.
FORMATS = tuple(
    name
    for name in components("annotation_format")
    if issubclass(components("importer").get(name, Options), AnnotatedOptions)
)
SERVER = "label_studio_server"


Splits = Annotated[
    tuple[Annotated[str, OneOf(("train", "val", "test", "unlabeled"))], ...], FromList
]


class QueueOptions(Options):
    """Which images are labelled next."""

    bundle: Name
    """The bundle that answered: a folder, a zip of one, or REGISTRY@champion. It draws the masks that are
    corrected."""
    log: Name | None = None
    """The log of requests of `seglab serve`; images are taken where it stored them whole."""
    images: Name | None = None
    """Instead of a log: a folder (with its sub-folders), a pattern such as `drive/*.png`, or an image."""
    output: Name = "review"
    """Folder of the queue, new: queue.json, the images, and the masks that the bundle draws."""
    start: Moment | None = None
    """First time of the log that counts, in UTC, such as 2026-11-27T09:30; null: from its beginning."""
    end: Moment | None = None
    """First time that counts no more; null: to its end."""
    count: Positive = 50
    """Images to label."""
    control: Annotated[float, Interval(gt=0, le=1)] = 0.2
    """Share of them drawn at random from all images: quality is measured on these."""
    per_stream: Positive | None = None
    """Most images chosen of one camera, sequence or group; null: as many as come. The control share is
    not capped, or it would not be random."""
    group_pattern: Name | None = None
    """With `images`: regular expression that finds the group in a file's path; null: none."""

    uncertainty: NotNegativeFloat = 1.0
    """Weight of the entropy of the probabilities."""
    disagreement: NotNegativeFloat = 1.0
    """Weight of how far the members of an ensemble, such as the folds of a cross-validation, disagree."""
    drift: NotNegativeFloat = 1.0
    """Weight of the distance of the features to those of the bundle's reference."""
    diversity: NotNegativeFloat = 1.0
    """Weight of the distance to the images chosen already, against ten frames of one scene."""
    pool: Positive = 8
    """So many times the images wanted, those with the highest scores, are looked at for disagreement and
    diversity."""

    former: Annotated[tuple[Name, ...], FromList] = ()
    """Folders of former queues: what is in them is not chosen again. It may be drawn at random again, or
    the share would be that of the images that were not hard before."""
    holdout: Name | None = None
    """Manifest of the frozen holdout: images that nearly are in it are refused."""
    holdout_splits: Splits = ("val", "test")
    """Its splits that are held out."""
    seed: NotNegative = 0
    """The same images, options and seed give the same queue."""
    threads: NotNegative = 0
    """Cores of the network; 0: all there are."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        problems = []
        if (self.log is None) == (self.images is None):
            problems.append("log or images: give one of them, where the images come from")
        if self.images is not None and (self.start is not None or self.end is not None):
            problems.append("start, end: go with log=FOLDER, files of a folder have no time")
        if self.log is not None and self.group_pattern is not None:
            problems.append("group_pattern: goes with images=FOLDER; a log knows its streams")
        if self.control < 1 and not self.uncertainty + self.disagreement + self.drift:
            problems.append(
                "uncertainty, disagreement, drift: all weights are 0; set one, or control=1 for a queue "
                "that is random as a whole"
            )
        if problems:
            raise broken_rule(*problems)
        return self


class PushOptions(Options):
    """To which annotation tool a queue goes."""

    queue: Name
    """Folder of the queue."""
    to: Annotated[str, OneOf((*FORMATS, SERVER))]
    """Format of the files, such as `labelme` or `cvat`, or `label_studio_server`: a running one."""
    output: Name | None = None
    """Folder of the files, new; null: QUEUE/FORMAT."""
    url: Name | None = None
    """Address of a running Label Studio; the access token is read from LABEL_STUDIO_API_KEY."""
    project: Name | None = None
    """Title of the project on the server; null: `review` and the queue's hash. It is made where it is
    not there, and what is in it is not added again."""
    tolerance: NotNegativeFloat = 0.0
    """How far outlines may move, in pixels; 0 keeps what the format can hold."""
    unlabelled: Name = "void"
    """The class whose pixels no shape covers; void: all classes are drawn."""
    retries: NotNegative = 5
    """Further tries where the server does not answer, or is busy."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        problems = []
        if self.to == SERVER:
            if self.url is None:
                problems.append(f"url: missing; {SERVER} needs the address of the server")
            if self.output is not None:
                problems.append(f"output: no files are written with to={SERVER}; leave it out")
        elif self.url is not None or self.project is not None:
            problems.append(f"url, project: go with to={SERVER}")
        if problems:
            raise broken_rule(*problems)
        return self


class TakeOptions(Options):
    """How annotations become a new version of a manifest."""

    queue: Name
    """Folder of the queue."""
    manifest: Name
    """Manifest that the labelled images join: its folder, or the .parquet in it."""
    annotations: Name | None = None
    """Folder of the annotations, or the JSON file that Label Studio exports; null: where `push` wrote
    them, or the server it pushed to."""
    format: Annotated[str, OneOf((*FORMATS, SERVER))] | None = None
    """Their format; null: that of `push`."""
    holdout: Name | None = None
    """Manifest of the frozen holdout, where it is another one: like val and test of `manifest`, what
    nearly is in it is refused."""
    holdout_splits: Splits = ("val", "test")
    """Its splits that are held out."""
    unlabelled: Name | None = None
    """What pixels of no shape are: `void`, or a class; null: as pushed."""
    several: Literal["last", "first", "refuse"] = "last"
    """Which annotation counts where an image has several."""
    untouched: Literal["skip", "take"] = "skip"
    """What becomes of files that are as they were pushed: nobody has looked at them, or nobody had to
    change anything. Taken, the model's own masks are labels."""
    retries: NotNegative = 5
    """Further tries where the server does not answer, or is busy."""


class ReviewReportOptions(Options):
    """Of which queue to tell."""

    queue: Name
    """Folder of the queue."""
