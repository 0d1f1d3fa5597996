"""A test server that waits for the test before each step.

server.py ADDRESS [KEY=VALUE]...: ADDRESS is HOST:PORT or a path. The keys in GATES name files: the server continues
after a gate when its file exists. It logs every event to standard output.
"""
import os, signal, socket, sys, threading, time

GATES = ("start", "serve", "ready", "pong", "end")
options = dict(word.split("=", 1) for word in sys.argv[2:])


def is_open(gate):
    return gate not in options or os.path.exists(options[gate])


def wait_for(gate):
    while not is_open(gate):
        time.sleep(0.002)


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def keep(key, data):
    if key in options:
        with open(options[key], "ab") as file:
            file.write(data)


def listen():
    address = sys.argv[1]
    if address.startswith("/"):
        if os.path.exists(address):
            os.unlink(address)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
    else:
        host, port = address.rsplit(":", 1)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
    listener.listen(1024)
    return listener


def drop(connection):
    """Closes the connection, as a port forwarder without a server does."""
    if options.get("drop") == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    say("dropped")


def serve(connection):
    say("accepted")
    try:
        if "greet" in options:
            connection.sendall(options["greet"].encode())
        received = b""
        while data := connection.recv(65536):
            keep("record", data)
            received += data
            if "crash" in options:
                say("crashes")
                os._exit(7)
            if "silent" in options:
                continue
            if "pong" in options and data.startswith(b"PING"):
                data = b"+PONG" if is_open("pong") else b"-LOADING"
            connection.sendall(data)
        if "silent" in options:
            connection.sendall(b"%d bytes" % len(received))
    except OSError as error:
        say("session failed:", error)
    connection.close()
    say("session over")


def notify(text):
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as socket_:
        socket_.sendto(text, "\0" + address[1:] if address[0] == "@" else address)


def main():
    if "ignore" in options:
        signal.signal(signal.SIGTERM, lambda *_: say("ignores SIGTERM"))
    keep("starts", b"x")
    keep("pids", b"%d\n" % os.getpid())
    say("starts", os.getpid())
    wait_for("start")
    if "broken" in options and os.path.exists(options["broken"]):
        say("the disk is on fire")
        sys.exit(3)
    listener = listen()
    say("listening")
    if "flap" in options:
        listener.accept()[0].close()
        listener.close()
        say("gone again")
        time.sleep(float(options["flap"]))
        listener = listen()
        say("back again")
    if "NOTIFY_SOCKET" in os.environ:
        wait_for("ready")
        notify(b"READY=1")
    while True:
        connection, _ = listener.accept()
        if is_open("serve"):
            threading.Thread(target=serve, args=(connection,), daemon=True).start()
        else:
            drop(connection)


main()
