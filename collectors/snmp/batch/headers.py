"""Finds the request id of many replies at once, before anything in them is checked. Numpy.

What is found is only a claim: the reply must then come from the right address and be of a known shape, or pass the
plain reading. Every position read lies within REPLY_BYTES whatever the octets are.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from collectors.datagrams import Bytes
from collectors.snmp.batch.layouts import REPLY_BYTES
from monitor.metrics.arrays import Bools, Ints

_LONG: Final = 0x7F
_V3: Final = 3


def request_ids(replies: Bytes) -> tuple[Ints, Bools]:
    """The request id of each reply (the message id of SNMPv3), and which replies are SNMPv3."""
    flat = replies.reshape(-1)
    row = np.arange(len(replies), dtype=np.int64) * REPLY_BYTES
    at = row + 2 + _more(flat.take(row + 1))  # the version
    sealed = flat.take(at + 2) == _V3
    at += 3  # the community, or the header of SNMPv3
    if sealed.any():
        at += np.where(sealed, 2 + _more(flat.take(at + 1)), 2 + flat.take(at + 1).astype(np.int64))
        inside = np.where(sealed, 0, 2 + _more(flat.take(at + 1)))
    else:
        at += 2 + flat.take(at + 1).astype(np.int64)
        inside = 2 + _more(flat.take(at + 1))
    at += inside + 2
    ids = flat.take(at).astype(np.int64) << 24
    ids |= flat.take(at + 1).astype(np.int64) << 16
    ids |= flat.take(at + 2).astype(np.int64) << 8
    ids |= flat.take(at + 3)
    return ids, sealed


def _more(length: Bytes) -> Ints:
    """Octets of a length behind its first."""
    return np.where(length > _LONG, length & _LONG, 0).astype(np.int64)
