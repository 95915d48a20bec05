"""Alerts: the table to sort, filter and search, the verdicts that people give, and the table as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dash
import dash_ag_grid as dag
from dash import Input, Output, State, dcc, html, no_update

from fintok import InputError
from fintok_dashboard.formats import plural
from fintok_dashboard.ledger import MAX_ROWS, alert_table, as_csv, as_parquet, strangest
from fintok_dashboard.store import VERDICTS
from fintok_dashboard.view import View, Window

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk

NAME, TITLE = "alerts", "Alerts"
_FRAME_HEIGHT = 204  # pixels of the window above and below the table


def _number(form: str, compare: str) -> dict[str, Any]:
    """Of a column of numbers, written in a form of d3; a number typed above it is a limit."""
    text = f"params.value == null ? '–' : d3.format({form})(params.value)"
    return {
        "type": "rightAligned",
        "filter": "agNumberColumnFilter",
        "filterParams": {"defaultOption": compare},
        "suppressFloatingFilterButton": False,
        "valueFormatter": {"function": text},
    }


_TINY = "params.value < 0.0001 ? '.1~e' : '.2~g'"
_YES = {
    "cellDataType": "text",
    "valueGetter": {"function": "params.data.in_sample ? 'yes' : ''"},
    "headerTooltip": "yes: the model was trained to this date or a later one",
}
_COLUMNS = [
    {"field": "date", "headerName": "date", "width": 112, "cellDataType": "text", "filter": "agTextColumnFilter"},
    {"field": "symbol", "headerName": "asset", "width": 100},
    {"field": "score", "headerName": "score", "width": 110, **_number("'.1f'", "greaterThanOrEqual")},
    {"field": "p_value", "headerName": "p-value", "width": 120, **_number(_TINY, "lessThanOrEqual")},
    {"field": "reason", "headerName": "reason", "flex": 3, "minWidth": 215},
    {"field": "regime", "headerName": "regime", "width": 110},
    {"field": "in_sample", "headerName": "in sample", "width": 98, **_YES},
    {
        "field": "verdict",
        "headerName": "verdict",
        "width": 120,
        "editable": True,
        "cellEditor": "agSelectCellEditor",
        "cellEditorParams": {"values": list(VERDICTS)},
        "cellClassRules": {f"verdict-{name.replace(' ', '-')}": f"params.value === '{name}'" for name in VERDICTS},
    },
    {"field": "note", "headerName": "note", "flex": 2, "minWidth": 150, "editable": True},
]  # fmt: skip


def layout(desk: Desk, window: Window) -> Any:
    """Buttons above, the table below."""
    return html.Div(
        [
            html.Div(
                [
                    dcc.Input(id="alerts-search", type="search", placeholder="Search …", debounce=False),
                    html.Span("Selected rows:", className="soft"),
                    html.Div(
                        [html.Button(name, id=f"mark-{name.replace(' ', '-')}", n_clicks=0) for name in VERDICTS],
                        className="buttons",
                    ),
                    dcc.Input(id="alerts-note", type="text", placeholder="note for the selected rows", maxLength=2000),
                    html.Button("Write note", id="write-note", n_clicks=0),
                    html.Button("Open asset", id="alerts-open", n_clicks=0),
                    html.Span(className="fill"),
                    html.Button("CSV", id="export-csv", n_clicks=0),
                    html.Button("Parquet", id="export-parquet", n_clicks=0),
                ],
                className="line",
            ),
            html.Div(id="alerts-count", className="soft line", role="status"),
            dag.AgGrid(
                id="alerts-table",
                columnDefs=_COLUMNS,
                rowData=[],
                getRowId="params.data.date + '|' + params.data.symbol",
                defaultColDef={
                    "sortable": True,
                    "filter": True,
                    "resizable": True,
                    "floatingFilter": True,
                    "suppressFloatingFilterButton": True,
                    "suppressHeaderFilterButton": True,
                },
                dashGridOptions={
                    "pagination": True,
                    "paginationPageSize": 50,
                    "paginationPageSizeSelector": [20, 50, 100, 500],
                    "rowSelection": {"mode": "multiRow", "enableClickSelection": True},
                    "rowHeight": 30,
                    "headerHeight": 34,
                    "floatingFiltersHeight": 34,
                    "animateRows": False,
                    "stopEditingWhenCellsLoseFocus": True,
                    "tooltipShowDelay": 300,
                },
                style={"height": f"calc(100vh - {_FRAME_HEIGHT}px)", "minHeight": "380px"},
            ),
            dcc.Download(id="alerts-file"),
        ]
    )


def register(app: dash.Dash, desk: Desk) -> None:
    """The callbacks."""
    register_filling(app, desk)
    register_marking(app, desk)
    register_export(app, desk)


def register_filling(app: dash.Dash, desk: Desk) -> None:
    """The table of the view, what is searched in it, and the way from a row to its asset."""

    @app.callback(
        Output("alerts-table", "rowData"),
        Output("alerts-count", "children"),
        Input("url", "search"),
        Input("marked", "data"),
    )
    def fill(search: str, _: int) -> tuple[Any, str]:
        assert desk.reading is not None
        view = View.parse(search)
        table = alert_table(desk.reading, view, desk.store)
        return strangest(table).to_dicts(), _count(table, view)

    @app.callback(Output("alerts-table", "dashGridOptions"), Input("alerts-search", "value"), prevent_initial_call=True)
    def search(text: str | None) -> Any:
        patch = dash.Patch()
        patch["quickFilterText"] = text or ""
        return patch

    @app.callback(
        Output("url", "pathname", allow_duplicate=True),
        Output("url", "search", allow_duplicate=True),
        Input("alerts-open", "n_clicks"),
        Input("alerts-table", "cellDoubleClicked"),
        State("alerts-table", "selectedRows"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def open_asset(clicks: int, double: dict[str, Any] | None, chosen: list[dict[str, Any]] | None, search: str) -> Any:
        if dash.ctx.triggered_id == "alerts-table":
            is_meant = bool(double) and double["colId"] not in ("verdict", "note")  # those are being edited
        else:
            is_meant = bool(clicks)
        if not chosen or not is_meant:
            return no_update, no_update
        row = chosen[-1]
        changed = View.parse(View.parse(search).href("", asset=row["symbol"], day=row["date"]))
        return "/asset", changed.query()


def register_marking(app: dash.Dash, desk: Desk) -> None:
    """Verdicts and notes, by buttons for the selected rows and by hand in a cell."""

    @app.callback(
        Output("marked", "data", allow_duplicate=True),
        Output("trouble", "children", allow_duplicate=True),
        [Input(f"mark-{name.replace(' ', '-')}", "n_clicks") for name in VERDICTS],
        Input("write-note", "n_clicks"),
        State("alerts-note", "value"),
        State("alerts-table", "selectedRows"),
        prevent_initial_call=True,
    )
    def mark(*given: Any) -> tuple[Any, Any]:
        note, chosen = given[-2], given[-1] or []
        trigger = str(dash.ctx.triggered_id)
        if not any(given[:-2]):
            return no_update, no_update
        if not chosen:
            return no_update, html.Div("Select rows first: click them, or press the space bar.", className="bar")
        cells = [(row["date"], row["symbol"]) for row in chosen]
        if trigger == "write-note":
            return _mark(desk, cells, note=note or "")
        return _mark(desk, cells, verdict=trigger.removeprefix("mark-").replace("-", " "))

    @app.callback(
        Output("marked", "data", allow_duplicate=True),
        Output("trouble", "children", allow_duplicate=True),
        Input("alerts-table", "cellValueChanged"),
        prevent_initial_call=True,
    )
    def edit(changes: list[dict[str, Any]] | None) -> tuple[Any, Any]:
        answer: tuple[Any, Any] = no_update, no_update
        for change in changes or []:
            cell = [(change["data"]["date"], change["data"]["symbol"])]
            value = str(change.get("value") or "")
            if change["colId"] == "verdict":
                answer = _mark(desk, cell, verdict=value)
            elif change["colId"] == "note":
                answer = _mark(desk, cell, note=value)
        return answer


def register_export(app: dash.Dash, desk: Desk) -> None:
    """The whole table of the view as a file."""

    @app.callback(
        Output("alerts-file", "data"),
        Input("export-csv", "n_clicks"),
        Input("export-parquet", "n_clicks"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def export(csv: int, parquet: int, search: str) -> Any:
        if not (csv or parquet) or desk.reading is None:
            return no_update
        table = alert_table(desk.reading, View.parse(search), desk.store)
        if dash.ctx.triggered_id == "export-csv":
            return dcc.send_bytes(as_csv(table), "fintok-alerts.csv")
        return dcc.send_bytes(as_parquet(table), "fintok-alerts.parquet")


def _mark(
    desk: Desk, cells: list[tuple[str, str]], *, verdict: str | None = None, note: str | None = None
) -> tuple[Any, Any]:
    """Mark alerts; the new revision of the store, or what was wrong."""
    try:
        desk.store.mark(cells, verdict=verdict, note=note)
    except InputError as error:
        return no_update, html.Div(str(error), className="bar bad")
    return desk.store.revision(), ""


def _count(table: Any, view: View) -> str:
    alarms = int(table["alarm"].sum())
    shown = "" if len(table) <= MAX_ROWS else f"; the {MAX_ROWS:,} strangest are shown, the files hold all"
    marked = int((table["verdict"] != "open").sum())
    return (
        f"{plural(len(table), 'alert')}: {plural(alarms, 'alarm')} at {view.alarms:g} per 1,000 scores and "
        f"{plural(len(table) - alarms, 'named check')}; {marked:,} marked{shown}. "
        "Data errors are left out of the next calibration."
    )
