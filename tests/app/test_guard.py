"""Access to the app: token, password, origins, limits of uploads and logins."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from facts import mentions

pytest.importorskip("gradio", reason="the extra app is not installed")

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from dvspipe.app.guard import (
    MAX_BODY,
    MAX_WRONG,
    MAX_WRONG_ALL,
    UPLOAD,
    Access,
    Guard,
    LoginLimit,
    UploadQuota,
)

HOME, LIVE = "http://localhost", "ws://localhost/live"
OTHER_SITES = ("http://localhost:9999", "https://attacker.example", "null", "http://[")


async def echo(request: Request) -> Response:
    """Return the size of the body."""
    return PlainTextResponse(str(len(await request.body())))


async def store(request: Request) -> Response:
    """Write the body below the folder of uploads as Gradio does: a partial file at first, then in its own folder."""
    folder: Path = request.app.state.folder
    partial = folder / "partial"
    with partial.open("wb") as file:
        async for chunk in request.stream():
            file.write(chunk)
    number = len([*folder.iterdir()])
    (folder / str(number)).mkdir()
    partial.rename(folder / str(number) / "a.mp4")
    return PlainTextResponse("stored")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


class Site:
    """App with the guard as its middleware.

    Args:
        folder: Folder of uploads.
        password: Password of the app.
        max_bytes: Limit of stored uploads.
    """

    def __init__(self, folder: Path, password: str | None = None, max_bytes: int = 1000) -> None:
        self.access = Access(password)
        self.folder = folder
        guard = Middleware(Guard, access=self.access, quota=UploadQuota(folder, max_bytes))
        routes = [
            Route("/", echo, methods=["GET", "POST"]),
            Route(UPLOAD, store, methods=["POST"]),
            WebSocketRoute("/live", talk),
        ]
        self.app = Starlette(routes=routes, middleware=[guard])
        self.app.state.folder = folder

    def stranger(self) -> TestClient:
        """Return a client without a cookie."""
        return TestClient(self.app, HOME, follow_redirects=False)

    def visitor(self) -> TestClient:
        """Return a client that has opened the printed address."""
        client = self.stranger()
        assert client.get(self.access.address("/")).status_code == 200
        return client


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def attempt(client: TestClient, password: str) -> Response:
    return client.post("/login", data={"password": password})


# Token


def test_token_in_the_address_sets_a_cookie(site: Site) -> None:
    client = site.stranger()
    assert client.get("/").status_code == 401
    first = client.get(site.access.address("/"))
    assert first.status_code == 200
    assert mentions(first.headers["set-cookie"], "HttpOnly", "SameSite=Strict")
    second = client.get("/")
    assert second.status_code == 200
    assert "set-cookie" not in second.headers


@pytest.mark.parametrize("token", ["", "x", "ä", "%00"])
def test_wrong_token_gives_no_access(site: Site, token: str) -> None:
    client = site.stranger()
    answer = client.get(f"/?token={token}")
    assert answer.status_code == 401
    assert "open the address" in answer.text
    assert "set-cookie" not in answer.headers


def test_wrong_cookie_gives_no_access(site: Site) -> None:
    assert site.stranger().get("/", headers={"Cookie": "dvspipe-80=x; dvspipe=y"}).status_code == 401


def test_tokens_differ_between_servers() -> None:
    assert Access().token != Access().token


def test_servers_at_two_ports_have_their_own_cookies(tmp_path: Path) -> None:
    first, second = Site(tmp_path), Site(tmp_path)
    browser = first.visitor()
    other = TestClient(second.app, f"{HOME}:8000", cookies=browser.cookies)
    assert other.get(second.access.address("/")).status_code == 200
    browser.cookies.update(other.cookies)
    assert browser.get("/").status_code == 200


def test_address_for_the_browser_works_once(site: Site) -> None:
    address = site.access.address_once("/")
    assert site.access.token not in address
    assert site.stranger().get(address).status_code == 200
    assert site.stranger().get(address).status_code == 401


def test_websocket_needs_the_cookie_and_the_own_origin(site: Site) -> None:
    with pytest.raises(WebSocketDisconnect), site.stranger().websocket_connect(LIVE):
        pass
    visitor = site.visitor()
    with visitor.websocket_connect(LIVE, headers={"Origin": HOME}) as socket:
        assert socket.receive_text() == "hello"
    for origin in OTHER_SITES:
        with pytest.raises(WebSocketDisconnect), visitor.websocket_connect(LIVE, headers={"Origin": origin}):
            pass


# Password


@pytest.fixture
def locked(tmp_path: Path) -> Site:
    return Site(tmp_path, password="pässword")


def test_login_page_accepts_the_password(locked: Site) -> None:
    client = locked.stranger()
    form = client.get("/")
    assert form.status_code == 401
    assert mentions(form.text, 'type="password"', 'action="/login"')
    done = attempt(client, "pässword")
    assert (done.status_code, done.headers["location"]) == (303, "./")
    assert client.get("/").status_code == 200


def test_wrong_password_gives_no_cookie(locked: Site) -> None:
    client = locked.stranger()
    for password in ("", "password", "x" * 10_000):
        answer = attempt(client, password)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    assert client.get("/").status_code == 401


def test_printed_address_needs_no_password(locked: Site) -> None:
    assert locked.visitor().get("/").status_code == 200


def test_without_a_password_there_is_no_login(site: Site) -> None:
    for password in ("", "None"):
        assert attempt(site.stranger(), password).status_code == 401


def test_login_is_limited_after_wrong_passwords(locked: Site) -> None:
    client = locked.stranger()
    for _ in range(MAX_WRONG):
        assert attempt(client, "wrong").status_code == 401
    answer = attempt(client, "pässword")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert locked.visitor().get("/").status_code == 200


def test_login_limit_is_per_network_and_ends_after_a_minute() -> None:
    now_s = 0.0
    limit = LoginLimit(lambda: now_s)
    for number in range(MAX_WRONG):
        assert limit.wait_s("2001:db8::1") == 0
        limit.count(f"2001:db8::{number}")
        now_s += 1
    assert limit.wait_s("2001:db8::99") == 60 - MAX_WRONG
    limit.count("::ffff:192.168.0.6")
    assert limit.wait_s("192.168.0.7") == limit.wait_s("::ffff:192.168.0.7") == 0
    now_s = 60.0
    assert limit.wait_s("2001:db8::1") == 0


def test_login_limit_holds_for_all_addresses_and_its_table_is_bounded() -> None:
    now_s = 0.0
    limit = LoginLimit(lambda: now_s)
    tried = [f"10.0.0.{number}" for number in range(250) if not limit.wait_s(f"10.0.0.{number}")]
    for host in tried:
        if not limit.wait_s(host):
            limit.count(host)
    assert len(limit) == MAX_WRONG_ALL
    assert limit.wait_s("10.1.1.1") == 60
    now_s = 61.0
    assert limit.wait_s("10.1.1.1") == 0
    assert len(limit) == 0


# Other sites


@pytest.mark.parametrize("origin", OTHER_SITES)
def test_requests_from_other_sites_are_refused(site: Site, origin: str) -> None:
    for method, path in (("POST", "/"), ("GET", "/"), ("POST", UPLOAD)):
        answer = site.visitor().request(method, path, headers={"Origin": origin}, files={"files": b"x"})
        assert answer.status_code == 403
        assert len(answer.text.splitlines()) == 1
    assert not [*site.folder.iterdir()]


def test_requests_of_the_page_itself_are_answered(site: Site) -> None:
    assert site.visitor().post("/", headers={"Origin": HOME}).status_code == 200


def test_other_sites_cannot_try_passwords(locked: Site) -> None:
    client = locked.stranger()
    answer = client.post("/login", data={"password": "pässword"}, headers={"Origin": OTHER_SITES[1]})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/gradio_api/file=https://example.org/", "/gradio_api/proxy=https://example.org/"])
def test_files_of_other_hosts_are_not_fetched(site: Site, path: str) -> None:
    assert site.visitor().get(path).status_code == 403


# Sizes


def pieces(count: int, size: int = 100) -> Iterator[bytes]:
    """Yield a body without a known length."""
    for _ in range(count):
        yield bytes(size)


def test_large_request_is_refused(site: Site) -> None:
    visitor = site.visitor()
    assert visitor.post("/", content=bytes(MAX_BODY)).text == str(MAX_BODY)
    assert visitor.post("/", content=bytes(MAX_BODY + 1)).status_code == 413
    assert visitor.post("/", content=pieces(5, MAX_BODY // 4)).status_code == 413


@pytest.mark.parametrize("known", [True, False], ids=["with length", "streamed"])
def test_stored_uploads_have_a_quota(site: Site, known: bool) -> None:
    visitor = site.visitor()
    for _ in range(2):
        assert visitor.post(UPLOAD, content=pieces(4)).status_code == 200
    refused = visitor.post(UPLOAD, content=bytes(300) if known else pieces(3))
    assert refused.status_code == 413
    assert "no space" in refused.text
    assert sum(path.stat().st_size for path in site.folder.rglob("*.mp4")) == 800
    assert visitor.post(UPLOAD, content=pieces(2)).status_code == 200


def test_refused_upload_leaves_no_partial_file(site: Site) -> None:
    assert site.visitor().post(UPLOAD, content=pieces(20)).status_code == 413
    assert not [*site.folder.iterdir()]


def test_upload_to_a_full_disk_is_refused_in_one_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", fail)
    answer = site.visitor().post(UPLOAD, content=b"film")
    assert (answer.status_code, answer.text) == (507, "the disk is full\n")
    assert not [path for path in site.folder.rglob("*") if path.is_file()]


def test_uploads_at_the_same_time_share_the_quota(tmp_path: Path) -> None:
    quota = UploadQuota(tmp_path, 1000)
    quota.begin()
    assert quota.add(600)
    quota.begin()
    assert quota.left == 400
    assert not quota.add(600)
    quota.end()
    quota.end()
    assert quota.left == 1000
