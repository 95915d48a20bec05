"""``fintok dashboard``."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fintok import InputError
from fintok.commands.options import AnyModel, PanelPath, PanelReader, ReaderOptions

_NEEDED = ("dash", "dash_ag_grid", "sqlalchemy", "waitress")
_LAST_PORT = 65_535


def dashboard(
    *,
    model: AnyModel = None,
    panel: PanelPath,
    host: Annotated[
        str, Parameter(help="Address to serve; another one than this machine's demands a token or a password.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to serve; 0 takes a free one.")] = 8050,
    store: Annotated[
        str | None,
        Parameter(
            help="Database of marks, a SQLAlchemy URL; without it SQLite in the folder where --cache is by default."
        ),
    ] = None,
    scores: Annotated[Path | None, Parameter(help="Take these scores of fintok score as they are.")] = None,
    regimes: Annotated[Path | None, Parameter(help="Take these regimes of fintok label as they are.")] = None,
    groups: Annotated[Path | None, Parameter(help="A table with columns symbol and group, such as sectors.")] = None,
    cache: Annotated[
        Path | None,
        Parameter(
            help="Folder for what was read, for the next start; without it MODEL/dashboard, or PANEL-dashboard where "
            "no model is given."
        ),
    ] = None,
    token: Annotated[str, Parameter(help="Let in who shows it.", env_var="FINTOK_DASHBOARD_TOKEN")] = "",
    user: Annotated[
        str, Parameter(help="Let in who gives this name and the password.", env_var="FINTOK_DASHBOARD_USER")
    ] = "",
    password: Annotated[str, Parameter(help="See --user.", env_var="FINTOK_DASHBOARD_PASSWORD")] = "",
    reader: ReaderOptions = PanelReader(),
) -> None:
    """Look at regimes, anomalies and tokens in a browser, and mark alerts: data error, news, noise.

    The first start reads the panel with the model, which takes minutes for a large one; the next ones are immediate.
    """
    if not 0 <= port <= _LAST_PORT:
        raise InputError(f"--port {port} is no port; choose one of 1 to {_LAST_PORT:,}, or 0 for a free one")
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f'the dashboard needs {missing[0]}, which is not installed: pip install "fintok[dashboard]"')
    for path in (model, panel, scores, regimes, groups):
        if path is not None and not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
    from fintok.bundle import SHIPPED
    from fintok_dashboard.desk import Desk, Sources
    from fintok_dashboard.safety import Access
    from fintok_dashboard.server import serve
    from fintok_dashboard.store import Store

    access = Access(host=host, token=token, user=user, password=password)
    named = Path(os.path.abspath(panel))  # a folder given as . has no name of its own
    beside = named.with_name(f"{named.stem}-dashboard") if model is None else model / "dashboard"
    sources = Sources(
        model=model or SHIPPED,
        panel=panel,
        read_panel=lambda: reader.read(panel),
        cache=cache or beside,
        scores=scores,
        regimes=regimes,
        groups=groups,
    )
    desk = Desk(sources, Store.open(store) if store else Store.beside(beside))
    desk.check()
    serve(desk, access, port)
