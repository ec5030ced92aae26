"""Roles and permissions as one table. System, security and audit administrators are mutually exclusive (三员分立):
an account has exactly one role, and no role holds the powers of two of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """What a route or command may require."""

    VIEW = "view"  # sites, devices, alerts, charts of the own scope
    DESK = "desk"  # acknowledge, assign, note, silence, escalate
    COMPLIANCE_VIEW = "compliance.view"
    COMPLIANCE_RUN = "compliance.run"
    EVIDENCE_EXPORT = "evidence.export"
    PLAYBOOK_VIEW = "playbook.view"
    PLAYBOOK_SUBMIT = "playbook.submit"
    PLAYBOOK_APPROVE = "playbook.approve"
    PLAYBOOK_RUN = "playbook.run"
    PLAYBOOK_STOP = "playbook.stop"
    FINDING_MOVE = "finding.move"
    INVENTORY_EDIT = "inventory.edit"
    USERS_EDIT = "users.edit"  # accounts, roles, tokens
    CREDENTIALS_EDIT = "credentials.edit"
    AUDIT_VIEW = "audit.view"
    SYSTEM_VIEW = "system.view"  # collectors, own health, settings


class Role(StrEnum):
    """系统管理员, 安全管理员, 审计管理员, 值班员, 安全岗, 院方人员, 领导, 测评师."""

    SYSTEM_ADMIN = "system_admin"
    SECURITY_ADMIN = "security_admin"
    AUDIT_ADMIN = "audit_admin"
    DUTY_OPERATOR = "duty_operator"
    SECURITY_OFFICER = "security_officer"
    SITE_STAFF = "site_staff"
    LEADER = "leader"
    ASSESSOR = "assessor"


_P = Permission
_READ = frozenset({_P.VIEW, _P.COMPLIANCE_VIEW, _P.PLAYBOOK_VIEW})

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.SYSTEM_ADMIN: _READ | {_P.INVENTORY_EDIT, _P.SYSTEM_VIEW, _P.PLAYBOOK_STOP},
    Role.SECURITY_ADMIN: frozenset(
        {_P.VIEW, _P.USERS_EDIT, _P.CREDENTIALS_EDIT, _P.SYSTEM_VIEW, _P.PLAYBOOK_VIEW, _P.PLAYBOOK_STOP}
    ),
    Role.AUDIT_ADMIN: frozenset({_P.AUDIT_VIEW, _P.SYSTEM_VIEW}),
    Role.DUTY_OPERATOR: _READ | {_P.DESK, _P.PLAYBOOK_STOP, _P.SYSTEM_VIEW},
    Role.SECURITY_OFFICER: _READ
    | {
        _P.DESK,
        _P.COMPLIANCE_RUN,
        _P.EVIDENCE_EXPORT,
        _P.PLAYBOOK_SUBMIT,
        _P.PLAYBOOK_APPROVE,
        _P.PLAYBOOK_RUN,
        _P.PLAYBOOK_STOP,
        _P.FINDING_MOVE,
    },
    Role.SITE_STAFF: _READ
    | {_P.COMPLIANCE_RUN, _P.EVIDENCE_EXPORT, _P.PLAYBOOK_APPROVE, _P.PLAYBOOK_STOP, _P.FINDING_MOVE},
    Role.LEADER: _READ,
    Role.ASSESSOR: frozenset({_P.COMPLIANCE_VIEW, _P.EVIDENCE_EXPORT}),
}


def permissions_of(role: Role) -> frozenset[Permission]:
    """What a role may do."""
    return PERMISSIONS[role]
