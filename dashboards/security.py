"""Response headers, CSRF tokens and error pages.

The CSRF token is an HMAC keyed with the caller's own unguessable HttpOnly cookie: nothing to store, and a page of
another origin can neither read the cookie nor the token in the page.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

import structlog
from flask import Flask, Response, abort, g, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from dashboards.i18n import error_text
from dashboards.scope import COOKIE, backend
from monitor.errors import DeniedError, InputError, NotFoundError, UnreachableError, ZhishouError

log = structlog.get_logger(__name__)

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PRE_COOKIE = "zs_pre"  # before there is a session, the login form is protected by this one
HSTS = "max-age=31536000; includeSubDomains"
MACHINE_PATHS = ("/prometheus/", "/alertmanager/", "/snmp", "/api/v1/ingest/", "/api/v1/collectors/")


def csrf_token() -> str:
    """The token of this browser, for forms and for htmx's headers."""
    key = request.cookies.get(COOKIE) or request.cookies.get(PRE_COOKIE) or getattr(g, "pre_token", "")
    if not key:
        g.pre_token = key = secrets.token_urlsafe(32)
    return hmac.new(key.encode(), b"csrf", hashlib.sha256).hexdigest()


def check_csrf() -> None:
    """Refuse a changing request without the token. Bearer-token callers send no cookie and need none."""
    if request.method in {"GET", "HEAD", "OPTIONS"} or request.path.startswith(MACHINE_PATHS):
        return
    if not (request.cookies.get(COOKIE) or request.cookies.get(PRE_COOKIE)):
        if request.path.startswith("/api/"):
            return  # authenticated by bearer token, or about to be refused
        abort(400, _("页面已过期，请刷新后再试"))
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    if not hmac.compare_digest(given.encode(), csrf_token().encode()):
        abort(400, _("页面已过期，请刷新后再试"))


def set_headers(response: Response) -> Response:
    """Security headers on everything; pages are never cached by anybody."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CSP)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    if backend().settings.tls_certificate or request.is_secure:
        headers["Strict-Transport-Security"] = HSTS
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    if token := getattr(g, "pre_token", ""):
        set_cookie(response, PRE_COOKIE, token)
    return response


def set_cookie(response: Response, name: str, value: str) -> None:
    """A cookie no script can read, sent to this site only."""
    secure = bool(backend().settings.tls_certificate) or request.is_secure
    response.set_cookie(name, value, httponly=True, samesite="Lax", secure=secure, path="/")


def problem(status: int, title: str, detail: str = "") -> Response:
    """An RFC 9457 problem document."""
    body: dict[str, object] = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    response = make_response(body, status)
    response.headers["Content-Type"] = "application/problem+json"
    return response


def install_errors(app: Flask) -> None:
    """Error answers: problem+json for machines, a page that says what to do for people."""

    def on_zhishou(error: ZhishouError) -> ResponseReturnValue:
        return _answer(_status_of(error), error_text(error))

    def on_http(error: HTTPException) -> ResponseReturnValue:
        code = error.code or 500
        default = type(error).description
        detail = error.description if error.description and error.description != default else ""
        return _answer(code, detail or _default_text(code))

    def on_any(error: Exception) -> ResponseReturnValue:
        # The last line: a bug must not show its traceback to a caller; it is in the log.
        log.exception("request-failed", path=request.path, error=type(error).__name__)
        return _answer(500, _default_text(500))

    app.register_error_handler(ZhishouError, on_zhishou)
    app.register_error_handler(HTTPException, on_http)
    app.register_error_handler(Exception, on_any)


def _status_of(error: ZhishouError) -> int:
    for kind, status in (
        (NotFoundError, 404),
        (DeniedError, 403),
        (InputError, 400),
        (UnreachableError, 502),
    ):
        if isinstance(error, kind):
            return status
    return 500


def _default_text(code: int) -> str:
    texts = {
        400: _("请求不正确，请检查后重试"),
        401: _("登录已失效，请重新登录"),
        403: _("您的角色不能使用此功能，如有需要请联系安全管理员"),
        404: _("没有找到，或不在您的管辖范围内"),
        405: _("此地址不支持这样的请求"),
        413: _("内容太大"),
        429: _("请求过于频繁，请稍后再试"),
        502: _("核心服务没有应答，请稍后再试"),
        503: _("服务暂不可用，请稍后再试"),
    }
    return str(texts.get(code, _("服务内部出错，已记入日志")))


def _answer(code: int, text: str) -> ResponseReturnValue:
    if request.path.startswith(("/api/", *MACHINE_PATHS)):
        return problem(code, text)
    if request.headers.get("HX-Request"):
        response = make_response(render_template("fragments/failed.html", text=text), code)
        response.headers["HX-Retarget"] = "#toasts"
        response.headers["HX-Reswap"] = "beforeend"
        if code == 401:
            response.headers["HX-Refresh"] = "true"
        return response
    return make_response(render_template("error.html", code=code, text=text), code)
