"""SNMPv3 as other rooms import it; the code is in collectors.snmp.usm."""

from collectors.snmp.usm.keys import AUTH as AUTH_PROTOCOLS
from collectors.snmp.usm.keys import PRIV as PRIV_PROTOCOLS
from collectors.snmp.usm.transport import UsmTransport

__all__ = ["AUTH_PROTOCOLS", "PRIV_PROTOCOLS", "UsmTransport"]
