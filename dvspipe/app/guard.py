"""Access to the app: token or password, requests of its own page only, their files, and limits of sizes and logins.

Two middlewares surround all routes. `Guard` decides who gets in (`Access`, `LoginLimit`), and limits the size of bodies
and of all uploads (`UploadQuota`). `CallCheck` decides which files the functions of the page may be called with.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import math
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from ..base.errors import shorten
from .disk_space import DISK_FULL, is_disk_full

TOKEN_BYTES = 16  # 22 characters; the printed address fits a terminal of 80 columns
TOKEN = "token"  # name in the query of the printed address
LOGIN = "/login"
UPLOAD = "/gradio_api/upload"
CALL = re.compile("/gradio_api/(queue/join|run/|api/|call/)")
MAX_BODY = 4 << 20  # bytes of a request that is not an upload
MAX_FORM = 4 << 10  # bytes of the login form
LOGIN_PERIOD_S = 60.0
MAX_WRONG = 5  # wrong passwords from one address in a period
MAX_WRONG_ALL = 100  # wrong passwords from all addresses in a period; addresses can be forged
POLICY_VIOLATION = 1008  # close code of a websocket: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
NO_TOKEN = "This page needs its token: open the address that dvspipe app printed.\n"
CONTENT_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; base-uri 'self'; "
    "form-action 'self'; object-src 'none'"
)
"""Content security policy: browsers load nothing from other hosts."""
LOGIN_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>dvspipe</title>
<style>:root {{ color-scheme: light dark; font: 1rem system-ui, sans-serif; }}
body {{ max-width: 20rem; margin: 20vh auto; padding: 0 1rem; }}
input, button {{ font: inherit; padding: .5rem; margin-top: .5rem; width: 100%; box-sizing: border-box; }}</style>
</head><body><h1>dvspipe</h1><p role="alert">{message}</p><form method="post" action="{action}">
<label>Password <input type="password" name="password" autocomplete="current-password" required autofocus></label>
<button>Log in</button></form></body></html>
"""


class _WrongPassword(NamedTuple):
    """Time of a wrong password in seconds, and the network that it came from."""

    time_s: float
    network: str


class LoginLimit:
    """Limit of wrong passwords: per address, and for all addresses, in a minute.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: deque[_WrongPassword] = deque()

    def wait_s(self, host: str) -> int:
        """Return the time in seconds until `host` may try a password; 0: now."""
        now_s = self._clock()
        network = _network_of(host)
        while self._wrong and self._wrong[0].time_s <= now_s - LOGIN_PERIOD_S:
            self._wrong.popleft()

        # The first of the last MAX_WRONG attempts must be a period old. All networks together have a limit, too,
        # because addresses can be forged.
        attempts_s = [wrong.time_s for wrong in self._wrong if wrong.network == network]
        oldest_s = attempts_s[-MAX_WRONG] if len(attempts_s) >= MAX_WRONG else None
        if len(self._wrong) >= MAX_WRONG_ALL:
            oldest_s = self._wrong[0].time_s

        return 0 if oldest_s is None else math.ceil(oldest_s + LOGIN_PERIOD_S - now_s)

    def count(self, host: str) -> None:
        """Record a wrong password from `host`."""
        self._wrong.append(_WrongPassword(self._clock(), _network_of(host)))

    def __len__(self) -> int:
        return len(self._wrong)


def _network_of(host: str) -> str:
    """Return an address; of IPv6 the /64 network, because one machine has all its addresses."""
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host

    return str(address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False))


class Access:
    """Token and password of a server.

    A browser gets the cookie from an address with the token, or with the password. The server keeps no list of
    browsers: the value of the cookie is the token.

    Args:
        password: Password; None: only the token gives access.
    """

    def __init__(self, password: str | None = None) -> None:
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.limit = LoginLimit()
        self._password = password
        self._once: str | None = None

    @property
    def has_password(self) -> bool:
        """Whether a password gives access, too."""
        return self._password is not None

    def address(self, page: str) -> str:
        """Add the token to the URL of the page."""
        return f"{page}?{TOKEN}={self.token}"

    def address_once(self, page: str) -> str:
        """Return the URL of the page with a token that works once.

        Other accounts of the machine can read the command that opens a browser.
        """
        self._once = secrets.token_urlsafe(TOKEN_BYTES)
        return f"{page}?{TOKEN}={self._once}"

    def is_password(self, text: str) -> bool:
        """Whether a text is the password, in constant time."""
        return self._password is not None and _are_equal(text, self._password)

    def has_cookie(self, request: HTTPConnection) -> bool:
        """Whether a request has the cookie."""
        return _are_equal(request.cookies.get(_cookie_of(request), ""), self.token)

    def take_token(self, request: HTTPConnection) -> bool:
        """Whether the address of a request has a token; a token that works once is used up."""
        given = request.query_params.get(TOKEN, "")
        if self._once is not None and _are_equal(given, self._once):
            self._once = None
            return True

        return _are_equal(given, self.token)

    def set_cookie(self, request: HTTPConnection, headers: MutableHeaders) -> None:
        """Add the cookie to the headers of a response; browsers send it only from the page itself."""
        value = f"{_cookie_of(request)}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        headers.append("set-cookie", value)


def _are_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _cookie_of(request: HTTPConnection) -> str:
    """Return the name of the cookie; it has the port in the browser, because all ports of a host share cookies."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"dvspipe-{port}" if port.isdecimal() else "dvspipe"


class UploadQuota:
    """Limit of all uploads that the server stores.

    Args:
        folder: Folder of uploads.
        max_bytes: Maximum size of all files in it.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max = max_bytes
        self._bytes = 0  # total of all files, while uploads are active
        self._active = 0  # uploads

    @property
    def left(self) -> int:
        """Number of bytes that may be added."""
        return max(0, self._max - (self._bytes if self._active else self._count()))

    def begin(self) -> None:
        """Start an upload."""
        # Counting reads all files, so bytes are added up while uploads are active.
        if not self._active:
            self._bytes = self._count()
        self._active += 1

    def add(self, size: int) -> bool:
        """Count received bytes, and return whether they fit."""
        self._bytes += size
        return self._bytes <= self._max

    def end(self) -> None:
        """End an upload; remove the partial files of interrupted ones. Gradio moves complete files to folders."""
        self._active -= 1
        if not self._active:
            for path in self._folder.glob("*"):
                if path.is_file():
                    path.unlink(missing_ok=True)

    def _count(self) -> int:
        return sum(_size_of(path) for path in self._folder.rglob("*"))

    def explain(self) -> str:
        """Say that an upload does not fit."""
        return (
            f"uploads: no space left (at most {self._max / 2**20:,.0f} MB of uploads are stored); close pages that "
            "you no longer use, or wait an hour"
        )


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # removed with its session in the meantime
        return 0


class Guard:
    """Middleware of all routes, also of websockets: refuses requests without access and from other sites.

    Args:
        app: App to protect.
        access: Token and password.
        quota: Limit of stored uploads.
    """

    def __init__(self, app: ASGIApp, access: Access, quota: UploadQuota) -> None:
        self._app = app
        self._access = access
        self._quota = quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that is allowed."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        request = HTTPConnection(scope)
        is_new = self._access.take_token(request)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"  # without referrer, the login form has no origin
                if is_new:
                    self._access.set_cookie(request, headers)
            await send(message)

        refusal = self._refuse(request, has_access=is_new or self._access.has_cookie(request))
        if scope["type"] == "websocket":
            respond = WebSocketClose(POLICY_VIOLATION) if refusal else self._app
            await respond(scope, receive, send)
        elif refusal:
            await refusal(scope, receive, send_guarded)
        elif self._is_login(scope):
            response = await self._log_in(Request(scope, receive))
            await response(scope, receive, send_guarded)
        else:
            await self._pass_on(scope, receive, send_guarded)

    def _refuse(self, request: HTTPConnection, *, has_access: bool) -> Response | None:
        """Return the response to a request that is not allowed, or None."""
        path: str = request.scope["path"]
        host = request.headers.get("host", "")

        # Browsers send the origin with a request of a page of another site. A proxy before the app must keep the host.
        for origin in request.headers.getlist("origin"):
            if origin.partition(":")[2] != f"//{host}":
                return PlainTextResponse(f"not allowed: request from another site ({origin!r})\n", 403)

        if not (has_access or self._is_login(request.scope)):
            return _show_login(request, "") if self._access.has_password else PlainTextResponse(NO_TOKEN, 401)
        if "file=http" in path or "/proxy=" in path:  # the server would fetch them
            return PlainTextResponse("not allowed: file of another host\n", 403)

        return None

    def _is_login(self, scope: Scope) -> bool:
        """Whether a request is the login form."""
        return self._access.has_password and scope["path"] == LOGIN and scope.get("method") == "POST"

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, and refuse its body as soon as it is too large."""
        if scope["path"].rstrip("/") != UPLOAD:
            await self._limit(scope, receive, send, MAX_BODY, "request: too large")
            return

        self._quota.begin()
        try:
            await self._limit(scope, receive, send, self._quota.left, self._quota.explain(), self._quota.add)
        except OSError as error:
            if not is_disk_full(error):
                raise
            await PlainTextResponse(f"{DISK_FULL}\n", 507)(scope, receive, send)
        finally:
            self._quota.end()

    async def _limit(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        most: int,
        text: str,
        add: Callable[[int], bool] | None = None,
    ) -> None:
        """Pass on a request with a body of at most `most` bytes; `add`, if given, counts received bytes that fit."""
        size = Request(scope).headers.get("content-length", "0")
        if not size.isdecimal() or int(size) > most:
            await PlainTextResponse(f"{text}\n", 413)(scope, receive, send)
            return

        # A request in chunks has no length, so the bytes are counted as they come.
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            new = len(message.get("body", b""))
            received += new
            fits = add(new) if add else received <= most
            if not fits:
                raise HTTPException(413, text)
            return message

        await self._app(scope, receive_limited, send)

    async def _log_in(self, request: Request) -> Response:
        """Return the cookie and the way to the page if the password is right, or the login page again."""
        limit = self._access.limit
        given = await _read_password(request)
        host = request.client.host if request.client else ""

        if wait_s := limit.wait_s(host):  # no request may be read between this and the count
            response = _show_login(request, f"Too many wrong passwords. Try again in {wait_s} s.", 429)
            response.headers["Retry-After"] = str(wait_s)
        elif self._access.is_password(given):
            response = RedirectResponse("./", 303)
            self._access.set_cookie(request, response.headers)
        else:
            limit.count(host)
            response = _show_login(request, "Wrong password.")

        return response


class CallCheck:
    """Middleware that refuses calls with files other than uploads and results of the session.

    Gradio would copy any file, and fetch files of other hosts.

    Args:
        app: App to protect.
        folders_of: Returns the folders whose files a call of a session may name.
    """

    def __init__(self, app: ASGIApp, folders_of: Callable[[str], tuple[Path, ...]]) -> None:
        self._app = app
        self._folders_of = folders_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, unless it is a call with wrong files."""
        is_call = scope["type"] == "http" and scope["method"] == "POST" and CALL.match(scope["path"])
        if not is_call:
            await self._app(scope, receive, send)
            return

        try:
            body = await Request(scope, receive).body()
            self._check(json.loads(body))
        except HTTPException as error:  # too large
            await PlainTextResponse(f"{error.detail}\n", error.status_code)(scope, receive, send)
            return
        except Exception as error:  # JSON and paths raise many kinds
            reason = shorten(" ".join(str(error).split()))
            await PlainTextResponse(f"request: wrong values ({reason})\n", 422)(scope, receive, send)
            return

        # The body has been read from the connection: the app gets it again.
        parts: deque[Message] = deque([{"type": "http.request", "body": body, "more_body": False}])

        async def receive_again() -> Message:
            return parts.popleft() if parts else await receive()

        await self._app(scope, receive_again, send)

    def _check(self, call: dict[str, Any]) -> None:
        """Raise an error if a call names another file."""
        folders = self._folders_of(str(call["session_hash"]))
        for path in _find_paths(call["data"]):
            if not any(path.resolve().is_relative_to(folder) for folder in folders):
                raise ValueError("not an uploaded file")


def _find_paths(value: object) -> Iterator[Path]:
    """Yield the paths of all files in a JSON value."""
    if isinstance(value, dict):
        if "path" in value:
            yield Path(str(value["path"]))
        value = [*value.values()]
    if isinstance(value, list):
        for item in value:
            yield from _find_paths(item)


def _show_login(request: HTTPConnection, message: str, status: int = 401) -> Response:
    """Return the login page."""
    action = request.scope.get("root_path", "") + LOGIN
    return HTMLResponse(LOGIN_PAGE.format(message=message, action=action), status)


async def _read_password(request: Request) -> str:
    """Return the password in the login form, or an empty text."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return ""
    return parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]
