"""A relay on loopback that makes a round trip take as long as it is told, and counts connections.

    python _relay.py MILLISECONDS TARGET_PORT...

Prints one line per target: the port that leads to it. Every piece of data is handed on half a round trip after it came,
and a new connection costs a round trip before anything goes through it, as TCP's handshake does. A line on standard
input is answered with the number of connections since the last one, for each target.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress


class Relay:
    """One port that leads to another."""

    def __init__(self, port: int, round_trip: float) -> None:
        self._port = port
        self._round_trip = round_trip
        self.connections = 0

    async def start(self) -> int:
        """Listen; returns the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        self._server = server
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ready = asyncio.get_running_loop().time() + self._round_trip
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(self._pass_on(reader, there_writer, ready), self._pass_on(there_reader, writer, ready))
        except OSError:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ready: float) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def write() -> None:
            while True:
                due, data = await waiting.get()
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if not data:
                    break
                writer.write(data)
                await writer.drain()

        writing = asyncio.ensure_future(write())
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                waiting.put_nowait((max(loop.time(), ready) + self._round_trip / 2, data))
        waiting.put_nowait((loop.time() + self._round_trip / 2, b""))
        with suppress(OSError):
            await writing
        writer.close()


async def main(milliseconds: float, targets: list[int]) -> None:
    """Relay until standard input ends."""
    relays = [Relay(target, milliseconds / 1000) for target in targets]
    for relay in relays:
        print(await relay.start(), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(*(relay.connections for relay in relays), flush=True)
        for relay in relays:
            relay.connections = 0
    os._exit(0)  # connections that are open are nobody's business any more


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
