"""client.py PORT REQUEST EXPECTED: sends lines to a server and compares what comes back.

Waits until it listens, for ten seconds."""

import socket
import sys
import time

port, request, expected = int(sys.argv[1]), sys.argv[2], sys.argv[3]
deadline = time.monotonic() + 10
while True:
    try:
        server = socket.create_connection(("127.0.0.1", port), 10)
        break
    except ConnectionRefusedError:
        if time.monotonic() > deadline:
            sys.exit(f"nobody listens on port {port}")
        time.sleep(0.05)
server.sendall((request + "\nquit\n").replace("\n", "\r\n").encode())
answer = b""
while more := server.recv(65536):
    answer += more
answer = answer.decode().replace("\r\n", "\n").rstrip("\n")
if answer != expected:
    sys.exit(f"expected {expected!r}, got {answer!r}")
