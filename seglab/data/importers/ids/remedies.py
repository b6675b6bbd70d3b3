"""The refusal of an uncertain meaning, and the words on the command line that settle it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from seglab.core.errors import LabelError
from seglab.core.labels import BLACK
from seglab.core.text.option_words import option_word
from seglab.core.text.wording import joined
from seglab.data.importers.ids.label_options import IDENTITY, IGNORE, LabelOptions
from seglab.data.importers.ids.mask_survey import Colour, ColourSurvey, ValueSurvey

# What to type, and what it says.
Remedy = tuple[str, str]
_ANEW = "write the masks anew: PNG, one channel, one value per class, resized by nearest neighbour"
_PUBLISHED = (
    "take the masks as they were published, or import them with the importer `folder`, whose raw_ids "
    "state what each value means"
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_MAPPED = 40
_MOST_COLOURS = 40
_MIDDLE = 128
# So few values are classes rather than what smoothing or compression makes.
_FEW = 8
# Beside fewer classes 255 is as likely one more of them as ignored pixels.
_FEWEST_BESIDE_VOID = 3
_LARGEST_INDEX = 255
# Where a smaller share of pixels lies between the two ends, the values are of two classes.
_BETWEEN = 0.25


def refusal(
    title: str, reasons: Sequence[str], found: str, remedies: Sequence[Remedy]
) -> LabelError:
    """Return the error that says what was found, why that is not certain, and what to type."""
    lines = [f"{title}:", *(f"  - {reason}" for reason in reasons)]
    typed = any(words not in (_ANEW, _PUBLISHED) for words, _ in remedies)
    lines += [f"found: {found}", "say what they mean with one of:" if typed else "to do:"]
    lines += [f"  {words}{f'    # {meaning}' if meaning else ''}" for words, meaning in remedies]
    return LabelError("\n".join(lines))


def value_remedies(found: ValueSurvey, options: LabelOptions | None) -> list[Remedy]:
    """Return the mappings that fit the values found, the likeliest first."""
    if options is None:
        return [(_PUBLISHED, "")]
    values, void = sorted(found.pixels), options.void
    ids = [value for value in values if value != void]
    names = options.class_names
    smoothed = len(values) > _FEW and _is_smoothed(found)
    remedies: list[Remedy | None] = [*_ranges(names)] if smoothed else []
    if len(values) <= _MOST_MAPPED:
        ways = []
        if options.ignore_index is None or len(ids) == len(values):
            ways.append(_mapped(values, values, names, void))
        ways += [_mapped(ids, values, names, void)] if len(ids) < len(values) else []
        remedies += ways if len(ids) < _FEWEST_BESIDE_VOID else ways[::-1]
    if values == [0, 1, void] and (two := _names_for([0, 1], names)) is not None:
        both = {"0": two[0], "1": two[1], str(void): two[1]}
        remedies.append((_raw_ids(both), f"1 and {void} are {two[1]}"))
    is_index = (options.num_classes or 0) <= void <= _LARGEST_INDEX
    if not smoothed and ids and ids[-1] < (options.num_classes or void) and is_index:
        words = option_word("raw_ids", IDENTITY)
        remedies.append((words, f"values are class indices, {void} is ignored"))
    return [one for one in remedies if one is not None] or [(_ANEW, "")]


def identity_doubt(found: ValueSurvey, options: LabelOptions, count: int) -> str | None:
    """Return what speaks against values that are stated to be class indices; None: each has pixels.

    Some classes may well be absent. Where most are, the values are rather numbers of another kind.
    """
    values = sorted(found.pixels)
    ids = [value for value in values if value != options.void]
    absent = [index for index in range(count) if index not in found.pixels]
    if not absent:
        return None
    doubt = (
        f"raw_ids=identity: {len(absent)} of {count} classes have no pixel: {joined(absent, 10)}"
    )
    meant = _mapped(ids, values, options.class_names, options.void)
    if 2 * len(absent) < count or meant is None or len(values) > _MOST_MAPPED:
        return doubt
    return f"{doubt}; did you mean {meant[0]}?"


def lossy_remedies(found: ValueSurvey | None, options: LabelOptions | None) -> list[Remedy]:
    """Return ranges of values for masks of two classes, and what else can be done.

    Args:
        found: The values; None where the masks hold colours.
        options: What the user says; None where an importer has no such options.
    """
    if options is None:
        return [(_PUBLISHED, "")]
    smoothed = found is not None and _is_smoothed(found)
    return [*(_ranges(options.class_names) if smoothed else []), (_ANEW, "")]


def _ranges(names: Sequence[str] | None) -> list[Remedy]:
    two = _names_for([0, 255], names)
    if two is None:
        return []
    mapping = {f"0-{_MIDDLE - 1}": two[0], f"{_MIDDLE}-255": two[1]}
    return [(_raw_ids(mapping), "two classes, cut in the middle")]


def _mapped(
    classes: Sequence[int], values: Sequence[int], names: Sequence[str] | None, void: int
) -> Remedy | None:
    """Return the mapping of some values to classes in their order, the others ignored."""
    listed = _names_for(classes, names)
    if listed is None:
        return None
    mapping = dict(zip(map(str, classes), listed, strict=True))
    mapping.update({str(value): IGNORE for value in values if value not in classes})
    return _raw_ids(mapping), _meaning(mapping, void)


def colour_remedies(found: ColourSurvey, options: LabelOptions | None) -> list[Remedy]:
    """Return the palette that holds the colours found."""
    if options is None:
        return [(_PUBLISHED, "")]
    if len(found.pixels) > _MOST_COLOURS:
        return [(_ANEW, "")]
    colours = [*options.palette, *sorted(set(found.pixels) - set(options.palette))]
    encoding = option_word("mask_encoding", "colour")
    remedies = [
        (f"{encoding} {_palette(colours)}", "each colour a class, in the order of class_names")
    ]
    rest = [colour for colour in colours if colour != BLACK]
    if found.pixels[BLACK] and len(rest) > 1:
        words = f"{encoding} {_palette(rest)} {option_word('ignore_colour', '[0,0,0]')}"
        remedies.append((words, "black is ignored"))
    return remedies


def _names_for(values: Sequence[int], names: Sequence[str] | None) -> Sequence[str] | None:
    """Return one name a value; None where the names given are more or fewer."""
    if names is not None:
        return names if len(names) == len(values) else None
    if len(values) < 2:
        return None
    if len(values) == 2:
        return ("background", "foreground")
    return [f"class_{index}" for index in range(len(values))]


def _is_smoothed(found: ValueSurvey) -> bool:
    """Return whether nearly all pixels lie at the two ends of 0..255."""
    total = sum(found.pixels.values())
    between = sum(
        n for value, n in found.pixels.items() if _MIDDLE // 4 <= value < 255 - _MIDDLE // 4
    )
    return max(found.pixels, default=0) in range(_MIDDLE, 256) and between < _BETWEEN * total


def _meaning(mapping: Mapping[str, str], void: int) -> str:
    name = mapping.get(str(void))
    return "" if name is None else f"{void} is {'ignored' if name == IGNORE else name}"


def _raw_ids(mapping: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{value}: {_quoted(name)}" for value, name in mapping.items())
    return option_word("raw_ids", f"{{{pairs}}}")


def _quoted(name: str) -> str:
    """Return a name as both YAML and the command line's grammar read it."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return '"' + name.replace('"', '\\"') + '"'


def _palette(colours: Sequence[Colour]) -> str:
    listed = ",".join("[{},{},{}]".format(*colour) for colour in colours)
    return option_word("palette", f"[{listed}]")
