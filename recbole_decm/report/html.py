"""Pages that open without a network: templates in which every text is escaped, and figures of plotly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    import plotly.graph_objects as go

_ROOM = "recbole_decm.report"


def render(template: str, **context: Any) -> str:
    """A template of this room, filled in; all extend ``page.html.j2``, and every text in them is escaped."""
    return _environment().get_template(template).render(**context)


def figures_page(title: str, lead: str, figures: Mapping[str, go.Figure]) -> str:
    """A page of figures, each under its heading. Title, lead and headings are shown as they are."""
    named = {f"figure-{i}": figure for i, figure in enumerate(figures.values())}
    places = dict(zip(named, figures, strict=True))
    data = {"figures_data": figures_json(named), "curves_data": script_safe("[]")}
    return render("figures.html.j2", title=title, lead=lead, places=places, **data)


def figures_json(figures: Mapping[str, go.Figure]) -> Markup:
    """Figures by the ids of the places to draw them in, as JSON for a script element."""
    entries = (f"{json.dumps(name)}:{figure.to_json()}" for name, figure in figures.items())
    return script_safe("{" + ",".join(entries) + "}")


def script_safe(text: str) -> Markup:
    """JSON that may stand inside a script element: nothing in it can end the element or the line."""
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_ROOM, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(plotly=_plotly, asset=_asset)
    return environment


def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs  # not every page has figures

    return Markup(get_plotlyjs())


def _asset(name: str) -> Markup:
    return Markup(files(_ROOM).joinpath("templates").joinpath(name).read_text(encoding="utf-8"))
