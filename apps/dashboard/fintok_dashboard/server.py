"""The server of the dashboard: a WSGI server with threads, until Ctrl-C."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from waitress.server import create_server

from fintok import InputError
from fintok_dashboard.app import create_app

if TYPE_CHECKING:
    from fintok_dashboard.desk import Desk
    from fintok_dashboard.safety import Access

_THREADS = 8


def serve(desk: Desk, access: Access, port: int) -> None:
    """Serve until interrupted; the desk reads in the background meanwhile. Raises InputError for a taken port."""
    logging.getLogger("waitress").setLevel(logging.ERROR)
    app = create_app(desk, access)
    try:
        server: Any = create_server(app.server, host=access.host, port=port, threads=_THREADS, ident="fintok")
    except OSError as error:
        raise InputError(f"cannot serve {access.host}:{port} ({error.strerror}); choose another --port") from error
    shown = f"[{access.host}]" if ":" in access.host else access.host
    print(f"open  http://{shown}:{server.effective_port}/    (Ctrl-C ends it)", flush=True)
    desk.start()
    try:
        server.run()
    finally:
        server.close()
