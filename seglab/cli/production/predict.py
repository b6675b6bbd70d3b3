"""`seglab predict`: files, folders and videos through a bundle, where neither torch nor Hydra is needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.core.errors import list_problems
from seglab.core.text.escape import one_line

_EXAMPLES = (
    ("seglab predict bundle=DIR input=photos output=masks", "a folder, and what lies below it"),
    ("seglab predict bundle=DIR input='photos/**/*.jpg' overlays=true", "a pattern; pictures too"),
    ("seglab predict bundle=DIR input=drive.mp4 overlays=true", "a video"),
    ("seglab predict bundle=DIR input=city.tif entropy=true", "a GeoTIFF of any size"),
    ("seglab predict bundle=DIR input=photos annotations=coco,cvat", "for annotation tools"),
    ("seglab predict bundle=DIR input=photos --shard 1/4", "the first quarter of the files"),
    ("seglab predict bundle=DIR input=photos shards=4 launcher=slurm", "four jobs, and wait"),
)
_SUMMARY = (
    "Predict images and videos with a bundle. The same words again go on with what is left; a file that "
    "cannot be read is named and skipped (exit 1)."
)


def run(argv: Sequence[str]) -> int:
    """Predict; return 0, or 1 where files were skipped."""
    from seglab.deploy.predict.options import PredictFilesOptions

    if not argv or asks_for_help(argv):
        return print_word_help("predict", _SUMMARY, PredictFilesOptions, _EXAMPLES)
    words = _joined(argv)
    options = read_words(words, PredictFilesOptions, "predict")
    from seglab.deploy.predict.run import predict_files, predict_shares

    found = predict_files(options) if options.shards == 1 else predict_shares(options)
    for note in found.notes:
        sys.stderr.write(f"{note}\n")
    before = f", {found.before} were done before" if found.before else ""
    drawn = f", {found.overlaid} got overlays of masks that were there" if found.overlaid else ""
    predicted = found.done - found.overlaid
    sys.stdout.write(f"{one_line(found.output)}: {predicted} predicted{drawn}{before}\n")
    if not found.faults:
        return 0
    texts = [one_line(f"{place}: {reason}") for place, reason in found.faults.items()]
    sys.stderr.write(list_problems(f"{len(texts)} skipped", texts) + "\n")
    return 1


def _joined(argv: Sequence[str]) -> list[str]:
    """Return the words with `--shard 1/4` as one."""
    words = list(argv)
    for index, word in enumerate(words[:-1]):
        if word == "--shard":
            words[index : index + 2] = [f"shard={words[index + 1]}"]
    return words
