"""What the values in masks mean: as the options state, else inferred where only one reading fits.

A wrong guess trains without a word and scores well (ignored objects leave one class to predict), so
whatever can be read in two ways is refused, with what was found and the options that settle it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from seglab.core.errors import DataError, LabelError
from seglab.core.labels import BLACK, LabelSpace
from seglab.core.text.wording import joined
from seglab.data.importers.ids.label_options import LabelOptions
from seglab.data.importers.ids.mask_survey import (
    Storage,
    ValueSurvey,
    survey_colours,
    survey_storage,
    survey_values,
)
from seglab.data.importers.ids.remedies import (
    colour_remedies,
    identity_doubt,
    lossy_remedies,
    refusal,
    value_remedies,
)

log = logging.getLogger(__name__)

_BINARY_NAMES = ("background", "foreground")
# 1-bit and 0/1 masks are binary too, so both 1 and 255 are foreground.
_BINARY_RAW_IDS = {0: 0, 1: 1, 255: 1}
_MAX_CLASSES = 255
# Beside fewer values the ignored index may as well be a class.
_FEWEST_IDS = 3
# More values than this are compression or smoothing as likely as classes, unless said.
_MOST_IDS = 32
_MOST_LISTED = 12


def label_space(masks: Sequence[Path], options: LabelOptions) -> tuple[LabelSpace, str, list[str]]:
    """Return the label space, one sentence on what the values mean and why, and further notes.

    Args:
        masks: Mask files. Their headers are read; their pixels only where the options leave the
            meaning of values open.
        options: What the user says.

    Raises:
        LabelError: The values can be read in several ways, or the label space is not valid.
        DataError: No mask can be read, and no option tells the classes.
    """
    if options.mask_encoding == "colour":
        return _space(options, options.num_classes), _judge_colours(masks, options), []
    storage = survey_storage(masks)
    if options.identity or options.raw_ids is not None:
        return _stated(masks, options, storage)
    _require_plain(masks, storage, options)
    found = survey_values(masks)
    if not found.pixels:
        return _unread(masks, found, options)
    if options.binary:
        reasons = _doubts_of_binary(found)
        sentence = "as stated by binary=true"
    else:
        reasons = _doubts(found, options)
        sentence = "inferred from the masks"
    if reasons:
        raise refusal(
            "what the values in the masks mean is not certain",
            reasons,
            found.table(),
            value_remedies(found, options),
        )
    space = _space(options, len(set(found.pixels) - {options.void}))
    return space, f"mask values {sentence}: {_reading(found, space)}", _naming(options, space)


def require_published_form(masks: Sequence[Path]) -> None:
    """Refuse masks that are not stored as data sets are published: one channel, nothing lost.

    Raises:
        LabelError: Some are; compression may have turned one class into another.
    """
    _require_plain(masks, survey_storage(masks), None)


def _space(options: LabelOptions, num_classes: int | None) -> LabelSpace:
    names, raw_ids = options.class_names, options.raw_ids or {}
    if options.binary:
        names, raw_ids = names or _BINARY_NAMES, _BINARY_RAW_IDS
    if names is None:
        names = tuple(f"class_{index}" for index in range(num_classes or 0))
    colour = options.ignore_colour or BLACK
    return LabelSpace(names, options.palette, raw_ids, options.void, colour)


def _naming(options: LabelOptions, space: LabelSpace) -> list[str]:
    if options.class_names is not None or options.binary:
        return []
    return [f"class_names not given: {space.class_names[0]} to {space.class_names[-1]}"]


def _stated(
    masks: Sequence[Path], options: LabelOptions, storage: Storage
) -> tuple[LabelSpace, str, list[str]]:
    count = options.num_classes
    if count is None:
        found = survey_values(masks)
        ids = set(found.pixels) - {options.void}
        if not ids:
            return _unread(masks, found, options)
        count = max(2, max(ids) + 1)
        if count > _MAX_CLASSES:
            raise LabelError(
                f"raw_ids=identity: class indices end at {_MAX_CLASSES - 1}, and the masks hold "
                f"{found.table()}"
            )
        doubt = identity_doubt(found, options, count)
        if doubt is not None:
            log.warning("%s", doubt)
    space = _space(options, count)
    notes = _naming(options, space)
    notes += [f"{len(paths)} masks are {name}" for name, paths in storage.lossy.items()]
    notes += [
        f"{len(paths)} masks are {name}: their one value is taken, alpha left out"
        for name, paths in storage.channels.items()
    ]
    reading = "class indices" if options.identity else _mapping(space)
    return space, f"mask values as stated in raw_ids: {reading}", notes


def _mapping(space: LabelSpace) -> str:
    if len(space.raw_ids) > _MOST_LISTED:
        return f"{len(space.raw_ids)} values"
    names = {**dict(enumerate(space.class_names)), space.ignore_index: "ignored"}
    return ", ".join(f"{value} is {names[index]}" for value, index in space.raw_ids.items())


def _unread(
    masks: Sequence[Path], found: ValueSurvey, options: LabelOptions
) -> tuple[LabelSpace, str, list[str]]:
    """Return the label space of options alone; what is wrong with the masks is told file by file."""
    count = 2 if options.binary else options.num_classes
    if count is not None:
        space = _space(options, count)
        why = "no mask could be read" if masks else "there are no masks"
        return space, f"mask values not looked at: {why}", _naming(options, space)
    reasons = []
    if found.missing:
        missing = f"{len(found.missing)} of {len(masks)} masks are not there"
        reasons.append(f"{missing}, for example {found.missing[0]}")
    if found.unreadable:
        unread = f"{len(found.unreadable)} of {len(masks)} cannot be read"
        reasons.append(f"{unread}, for example {found.unreadable[0]}")
    if found.pixels:
        reasons.append(f"all hold {found.table()} alone, which is ignored")
    raise DataError(
        "class_names are not given, and no readable mask tells them: "
        f"{'; '.join(reasons) or 'there are no masks'}; check the options, or give class_names"
    )


def _require_plain(masks: Sequence[Path], storage: Storage, options: LabelOptions | None) -> None:
    """Refuse lossy formats and masks of several channels; None: there are no options to set."""
    reasons = [
        f"{len(paths)} of {len(masks)} masks are {name} (for example {paths[0]}), whose compression "
        "changes values"
        for name, paths in storage.lossy.items()
    ]
    reasons += [
        f"{len(paths)} of {len(masks)} masks are {name} (for example {paths[0]}): more channels "
        "than one"
        for name, paths in storage.channels.items()
    ]
    if not reasons:
        return
    title = "masks are not stored as one channel of exact values"
    colours = survey_colours(storage.files())
    if colours.all_grey():
        found = survey_values(masks)
        remedies = (
            lossy_remedies(found, options) if storage.lossy else value_remedies(found, options)
        )
        raise refusal(title, reasons, found.table(), remedies)
    reasons.append("they hold colours")
    ways = lossy_remedies(None, options) if storage.lossy else colour_remedies(colours, options)
    raise refusal(title, reasons, colours.table(), ways)


def _judge_colours(masks: Sequence[Path], options: LabelOptions) -> str:
    """Refuse black that nobody spoke of: it may be a class of its own or ignored pixels."""
    if BLACK not in options.palette and options.ignore_colour is None:
        found = survey_colours(masks)
        if found.pixels[BLACK]:
            reason = (
                f"{found.masks[BLACK]} masks hold black [0, 0, 0], which is not in the palette: a "
                "class or ignored pixels"
            )
            raise refusal(
                "what the colours in the masks mean is not certain",
                [reason],
                found.table(),
                colour_remedies(found, options),
            )
    ignored = "" if options.ignore_colour is None else f", {list(options.ignore_colour)} is ignored"
    return f"mask colours as stated in palette{ignored}"


def _doubts_of_binary(found: ValueSurvey) -> list[str]:
    strange = sorted(set(found.pixels) - set(_BINARY_RAW_IDS))
    reasons = []
    if strange:
        reasons.append(f"binary=true means 0 and 255, or 0 and 1; {joined(strange, 10)} is neither")
    if found.pixels[1] and found.pixels[255]:
        reasons.append("binary=true means 0 and 255, or 0 and 1; the masks hold both 1 and 255")
    return reasons


def _doubts(found: ValueSurvey, options: LabelOptions) -> list[str]:
    """Return why the values need not be class indices beside the ignored index."""
    ids = sorted(set(found.pixels) - {options.void})
    known = options.num_classes
    count = known or (ids[-1] + 1 if ids else 0)
    reasons = [found.palette_clash] if found.palette_clash else []
    if options.ignore_index is not None and not count <= options.void <= _MAX_CLASSES:
        return [
            f"ignore_index={options.void} is not above the class indices 0 to {count - 1} and below 256, "
            "as the index of ignored pixels must be; leave it out, raw_ids say which value is ignored"
        ]
    outside = [value for value in ids if value >= count]
    absent = sorted(set(range(min(count, _MAX_CLASSES))) - set(ids))
    if outside:
        reasons.append(f"{joined(outside, 10)} is no index of the {count} classes")
    if absent and known:
        names = options.class_names or [f"class {index}" for index in range(known)]
        reasons.append(
            f"no pixel has {joined(absent, 10)}, the index of {joined((names[i] for i in absent), 10)}"
        )
    elif absent:
        reasons.append(f"the values have gaps: no pixel has {joined(absent, 10)}")
    if known is None and len(ids) == 1:
        reasons.append(
            f"all masks hold {ids[0]} as their only value but {options.void}"
            if found.pixels[options.void]
            else f"all masks hold only {ids[0]}"
        )
    if known is None and len(ids) > _MOST_IDS:
        reasons.append(f"{len(ids)} values are as likely smoothing or compression as classes")
    if found.pixels[options.void] and options.ignore_index is None:
        reasons += _doubts_of_void(found, ids, options)
    return reasons


def _doubts_of_void(found: ValueSurvey, ids: Sequence[int], options: LabelOptions) -> list[str]:
    void, few = options.void, "1 other value" if len(ids) == 1 else f"{len(ids)} other values"
    doubt = f"{void} beside {few} is ignored pixels or a class"
    if len(ids) < (_FEWEST_IDS if options.num_classes is None else _FEWEST_IDS - 1):
        return [doubt]
    # A border of ignored pixels lies in the masks of its objects; else two ways of drawing masks
    # may have been mixed, 0 and 1 in some and 0 and 255 in others.
    if len(ids) < _FEWEST_IDS and not found.masks_with(ids[-1], void):
        return [f"{doubt}: no mask holds both {ids[-1]} and {void}"]
    return []


def _reading(found: ValueSurvey, space: LabelSpace) -> str:
    names = {value: space.class_names[index] for value, index in space.raw_ids.items()}
    names = names or dict(enumerate(space.class_names))
    names.setdefault(space.ignore_index, "ignored")
    values = sorted(found.pixels)
    if len(values) > _MOST_LISTED:
        ids = [value for value in values if value != space.ignore_index]
        ignored = f", {space.ignore_index} is ignored" if len(ids) < len(values) else ""
        return f"{ids[0]} to {ids[-1]} are class indices, each in use{ignored}"
    return ", ".join(
        f"{value} is {names[value]} ({found.pixels[value]:,} pixels in {found.masks_with(value):,} "
        "masks)"
        for value in values
    )
