"""From a proposal to a device of the inventory: checked, applied and audited as an inventory file is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.audit import AuditLog, Detail
from monitor.credentials import Credentials
from monitor.directory import Directory
from monitor.discovery.grants import SiteCredentials
from monitor.discovery.interface import ProposalView
from monitor.discovery.proposals import Proposals, check_bulk, suggested_id
from monitor.document import Placed
from monitor.documents import Document, to_document
from monitor.errors import InputError
from monitor.inventory.file import InventoryFileError, check_inventory
from monitor.inventory.plan import apply
from monitor.model import Device, DeviceId, Inventory, Kind, Scope, SiteId, SnmpAccess

_SOURCE = "discovery"


@dataclass(frozen=True, slots=True)
class Wish:
    """A proposal to approve; what is empty is taken from the proposal."""

    proposal: int
    device: str = ""
    name: str = ""
    kind: str = ""
    site: str = ""
    credential: str = ""
    address: str = ""


class Approval:
    """Makes devices of proposals."""

    def __init__(
        self,
        proposals: Proposals,
        directory: Directory,
        credentials: Credentials,
        grants: SiteCredentials,
        audit: AuditLog,
    ) -> None:
        self._proposals = proposals
        self._directory = directory
        self._credentials = credentials
        self._grants = grants
        self._audit = audit

    def approve(self, scope: Scope, wishes: Sequence[Wish], actor: str) -> list[DeviceId]:
        """Add all of them to the inventory, or none. InputError says which is wrong and why."""
        check_bulk([wish.proposal for wish in wishes])
        version = self._directory.version()
        inventory = self._directory.inventory()
        made: dict[int, Device] = {}
        for wish in wishes:
            view = self._proposals.get(scope, wish.proposal)
            taken = {**inventory.devices, **{device.id: device for device in made.values()}}
            made[wish.proposal] = self._device(scope, view, wish, replace(inventory, devices=taken))
        devices = {device.id: device for device in made.values()}
        wanted = replace(inventory, devices={**inventory.devices, **devices})
        names = frozenset(name for name, _ in self._credentials.names())
        try:
            file = check_inventory(Placed(_SOURCE, _document(wanted), {}), names)
        except InventoryFileError as error:
            raise InputError(
                error.errors[0], zh=f"台账校验未通过：{error.errors[0]}", hint="correct the inventory first"
            ) from error
        if self._directory.version() != version:
            raise InputError(
                "the inventory was changed meanwhile", hint="try again", zh="台账刚刚被他人修改，请重试"
            )
        apply(file, self._directory, self._credentials, self._audit, actor)
        self._proposals.mark_approved({n: (str(d.id), str(d.site)) for n, d in made.items()}, actor)
        for number, device in made.items():
            detail: Detail = {"proposal": number, "site": str(device.site), "address": device.address}
            self._audit.record(actor, "discovery.approve", str(device.id), detail)
        return [device.id for device in made.values()]

    def _device(self, scope: Scope, view: ProposalView, wish: Wish, inventory: Inventory) -> Device:
        if view.state not in {"new", "dismissed"}:
            raise InputError(
                f"proposal {view.id} is {view.state}", zh=f"发现项 {view.id}（{view.address}）已在台账中"
            )
        site = self._directory.site(scope, wish.site or view.site)
        device = wish.device.strip() or suggested_id(view, inventory)
        if device in inventory.devices:
            raise InputError(f"device id {device[:64]!r} is taken", zh=f"设备编号 {device[:64]} 已被使用")
        kind = wish.kind or view.kind
        if kind not in set(Kind):
            raise InputError(
                f"the kind of {view.address} is not known",
                hint="choose one",
                zh=f"{view.address} 的类别未知，请先选择类别",
            )
        address = wish.address.strip() or view.address
        if address not in {view.address, *view.duplicates}:
            raise InputError(
                f"{address[:64]} did not answer as this device", zh=f"{address[:64]} 不是该设备应答过的地址"
            )
        credential = wish.credential or view.credential
        self._grants.check(site.id, (credential,))
        return Device(
            id=DeviceId(device),
            site=SiteId(site.id),
            name=wish.name.strip()[:128] or view.sys_name or view.address,
            kind=Kind(kind),
            address=address,
            vendor=view.vendor,
            model=view.hardware,
            serial=view.serial,
            snmp=SnmpAccess(credential, port=view.port),
        )


def _document(inventory: Inventory) -> Document:
    """The inventory as its file has it."""
    sites: dict[str, Document] = {str(site.id): to_document(site) for site in inventory.sites.values()}
    parts: Mapping[str, Sequence[Device] | Sequence[object]] = {
        "devices": list(inventory.devices.values()),
        "services": list(inventory.services.values()),
    }
    for key, values in parts.items():
        for value in values:
            body = to_document(value)
            sites[str(body["site"])].setdefault(key, []).append(body)
    return {
        "city": inventory.city,
        "regions": [to_document(region) for region in inventory.regions.values()],
        "sites": list(sites.values()),
    }
