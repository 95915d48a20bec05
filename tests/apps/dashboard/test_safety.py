"""Who is let in, and what a browser is told."""

import pytest

from fintok import InputError
from fintok_dashboard.app import create_app
from fintok_dashboard.safety import Access

HTML = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("fintok_dashboard.safety._SECONDS_AFTER_FAILURE", 0.0)


def client(desk, **access):
    return create_app(desk, Access(**access)).server.test_client()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_another_address_demands_a_token_or_a_password(host):
    with pytest.raises(InputError, match="demand a --token, or a --user and a --password"):
        Access(host=host)
    assert Access(host=host, token="a long token").is_closed
    assert Access(host=host, user="ann", password="a long one").is_closed


@pytest.mark.parametrize("given", [{"token": "short"}, {"user": "ann"}, {"password": "a long one"}])
def test_half_a_secret_is_refused(given):
    with pytest.raises(InputError):
        Access(**given)


def test_secrets_are_in_no_repr():
    access = Access(token="a long token", user="ann", password="a long one")
    assert "long" not in repr(access)


def test_without_a_token_nothing_is_answered(desk):
    browser = client(desk, host="0.0.0.0", token="a long token")
    for path in ("/", "/_dash-layout", "/_dash-dependencies", "/assets/fintok.css"):
        assert browser.get(path).status_code == 401
    page = browser.get("/?token=%3Cscript%3E", headers=HTML)
    assert page.status_code == 401
    assert b"<script>" not in page.data
    assert browser.post("/_dash-update-component", json={}).status_code == 401


def test_the_token_becomes_a_cookie_that_scripts_cannot_read(desk):
    browser = client(desk, host="0.0.0.0", token="a long token")
    answer = browser.get("/map?token=a+long+token", headers=HTML)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/map"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "long" not in cookie
    assert browser.get("/_dash-layout").status_code == 200


def test_user_and_password_let_in(desk):
    browser = client(desk, host="0.0.0.0", user="ann", password="a long one")
    assert browser.post("/login", data={"user": "ann", "password": "wrong"}).status_code == 401
    assert browser.post("/login", data={"user": "bob", "password": "a long one"}).status_code == 401
    assert browser.post("/login", data={"user": "", "password": ""}).status_code == 401
    assert browser.post("/login", data={"user": "ann", "password": "a long one"}).status_code == 302
    assert browser.get("/_dash-layout").status_code == 200


def test_other_sites_and_other_names_are_refused(desk):
    browser = client(desk)
    assert browser.get("/_dash-layout").status_code == 200
    assert browser.get("/_dash-layout", headers={"Host": "evil.example"}).status_code == 403
    evil = {"Origin": "https://evil.example"}
    assert browser.post("/_dash-update-component", json={}, headers=evil).status_code == 403


def test_a_browser_may_load_from_here_only(desk):
    rules = client(desk).get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in rules
    assert "unsafe-eval" not in rules
    assert "http" not in rules


@pytest.mark.parametrize(
    "path", ["/assets/../app.py", "/assets/%2e%2e/app.py", "/../../etc/passwd", "/assets//etc/passwd"]
)
def test_no_path_of_an_address_reaches_a_file(desk, path):
    answer = client(desk).get(path)
    assert b"create_app" not in answer.data
    assert b"root:" not in answer.data
