"""Numbers and names as words, short enough for ticks and sentences."""

from __future__ import annotations

_LABEL_CHARS = 18


def number(value: float, digits: int = 3) -> str:
    """Return a number with no more digits than say something.

    >>> number(0.0316228), number(0.00001), number(12.5)
    ('0.0316', '1e-5', '12.5')
    """
    text = f"{value:.{digits}g}"
    mantissa, mark, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if mark else text


def short(value: object, chars: int = _LABEL_CHARS) -> str:
    """Return a value for a tick: long words lose their middle.

    >>> short("tu-mobilenetv3_small_100")
    'tu-mobil…mall_100'
    """
    text = number(value) if isinstance(value, float) else str(value)
    if len(text) <= chars:
        return text
    half = (chars - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
