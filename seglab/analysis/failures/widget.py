"""The failure gallery as a widget; needs ipywidgets (`pip install seglab[notebooks]`)."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from typing import Any

import ipywidgets  # type: ignore[import-untyped]
import numpy as np
from PIL import Image

from seglab.analysis.failures.cases import ANY, Case, FailureGallery, Panel

_WIDTH = "260px"
_MAX_WIDTH_PX = 640


class GalleryWidget(ipywidgets.VBox):  # type: ignore[misc, unused-ignore]
    """Filters, a slider through the cases, one for the opacity of masks, and the panels.

    Args:
        content: Cases of one or two evaluations.
        opacity: Of masks over the image at first, 0..1.
        filters: First values of class_name, error_type, reason and shared.
    """

    def __init__(
        self,
        content: FailureGallery,
        opacity: float = 0.6,
        filters: Mapping[str, Any] | None = None,
    ) -> None:
        self.content = content
        chosen = dict(filters or {})
        # Refuses a filter that nothing fits before the widget is there.
        self.selected: list[Case] = content.select(**chosen)
        self.class_name = _menu("class", content.choices("classes"), chosen.get("class_name"))
        self.error_type = _menu("error", content.choices("error_types"), chosen.get("error_type"))
        self.reason = _menu("why", content.choices("reasons"), chosen.get("reason"))
        self.shared = ipywidgets.Checkbox(
            value=bool(chosen.get("shared")), description="in every run", indent=False
        )
        self.place = ipywidgets.IntSlider(
            min=1, max=max(1, len(self.selected)), description="case", continuous_update=False
        )
        self.opacity = ipywidgets.FloatSlider(
            value=opacity, min=0.0, max=1.0, step=0.05, description="opacity", readout_format=".2f"
        )
        self.confidence = ipywidgets.Checkbox(description="confidence", indent=False)
        self.caption = ipywidgets.HTML()
        self.pictures = ipywidgets.HBox(layout={"flex_flow": "row wrap"})
        menus = [self.class_name, self.error_type, self.reason]
        if len(content.records) > 1:
            menus.append(self.shared)
        super().__init__(
            [
                ipywidgets.HBox(menus, layout={"flex_flow": "row wrap"}),
                ipywidgets.HBox([self.place, self.opacity, self.confidence]),
                self.caption,
                self.pictures,
            ]
        )
        for control in (self.class_name, self.error_type, self.reason, self.shared):
            control.observe(lambda _: self.choose(), "value")
        for control in (self.place, self.opacity, self.confidence):
            control.observe(lambda _: self.draw(), "value")
        self.draw()

    def choose(self) -> None:
        """Apply the filters and go to the first case."""
        self.selected = self.content.select(
            self.class_name.value, self.error_type.value, self.reason.value, self.shared.value
        )
        self.place.max = max(1, len(self.selected))
        self.place.value = 1
        self.draw()

    def draw(self) -> None:
        """Show the present case."""
        if not self.selected:
            self.caption.value = "no case fits these filters"
            self.pictures.children = ()
            return
        case = self.selected[self.place.value - 1]
        why = html.escape("; ".join(case.reasons))
        self.caption.value = (
            f"<b>{html.escape(case.sample_id)}</b> "
            f"({self.place.value} of {len(self.selected)})<br>{why}"
        )
        panels = self.content.panels(case, self.opacity.value, self.confidence.value)
        self.pictures.children = tuple(_show(panel) for panel in panels)


def _menu(name: str, choices: list[str], chosen: str | None) -> Any:
    return ipywidgets.Dropdown(options=[ANY, *choices], value=chosen or ANY, description=name)


def _show(panel: Panel) -> Any:
    title = ipywidgets.HTML(f"<b>{html.escape(panel.title)}</b>")
    note = ipywidgets.HTML(f"<small>{html.escape(panel.note)}</small>")
    picture = ipywidgets.Image(value=_png(panel.picture), format="png", layout={"width": _WIDTH})
    return ipywidgets.VBox([title, picture, note], layout={"width": _WIDTH, "margin": "0 8px 0 0"})


def _png(picture: np.ndarray) -> bytes:
    drawn = Image.fromarray(picture)
    if drawn.width > _MAX_WIDTH_PX:
        drawn = drawn.resize((_MAX_WIDTH_PX, round(drawn.height * _MAX_WIDTH_PX / drawn.width)))
    stream = io.BytesIO()
    drawn.save(stream, "PNG")
    return stream.getvalue()
