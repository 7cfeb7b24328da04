"""Servers made with Python's websockets, which echo and take orders. Each argument is the compression of one, as JSON.

Prints their ports, then each Close that they get.
"""

import asyncio
import json
import sys
import websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def serve(socket, path):
    try:
        async for message in socket:
            words = message.split(" ", 2) if isinstance(message, str) and len(message) < 100 else [""]
            if words[0] == "disconnect":
                await socket.close(int(words[1]), words[2])
            elif words[0] == "ping":
                await (await socket.ping(words[1]))
                await socket.send("pong " + words[1])
            elif words[0] == "drop":
                socket.transport.abort()
            else:
                await socket.send(message)
    except websockets.ConnectionClosed:
        pass
    await socket.wait_closed()
    print(socket.close_code, socket.close_reason, flush=True)


async def main():
    for options in sys.argv[1:] or ["{}"]:
        deflate = ServerPerMessageDeflateFactory(**json.loads(options))
        server = await websockets.serve(
            serve, "127.0.0.1", 0, max_size=4 * 1024 * 1024, compression=None, extensions=[deflate]
        )
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Future()


asyncio.run(main())
