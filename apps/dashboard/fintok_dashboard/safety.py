"""Who may look: the address that is served, who is let in, and what a browser may load."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import flask

from fintok import InputError

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

_COOKIE = "fintok_dashboard"
_LOGIN = "/login"
_SECONDS_AFTER_FAILURE = 1.0  # guessing is slow
_MIN_SECRET = 8  # characters


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who is let in. With neither a token nor a password everybody who can reach the address is."""

    host: str = "127.0.0.1"
    token: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if bool(self.user) != bool(self.password):
            raise InputError("--user and --password go together: give both")
        for name in ("token", "password"):
            secret = getattr(self, name)
            if secret and len(secret) < _MIN_SECRET:
                raise InputError(f"--{name} has {len(secret)} characters; take at least {_MIN_SECRET}")
        if not self.is_local and not self.is_closed:
            raise InputError(f"--host {self.host} lets others in: demand a --token, or a --user and a --password, too")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        return _is_loopback(self.host)

    @property
    def is_closed(self) -> bool:
        """Whether visitors must show something."""
        return bool(self.token or self.password)

    def pass_for(self, token: str, user: str, password: str) -> str:
        """The cookie for who shows the right token, or user and password; empty for others."""
        by_token = bool(self.token) and _same(token, self.token)
        by_password = bool(self.password) and _same(user, self.user) & _same(password, self.password)
        return self.cookie if by_token or by_password else ""

    @property
    def cookie(self) -> str:
        """A value that only who knows the secrets can make; the same after a restart."""
        secret = "\0".join((self.token, self.user, self.password)).encode()
        key = hashlib.scrypt(secret, salt=b"fintok dashboard", n=2**12, r=8, p=1, dklen=32)
        return base64.urlsafe_b64encode(key).decode()


def protect(server: flask.Flask, access: Access, script_hashes: Sequence[str]) -> None:
    """Check every request to a server and put the rules for browsers on every answer."""
    cookie = access.cookie if access.is_closed else ""
    rules = "; ".join(
        [
            "default-src 'self'",
            f"script-src 'self' {' '.join(script_hashes)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ]
    )

    @server.before_request
    def _check() -> Response | tuple[str, int] | None:
        request = flask.request
        if access.is_local and not _is_loopback(urlsplit(f"//{request.host}").hostname or ""):
            return "This address is not served here.", 403  # a foreign name that points to this machine
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin and urlsplit(origin).netloc != request.host:
            return "Requests from other sites are refused.", 403
        if not cookie or _same(request.cookies.get(_COOKIE, ""), cookie):
            return None
        if request.path == _LOGIN:
            return _log_in(access)
        if request.method == "GET" and request.args.get("token"):
            return _log_in(access)
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            return _ask(access)
        return "Log in first.", 401

    @server.after_request
    def _rules(response: flask.Response) -> flask.Response:
        response.headers.setdefault("Content-Security-Policy", rules)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def _log_in(access: Access) -> Response:
    """Answer to a token in the address, or to the form."""
    given = flask.request.form if flask.request.method == "POST" else flask.request.args
    cookie = access.pass_for(given.get("token", ""), given.get("user", ""), given.get("password", ""))
    if not cookie:
        time.sleep(_SECONDS_AFTER_FAILURE)
        return _ask(access, "That was not right.")
    response = flask.redirect("/" if flask.request.path == _LOGIN else flask.request.path)  # without the token
    response.set_cookie(_COOKIE, cookie, httponly=True, samesite="Strict", secure=flask.request.is_secure, path="/")
    return response


def _ask(access: Access, problem: str = "") -> flask.Response:
    """The page with the form, which goes on asking: 401."""
    fields = []
    if access.token:
        fields.append('<label>Token <input name="token" type="password" autocomplete="current-password"></label>')
    if access.password:
        fields.append('<label>User <input name="user" autocomplete="username"></label>')
        fields.append('<label>Password <input name="password" type="password" autocomplete="current-password"></label>')
    page = (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>fintok</title>'
        "<style>:root{color-scheme:light dark}body{font:16px system-ui,sans-serif;display:grid;place-items:center;"
        "height:90vh}"
        "form{display:grid;gap:12px}label{display:grid;gap:4px}input,button{font:inherit;padding:6px}</style>"
        f'<form method="post" action="{_LOGIN}"><h1>fintok</h1>{"".join(fields)}'
        f"<button>Log in</button><p role=alert>{html.escape(problem)}</p></form></html>"
    )
    return flask.Response(page, 401)


def _same(given: str, expected: str) -> bool:
    """Comparison whose time tells nothing."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
