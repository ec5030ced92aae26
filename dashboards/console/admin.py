"""系统管理: own health and collectors, the inventory file, accounts and tokens, credential names, the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from dashboards.condition import condition
from dashboards.i18n import ROLE_WORDS, error_text
from dashboards.listing import asked
from dashboards.scope import backend, current, requires
from dashboards.states import COLLECTOR_LOST_MS
from monitor.document import parse_document
from monitor.errors import InputError
from monitor.identity.roles import Permission, Role
from monitor.identity.tokens import SCOPES
from monitor.identity.users import random_password
from monitor.inventory.file import InventoryFileError, check_inventory
from monitor.inventory.plan import Change, apply, changes

blueprint = Blueprint("admin", __name__, url_prefix="/admin")

AUDIT_PAGE = 100


@blueprint.get("", endpoint="page")
@requires(Permission.SYSTEM_VIEW)
def page() -> ResponseReturnValue:
    """Own health, collectors and settings without secrets."""
    now = backend().clock.now_ms()
    return render_template(
        "admin/page.html",
        title=_("系统管理"),
        tab="page",
        condition=condition(),
        collectors=[(c, now - c.last_seen <= COLLECTOR_LOST_MS) for c in backend().directory.collectors()],
        inventory=backend().directory.inventory(),
        settings=backend().settings.public(),
        jobs=backend().jobs.list(current().scope, limit=15),
    )


@blueprint.get("/inventory", endpoint="inventory")
@requires(Permission.INVENTORY_EDIT)
def inventory() -> ResponseReturnValue:
    """The form for an inventory file."""
    return _inventory_page()


@blueprint.post("/inventory", endpoint="inventory_change")
@requires(Permission.INVENTORY_EDIT)
def inventory_change() -> ResponseReturnValue:
    """Check a file and show what it would change, or apply it: nothing is stored while anything is wrong."""
    text = request.form.get("text", "").replace("\r\n", "\n")
    try:
        document = parse_document(text, "inventory.yml")
        if isinstance(document.data, dict) and "credentials" in document.data:
            # Who registers devices must not also hold their passwords, and `{file: ...}` would read the server's.
            raise InputError(
                "credentials are registered on the command line, not here",
                where=document.where("credentials"),
                zh=_("%(where)s：凭据只能用命令行登记，请去掉这一节", where=document.where("credentials")),
            )
        known = frozenset(name for name, _kind in backend().credentials.names())
        file = check_inventory(document, known)
    except InventoryFileError as error:
        return _inventory_page(text, errors=error.errors), 400
    except InputError as error:
        return _inventory_page(text, errors=[error_text(error)]), 400
    directory = backend().directory
    if request.form.get("act") != "apply":
        return _inventory_page(text, found=changes(directory.inventory(), file.inventory))
    made = apply(file, directory, backend().credentials, backend().audit, current().name)
    return _inventory_page(text, found=made, applied=True)


def _inventory_page(
    text: str = "",
    *,
    errors: Sequence[str] = (),
    found: Sequence[Change] | None = None,
    applied: bool = False,
) -> str:
    return render_template(
        "admin/inventory.html",
        title=_("系统管理"),
        tab="inventory",
        text=text,
        errors=errors,
        found=found,
        applied=applied,
        inventory=backend().directory.inventory(),
        actions={"add": _("新增"), "change": _("修改"), "remove": _("移除")},
        kinds={"region": _("区域"), "site": _("机构"), "device": _("设备"), "service": _("业务系统")},
    )


@blueprint.get("/users", endpoint="users")
@requires(Permission.USERS_EDIT)
def users() -> ResponseReturnValue:
    """Accounts and API tokens."""
    return _users_page()


@blueprint.post("/users", endpoint="create_user")
@requires(Permission.USERS_EDIT)
def create_user() -> ResponseReturnValue:
    """Add an account; its one-time password is shown once."""
    form = request.form
    password = random_password(form.get("name", "").strip())
    try:
        if form.get("role") not in set(Role):
            raise InputError("unknown role", zh="没有这种角色")
        sites = [s for s in form.get("sites", "").replace("，", ",").replace(",", " ").split() if s]
        known = backend().directory.inventory().sites
        if unknown := [s for s in sites if s not in known]:
            raise InputError(f"no site {unknown[0]!r}", zh=f"没有机构 {unknown[0]}")
        backend().users.create(
            form.get("name", "").strip(),
            Role(form["role"]),
            password,
            display=form.get("display", "").strip()[:64],
            sites=sites,
            actor=current().name,
        )
    except InputError as error:
        return _users_page(error=error_text(error)), 400
    return _users_page(secret=(form["name"].strip(), password))


@blueprint.post("/users/<name>/disabled", endpoint="disable_user")
@requires(Permission.USERS_EDIT)
def disable_user(name: str) -> ResponseReturnValue:
    """Switch an account off (its sessions end) or on."""
    if name == current().name:
        return _users_page(error=_("不能停用自己")), 400
    off = request.form.get("disabled") == "1"
    backend().users.set_disabled(name, off, actor=current().name)
    if off:
        backend().sessions.end_all(name)
    return redirect(url_for("admin.users"), 303)


@blueprint.post("/users/<name>/reset", endpoint="reset_user")
@requires(Permission.USERS_EDIT)
def reset_user(name: str) -> ResponseReturnValue:
    """A new one-time password, shown once."""
    password = random_password(name)
    backend().users.set_password(name, password, actor=current().name, must_change=True)
    backend().sessions.end_all(name)
    return _users_page(secret=(name, password))


@blueprint.post("/tokens", endpoint="create_token")
@requires(Permission.USERS_EDIT)
def create_token() -> ResponseReturnValue:
    """A new API token, shown once."""
    name = request.form.get("name", "").strip()[:64]
    try:
        if not name:
            raise InputError("a token needs a name", zh="请给令牌起个名字")
        text = backend().tokens.create(name, request.form.getlist("scope"))
    except InputError as error:
        return _users_page(error=error_text(error)), 400
    backend().audit.record(current().name, "token.create", name)
    return _users_page(secret=(name, text))


@blueprint.post("/tokens/<name>/revoke", endpoint="revoke_token")
@requires(Permission.USERS_EDIT)
def revoke_token(name: str) -> ResponseReturnValue:
    """Switch a token off for good."""
    backend().tokens.revoke(name)
    backend().audit.record(current().name, "token.revoke", name)
    return redirect(url_for("admin.users"), 303)


@blueprint.get("/credentials", endpoint="credentials")
@requires(Permission.CREDENTIALS_EDIT)
def credentials() -> ResponseReturnValue:
    """Names and kinds of device credentials and how many devices use each; never a value."""
    used: dict[str, int] = {}
    for device in backend().directory.inventory().devices.values():
        for access in (device.snmp, device.ssh):
            if access is not None:
                used[access.credential] = used.get(access.credential, 0) + 1
    return render_template(
        "admin/credentials.html",
        title=_("系统管理"),
        tab="credentials",
        credentials=[(name, kind, used.get(name, 0)) for name, kind in backend().credentials.names()],
    )


@blueprint.get("/audit", endpoint="audit")
@requires(Permission.AUDIT_VIEW)
def audit() -> ResponseReturnValue:
    """The audit log, newest first; the chain is verified when asked."""
    before = asked("before")
    entries = backend().audit.entries(
        limit=AUDIT_PAGE,
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None,
        actor=asked("actor"),
    )
    report = backend().audit.verify() if asked("verify") == "1" else None
    return render_template(
        "admin/audit.html",
        title=_("系统管理"),
        tab="audit",
        entries=entries,
        asked=asked,
        report=report,
        older=entries[-1].id if len(entries) == AUDIT_PAGE else 0,
    )


def _users_page(error: str = "", secret: tuple[str, str] | None = None) -> str:
    return render_template(
        "admin/users.html",
        title=_("系统管理"),
        tab="users",
        users=backend().users.list(),
        tokens=backend().tokens.list(),
        roles=list(ROLE_WORDS.items()),
        scopes=sorted(SCOPES),
        names={s.id: s.name for s in backend().directory.inventory().sites.values()},
        error=error,
        secret=secret,
    )
