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

_V3: Final = 3
_FOUR: Final = np.arange(4)
# Octets of a length behind its first, by that.
_MORE: Final = np.concatenate([np.zeros(128, np.int64), np.arange(128)])


def request_ids(replies: Bytes) -> tuple[Ints, Bools]:
    """The request id of each reply (the message id of SNMPv3), and which replies are SNMPv3."""
    flat = replies.reshape(-1)
    at = _MORE.take(replies[:, 1])
    at += np.arange(4, 4 + len(replies) * REPLY_BYTES, REPLY_BYTES)  # the content of the version
    sealed = flat.take(at) == _V3
    at += 2  # the length of the community, or of the header of SNMPv3
    length = flat.take(at)
    if sealed.any():
        at += np.where(sealed, 3 + _MORE.take(length), 2 + length.astype(np.int64))
        at += np.where(sealed, 0, 3 + _MORE.take(flat.take(at)))
    else:
        at += length
        at += 2  # the length of the PDU
        at += _MORE.take(flat.take(at))
        at += 3
    return flat.take(at[:, None] + _FOUR).view(">u4").reshape(-1).astype(np.int64), sealed
