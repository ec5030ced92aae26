"""SNMPv3's user-based security model (RFC 3414, 3826, 7860), the side that asks.

keys.py turns passwords into keys, user.py a Credential into a checked user, ciphers.py holds digest and privacy,
message.py the octets, peer.py what is known about one agent; none of them opens a socket. transport.py carries
requests. Nothing in a datagram is believed before its digest is verified; every refusal has a stable reason and is
counted. To add a protocol: a row in keys.AUTH or keys.PRIV. Tests: tests/collectors/snmp/usm (snmpd, pysnmp).
"""
