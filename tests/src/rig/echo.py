import asyncio, os, resource, sys
# A busy machine may have more sessions open than the soft limit allows.
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)
async def serve(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()
async def main():
    async with await asyncio.start_unix_server(serve, path, backlog=4096) as server:
        await server.serve_forever()
asyncio.run(main())
