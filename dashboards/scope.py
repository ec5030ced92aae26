"""The one site-scoped layer: who is calling, what they may do, and which sites they may see.

Every view declares what it needs with `requires`, `signed_in` or `public`; `create_app` refuses to start with a
view that declares nothing. `guard` runs before every view; `current()` is how a view gets its caller and scope.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from flask import Flask, abort, current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from dashboards.backend import Backend
from monitor.identity.roles import Permission, permissions_of
from monitor.identity.users import User, scope_of
from monitor.model import Scope

COOKIE = "zs_session"
V = TypeVar("V", bound=Callable[..., ResponseReturnValue])

_MARK = "zhishou_access"
PUBLIC = "public"
SIGNED_IN = "signed-in"
# A token stands for a program, not a person: it may read, and with `write` do what the desk does.
_TOKEN_READ = frozenset({Permission.VIEW, Permission.COMPLIANCE_VIEW, Permission.PLAYBOOK_VIEW})
_TOKEN_WRITE = _TOKEN_READ | {Permission.DESK, Permission.FINDING_MOVE}
_WHILE_PASSWORD_IS_NEW = {"auth.password", "auth.password_save", "auth.logout", "auth.language"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. `user` is None for an API token."""

    name: str
    display: str
    permissions: frozenset[Permission]
    scope: Scope
    user: User | None = None

    def may(self, permission: Permission) -> bool:
        """Whether this caller has a permission."""
        return permission in self.permissions


def requires(permission: Permission) -> Callable[[V], V]:
    """Declare that a view needs a permission."""
    return _marker(permission)


def signed_in(view: V) -> V:
    """Declare that a view needs a caller, whatever the role."""
    return _marker(SIGNED_IN)(view)


def public(view: V) -> V:
    """Declare that a view checks its caller itself, or needs none."""
    return _marker(PUBLIC)(view)


def _marker(access: str) -> Callable[[V], V]:
    def mark(view: V) -> V:
        setattr(view, _MARK, access)
        return view

    return mark


def access_of(app: Flask, endpoint: str) -> str | None:
    """What an endpoint declared: a permission, `signed-in`, `public`, or None."""
    if endpoint == "static":
        return PUBLIC
    return cast("str | None", getattr(app.view_functions[endpoint], _MARK, None))


def check_routes(app: Flask) -> None:
    """Refuse to start with a route that does not say who may use it."""
    naked = [rule.rule for rule in app.url_map.iter_rules() if access_of(app, rule.endpoint) is None]
    if naked:
        raise RuntimeError(f"routes without a declared permission: {', '.join(sorted(naked))}")


def backend() -> Backend:
    """The backend of this application."""
    return cast("Backend", current_app.extensions["zhishou"])


def current() -> Caller:
    """The caller of this request; only for views that are not public."""
    return cast("Caller", g.caller)


def scope() -> Scope:
    """The sites the caller may see: hand it to every backend call."""
    return current().scope


def caller_of(user: User) -> Caller:
    """The caller a signed-in user is."""
    return Caller(user.name, user.display or user.name, permissions_of(user.role), scope_of(user), user)


def identify() -> None:
    """Set `g.caller` from the session cookie, or for the API from a bearer token; None when there is neither."""
    g.caller = None
    # The live stream and health checks must not keep a forgotten browser signed in.
    touch = not request.path.startswith("/live") and request.headers.get("X-Background") != "1"
    if token := request.cookies.get(COOKIE):
        user = backend().sessions.check(token, touch=touch)
        g.caller = caller_of(user) if user else None
    elif request.path.startswith("/api/") and (header := request.headers.get("Authorization", "")):
        g.caller = _token_caller(header)


def _token_caller(header: str) -> Caller | None:
    kind, _, text = header.partition(" ")
    info = backend().tokens.check(text.strip()) if kind.lower() == "bearer" else None
    if info is None or not info.scopes & {"read", "write"}:
        return None
    permissions = _TOKEN_WRITE if "write" in info.scopes else _TOKEN_READ
    return Caller(f"token:{info.name}", info.name, permissions, Scope(None))


def guard() -> ResponseReturnValue | None:
    """Let a request through, send it to the login, or refuse it. Registered before every view."""
    endpoint = request.endpoint
    if endpoint is None:
        return None  # no such route: Flask answers 404 or 405
    access = access_of(current_app, endpoint)
    if access == PUBLIC:
        return None
    api = request.path.startswith("/api/")
    if g.caller is None:
        if api or request.headers.get("HX-Request"):
            abort(401)
        return redirect(
            url_for("auth.login", next=request.full_path if request.query_string else request.path)
        )
    user = current().user
    if user is not None and user.must_change and endpoint not in _WHILE_PASSWORD_IS_NEW:
        if api:
            abort(403)
        return redirect(url_for("auth.password"))
    if access != SIGNED_IN and Permission(cast("str", access)) not in current().permissions:
        if request.path == "/":
            return redirect(home_of(current()))
        abort(403)
    return None


def home_of(caller: Caller) -> str:
    """The first page a caller may see."""
    for permission, endpoint in (
        (Permission.VIEW, "overview.page"),
        (Permission.COMPLIANCE_VIEW, "compliance.page"),
        (Permission.SYSTEM_VIEW, "admin.page"),
    ):
        if permission in caller.permissions and endpoint in current_app.view_functions:
            return url_for(endpoint)
    return url_for("auth.password")
