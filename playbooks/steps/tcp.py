"""Connect, perhaps send a few bytes that ask who is there, and keep the first answer."""

from __future__ import annotations

import math

from monitor.errors import ZhishouError
from playbooks.formats import Exchange
from playbooks.gate import CONNECT_PACKETS, READ_PACKETS, SEGMENT
from playbooks.steps.interface import Door, Observation, Reach, Step, Stream, from_refusal

IDLE_SECONDS = 0.2  # an answer is over when nothing more comes for so long


class TcpStep:
    """Protocol block `tcp`. Part: `response`."""

    protocol = "tcp"
    transport = "tcp"
    keys: frozenset[str] = frozenset()

    def packets(self, exchange: Exchange) -> int:
        """Connection, and every piece of data with its acknowledgement."""
        pieces = sum(math.ceil(len(data) / SEGMENT) + READ_PACKETS for data in exchange.data)
        return CONNECT_PACKETS + pieces

    async def observe(self, exchange: Exchange, door: Door) -> Observation:
        """Look once."""
        try:
            stream = await door.connect(exchange.port, exchange.timeout)
            answer = b""
            if not exchange.data:
                answer = await read_answer(stream, exchange.read_size, exchange.timeout)
            for data in exchange.data:
                await stream.send(data)
                answer += await read_answer(stream, exchange.read_size - len(answer), exchange.timeout)
        except ZhishouError as error:
            return from_refusal(error)
        if not answer:
            return Observation(Reach.QUIET, reason="connected, but nothing was said")
        return Observation(Reach.ANSWERED, {"response": answer.decode("latin-1")})


async def read_answer(stream: Stream, size: int, seconds: float) -> bytes:
    """What comes within `seconds`, until it pauses, ends or reaches `size` bytes."""
    answer = b""
    while len(answer) < size:
        chunk = await stream.receive(size - len(answer), IDLE_SECONDS if answer else seconds)
        if not chunk:
            break
        answer += chunk
    return answer


def build() -> Step:
    """The step."""
    return TcpStep()
