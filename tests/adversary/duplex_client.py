"""The same with Python's websockets."""

import asyncio
import sys
import websockets

PORT, WANTED, PATH = sys.argv[1], int((sys.argv[2:3] or ["400"])[0]), (sys.argv[3:4] or ["/"])[0]


async def main():
    received = 0
    async with websockets.connect(f"ws://127.0.0.1:{PORT}{PATH}", compression=None, max_size=None) as socket:

        async def send():
            for i in range(WANTED):
                await socket.send(bytes([i & 255]) * 65535 + bytes([i >> 8]))

        async def receive():
            nonlocal received
            for i in range(WANTED):
                data = await socket.recv()
                if len(data) != 65536 or data[0] != i & 255 or data[-1] != i >> 8:
                    return
                received += 1

        try:
            await asyncio.gather(send(), receive())
        except websockets.ConnectionClosed:
            pass
        print(f"{received} of {WANTED}", flush=True)


asyncio.run(main())
