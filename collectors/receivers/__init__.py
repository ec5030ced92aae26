"""What devices send on their own: SNMP traps and informs.

traps.py is the Companion of the agent: sockets (datagrams.py), queue, threads. intake.py decides: who sent it
(sources.py), was it seen in this window (coalesce.py), what does it say (translate.py). decode.py reads v1 and v2c,
usm.py and freshness.py v3 by pysnmp, story.py writes the events, tally.py counts every datagram into one place.

To teach it a vendor's traps: a file in library/ (its format stands in library.py); the library test reads all of
them. The standard MIBs are library/mib.json.gz, made by deploy/tools/compile_mibs.py.
"""
