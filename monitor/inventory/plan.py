"""What applying a file would change, and the applying."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.audit import AuditLog
from monitor.credentials import Credentials
from monitor.directory import Directory
from monitor.documents import to_document
from monitor.inventory.file import InventoryFile
from monitor.model import Inventory

TABLES = ("regions", "sites", "devices", "services")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: action is add, change or remove; `fields` are the changed keys."""

    action: str
    kind: str
    id: str
    fields: tuple[str, ...] = ()


def changes(before: Inventory, after: Inventory) -> list[Change]:
    """Every difference, additions first, in inventory order. Pure."""
    found: list[Change] = []
    for table in TABLES:
        old, new = getattr(before, table), getattr(after, table)
        kind = table[:-1]
        found += [Change("add", kind, key) for key in new if key not in old]
        for key in new:
            if key in old and new[key] != old[key]:
                a, b = to_document(old[key]), to_document(new[key])
                differing = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
                found.append(Change("change", kind, key, tuple(differing)))
        found += [Change("remove", kind, key) for key in old if key not in new]
    return sorted(found, key=lambda c: ("add", "change", "remove").index(c.action))


def apply(
    file: InventoryFile, directory: Directory, credentials: Credentials, audit: AuditLog, actor: str
) -> list[Change]:
    """Register credentials, replace the inventory, write the audit entry; returns what changed."""
    made = changes(directory.inventory(), file.inventory)
    for name, (kind, fields) in file.credentials.items():
        credentials.put(name, kind, fields)
    version = directory.replace(file.inventory)
    counts = {action: sum(c.action == action for c in made) for action in ("add", "change", "remove")}
    audit.record(actor, "inventory.apply", version, counts)
    return made
