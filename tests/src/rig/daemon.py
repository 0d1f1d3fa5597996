import os, socket, sys
where, pid = sys.argv[1:3]
if os.fork(): sys.exit(0)
os.setsid()
if os.path.exists(where): os.unlink(where)
listener = socket.socket(socket.AF_UNIX)
listener.bind(where)
listener.listen(100)
open(pid, "w").write(str(os.getpid()))
while True:
    client, _ = listener.accept()
    words = client.recv(100)
    # A check connection has closed already.
    if words: client.sendall(words)
    client.close()
