"""What this collector polls: fetched by ETag, and kept on disk sealed, so that it starts with a cut uplink."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import structlog

from collectors.interface import Assignment, Credential
from collectors.uplink import CoreClient, UplinkError
from monitor.discovery.interface import ScanOrder
from monitor.documents import from_document
from monitor.errors import InputError, IntegrityError, UnreachableError
from monitor.model import Device, SiteId
from monitor.vault import Vault

log = structlog.get_logger(__name__)


def parse_assignment(text: str) -> Assignment:
    """The assignment in a JSON document. A device, credential or scan that is not understood is logged and left out,
    the others stay; InputError when the document as a whole is none.
    """
    try:
        document = json.loads(text)
        version, devices = str(document["version"]), list(document["devices"])
        regions = {SiteId(str(site)): str(region) for site, region in document["regions"].items()}
        credentials = dict(document["credentials"])
        scans = list(document.get("scans") or ())  # a core of before discovery sends none
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"not an assignment: {error!r}", hint="core and collector may be of different versions"
        ) from error
    return Assignment(
        version, tuple(_devices(devices)), regions, _credentials(credentials), tuple(_scans(scans))
    )


def _devices(documents: list[object]) -> list[Device]:
    found = []
    for number, document in enumerate(documents):
        try:
            found.append(from_document(Device, document, f"device {number}"))
        except (InputError, TypeError) as error:
            log.error("a device of the assignment is not understood", reason=str(error))
    return found


def _scans(documents: list[object]) -> list[ScanOrder]:
    found = []
    for number, document in enumerate(documents):
        try:
            found.append(from_document(ScanOrder, document, f"scan {number}"))
        except (InputError, TypeError) as error:
            log.error("a scan of the assignment is not understood", reason=str(error))
    return found


def _credentials(documents: Mapping[str, object]) -> dict[str, Credential]:
    found = {}
    for name, document in documents.items():
        try:
            found[str(name)] = from_document(Credential, document, f"credential {name}")
        except (InputError, TypeError):
            # The reason could quote a secret: only the name is logged.
            log.error("a credential of the assignment is not understood", credential=name)
    return found


class AssignmentSource:
    """Fetches the assignment of one collector and remembers the last one, sealed, in `cache`."""

    def __init__(self, client: CoreClient, collector: str, vault: Vault, cache: Path) -> None:
        self._client = client
        self._path = f"/api/v1/collectors/{collector}/assignment"
        self._vault = vault
        self._cache = cache
        self._context = f"assignment:{collector}"
        self._etag = ""

    def remembered(self) -> Assignment | None:
        """The assignment of the last successful fetch, or None when there is none that opens."""
        try:
            assignment = parse_assignment(self._vault.open(self._cache.read_text("ascii"), self._context))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, IntegrityError, InputError) as error:
            log.warning("the remembered assignment is not usable", reason=str(error))
            return None
        self._etag = f'"{assignment.version}"'
        return assignment

    def fetch(self) -> Assignment | None:
        """The assignment when it changed, None when it did not. Raises UnreachableError (UplinkError included)
        when the core does not give one.
        """
        answer = self._client.request(
            "GET", self._path, headers={"If-None-Match": self._etag} if self._etag else {}
        )
        if answer.status == 304:
            return None
        if answer.status != 200:
            raise UnreachableError(
                f"the core answers {answer.status} to the request for the assignment",
                where=self._path,
                hint="check the collector's id and token" if answer.status in {401, 403, 404} else "",
                zh=f"中心对任务清单请求返回 {answer.status},请检查采集器编号和令牌",
            )
        try:
            text = answer.body.decode("utf-8")
            assignment = parse_assignment(text)
        except (UnicodeDecodeError, InputError) as error:
            raise UplinkError(f"the assignment is not readable: {error}", where=self._path) from error
        self._remember(text)
        self._etag = answer.headers.get("etag", f'"{assignment.version}"')
        return assignment

    def close(self) -> None:
        """Close this thread's connection to the core."""
        self._client.close()

    def _remember(self, text: str) -> None:
        temporary = self._cache.with_suffix(".new")
        temporary.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(self._vault.seal(text, self._context), "ascii")
        temporary.chmod(0o600)
        temporary.replace(self._cache)
