"""The app: one frame for all pages, the address that says which, and the news of the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash
from dash import Input, Output, State, dcc, html, no_update, set_props

from fintok_dashboard import controls
from fintok_dashboard.formats import moment, plural
from fintok_dashboard.pages import PAGES
from fintok_dashboard.safety import Access, protect
from fintok_dashboard.view import View, Window

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk

POLL_SECONDS = 2.0
_SOON = [  # parts of Dash that every page needs: it would ask for them one by one, later
    {"src": f"/_dash-component-suites/dash/dcc/async-{part}.js", "defer": "defer"}
    for part in ("graph", "dropdown", "datepicker")
]
_PAGES_LABEL: dict[str, Any] = {"aria-label": "Pages"}
_THEME_LABEL: dict[str, Any] = {"aria-label": "Light or dark"}


def create_app(desk: Desk, access: Access | None = None, *, poll_seconds: float = POLL_SECONDS) -> dash.Dash:
    """The dashboard of a desk as a Dash app; `app.server` is its WSGI application."""
    app = dash.Dash(
        __name__,
        external_scripts=_SOON,
        title="fintok",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,  # parts of a page come and go with it
        on_error=_tell,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.index_string = app.index_string.replace("<html>", '<html lang="en">')
    app.layout = _frame(poll_seconds)
    controls.register(app, desk)
    _register(app, desk)
    for page in PAGES.values():
        page.register(app, desk)
    protect(app.server, access or Access(), app.csp_hashes())
    return app


def _frame(poll_seconds: float) -> html.Div:
    links = [dcc.Link(page.TITLE, href=path, id=f"nav-{page.NAME}", className="way") for path, page in PAGES.items()]
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="theme", storage_type="local"),
            dcc.Store(id="size"),
            dcc.Store(id="version"),
            dcc.Store(id="marked"),
            dcc.Interval(id="poll", interval=round(1000 * poll_seconds)),
            html.A("To the page", href="#page", className="skip"),
            html.Header(
                [
                    html.H1("fintok", className="brand"),
                    html.Nav(links, **_PAGES_LABEL),
                    html.Span(id="what", className="soft what"),
                    html.Button("◐", id="toggle", title="Light or dark (t)", **_THEME_LABEL),
                ]
            ),
            controls.layout(),
            html.Div(id="news", role="status"),
            html.Div(id="trouble", role="alert"),
            html.Main(id="page", tabIndex="-1"),
        ]
    )


def _register(app: dash.Dash, desk: Desk) -> None:
    app.clientside_callback(
        dash.ClientsideFunction("fintok", "theme"),
        Output("theme", "data"),
        Input("toggle", "n_clicks"),
        State("theme", "data"),
    )
    hrefs = [(f"nav-{page.NAME}", "href") for page in PAGES.values()]
    app.clientside_callback(
        dash.ClientsideFunction("fintok", "keepView"),
        [Output(*href) for href in hrefs],
        Input("url", "search"),
        [State(*href) for href in hrefs],
    )
    app.clientside_callback(
        dash.ClientsideFunction("fintok", "clear"), Output("trouble", "children"), Input("url", "href")
    )

    @app.callback(
        Output("version", "data"),
        Output("marked", "data"),
        Output("news", "children"),
        Input("poll", "n_intervals"),
        State("version", "data"),
        State("marked", "data"),
    )
    def poll(_: int | None, version: str | None, marked: int | None) -> tuple[Any, Any, Any]:
        state = f"{desk.version}:{'' if desk.reading else desk.step}"  # a page that waits shows each step
        revision = desk.store.revision()
        return (
            no_update if state == version else state,
            no_update if revision == marked else revision,
            _news(desk),
        )

    @app.callback(
        Output("page", "children"),
        Output("what", "children"),
        [Output(f"nav-{page.NAME}", "className") for page in PAGES.values()],
        Input("url", "pathname"),
        Input("version", "data"),
        State("url", "search"),
        State("size", "data"),
        State("theme", "data"),
    )
    def show(path: str | None, _: str, search: str, size: dict[str, int] | None, theme: str | None) -> list[Any]:
        page = PAGES.get(path or "/")
        tabs = ["way here" if other is page else "way" for other in PAGES.values()]
        return [_page(desk, page, Window(View.parse(search), size, theme)), _what(desk), *tabs]

    @app.callback(
        Output("news", "children", allow_duplicate=True), Input("reload", "n_clicks"), prevent_initial_call=True
    )
    def reload(clicks: int | None) -> Any:
        if not clicks:
            return no_update
        desk.start().join(0.2)
        return _news(desk)


def _page(desk: Desk, page: Any, window: Window) -> Any:
    """What a page shows before there is anything to show, and else the page."""
    if page is None:
        return _notice("There is no such page", "Choose one above.")
    if desk.reading is None:
        if desk.problem:
            return _notice("The dashboard has nothing to show", desk.problem, "Mend the file and press Read again.")
        step = desk.step or "starting"
        patience = "The first reading of a panel takes minutes, later ones seconds."
        return _notice("One moment", f"{step.capitalize()} …", patience)
    if desk.reading.panel.num_days == 0 or desk.reading.panel.num_assets == 0:
        return _notice("The panel is empty", f"{desk.sources.panel} holds no dates or no assets.")
    return page.layout(desk, window)


def _notice(title: str, *texts: str) -> html.Div:
    return html.Div([html.H1(title), *(html.P(text) for text in texts)], className="notice")


def _news(desk: Desk) -> Any:
    """A line when something is on its way, went wrong or can be had."""
    again = html.Button("Read again", id="reload", n_clicks=0)
    if desk.step:
        return html.Div(f"New reading on its way: {desk.step} …", className="bar") if desk.reading else None
    if desk.reading is None:
        return html.Div([again], className="bar") if desk.problem else None
    if desk.has_new_data:
        text = "Files, or marks of data errors, have changed since the last reading. "
        return html.Div([text, again], className="bar")
    if desk.problem:
        text = f"The last reading failed, this is the one before: {desk.problem} "
        return html.Div([text, again], className="bar bad")
    if desk.lost_marks:
        text = f"{plural(desk.lost_marks, 'mark')} without effect: no row of the panel has that date and asset."
        return html.Div(text, className="bar")
    return None


def _what(desk: Desk) -> str:
    reading = desk.reading
    if reading is None or reading.panel.num_days == 0:
        return ""
    return (
        f"{desk.sources.panel.stem} · {plural(reading.panel.num_assets, 'asset')} to {moment(reading.panel.dates[-1])}"
    )


def _tell(error: Exception) -> None:
    """A callback that fails says so on the page, in a sentence."""
    set_props("trouble", {"children": html.Div(f"{type(error).__name__}: {error}", className="bar bad")})
