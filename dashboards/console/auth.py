"""Login, logout, password change and language."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.i18n import LANGUAGE_COOKIE, LANGUAGES, error_text
from dashboards.scope import COOKIE, backend, caller_of, current, home_of, public, signed_in
from dashboards.security import PRE_COOKIE, set_cookie
from monitor.errors import InputError
from monitor.identity.users import LoginError

blueprint = Blueprint("auth", __name__)


@blueprint.get("/login")
@public
def login() -> ResponseReturnValue:
    """The login page."""
    if g.caller is not None:
        return redirect(home_of(current()))
    return _login_page()


@blueprint.post("/login")
@public
def do_login() -> ResponseReturnValue:
    """Check the password (and the one-time code) and start a session."""
    name = request.form.get("name", "").strip()
    address = request.remote_addr or ""
    try:
        user = backend().users.authenticate(
            name, request.form.get("password", ""), request.form.get("otp", "").strip(), address=address
        )
    except LoginError as error:
        status = 429 if error.code in {"locked", "busy"} else 401
        wants_otp = error.code in {"otp-needed", "otp-wrong"}
        return _login_page(error=error_text(error), name=name, wants_otp=wants_otp), status
    token = backend().sessions.create(user.name, address)
    caller = caller_of(user)
    target = url_for("auth.password") if user.must_change else _safe_next() or home_of(caller)
    response = make_response(redirect(target))
    set_cookie(response, COOKIE, token)
    response.delete_cookie(PRE_COOKIE, path="/")
    return response


@blueprint.post("/logout")
@signed_in
def logout() -> ResponseReturnValue:
    """End this session."""
    backend().sessions.end(request.cookies.get(COOKIE, ""))
    backend().audit.record(current().name, "logout", request.remote_addr or "")
    response = make_response(redirect(url_for("auth.login")))
    response.delete_cookie(COOKIE, path="/")
    return response


@blueprint.get("/password")
@signed_in
def password() -> ResponseReturnValue:
    """The password form; the only page of an account whose password must change."""
    return render_template("password.html", error="")


@blueprint.post("/password", endpoint="password_save")
@signed_in
def password_save() -> ResponseReturnValue:
    """Change the own password; every session of the account ends but a fresh one."""
    caller = current()
    old, new = request.form.get("old", ""), request.form.get("new", "")
    try:
        if new != request.form.get("again", ""):
            raise InputError("the two new passwords differ", zh="两次输入的新口令不一致")
        backend().users.authenticate(
            caller.name, old, request.form.get("otp", ""), address=request.remote_addr or ""
        )
        backend().users.set_password(caller.name, new, actor=caller.name)
    except (InputError, LoginError) as error:
        return render_template("password.html", error=error_text(error)), 400
    backend().sessions.end_all(caller.name)
    response = make_response(redirect(home_of(caller)))
    set_cookie(response, COOKIE, backend().sessions.create(caller.name, request.remote_addr or ""))
    return response


@blueprint.post("/language")
@public
def language() -> ResponseReturnValue:
    """Remember the language of this browser."""
    response = make_response(redirect(_safe_next() or url_for("overview.page")))
    chosen = request.form.get("language", "")
    if chosen in LANGUAGES:
        set_cookie(response, LANGUAGE_COOKIE, chosen)
    return response


def _safe_next() -> str:
    """The page asked for before the login, when it is one of ours; else empty (no open redirect)."""
    target = request.form.get("next", "")
    parts = urlsplit(target)
    local = (
        target.startswith("/") and not target.startswith(("//", "/\\")) and not (parts.scheme or parts.netloc)
    )
    return target if local and "\\" not in target and target != "/login" else ""


def _login_page(error: str = "", name: str = "", *, wants_otp: bool = False) -> str:
    return render_template(
        "login.html",
        error=error,
        name=name,
        wants_otp=wants_otp,
        city=backend().directory.inventory().city,
        idle_minutes=round(backend().settings.idle_timeout / 60),
        next=request.values.get("next", ""),
        title=_("登录"),
    )
