# Tells each client who it is, at the UNIX socket of the first argument with the mode of the second: the user, the group, the
# supplementary groups and the process (SO_PEERCRED, SO_PEERGROUPS), the number of bytes, and the credentials of its messages
# (SCM_CREDENTIALS).
import os, socket, struct, sys
SO_PEERGROUPS = 59
path, mode = sys.argv[1], int(sys.argv[2], 8)
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
listener.bind(path)
os.chmod(path, mode)
listener.listen(64)
def serve(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    pid, uid, gid = struct.unpack("iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    groups = client.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1020)
    groups = ",".join(str(group) for group in sorted(struct.unpack(f"{len(groups) // 4}I", groups)))
    total, words = 0, set()
    while True:
        data, controls, _, _ = client.recvmsg(1 << 20, 256)
        if not data:
            break
        total += len(data)
        for level, kind, value in controls:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                words.add(struct.unpack("iII", value))
    words = ",".join(f"{pid}:{uid}:{gid}" for pid, uid, gid in sorted(words))
    client.sendall(f"{uid} {gid} {groups} {pid} {total} {words}\n".encode())

while True:
    client, _ = listener.accept()
    with client:
        try:
            serve(client)
        except OSError:
            # The client has left.
            pass
