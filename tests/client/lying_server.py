"""A server for larder-bench that changes one byte of its first hit, and nothing else.

    lying_server.py PORT

It knows set, get and stats of the classic protocol, on loopback.
"""

import socketserver
import sys
import threading

items = {}
lied = threading.Event()


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            verb, *words = line.split()
            if verb == b"set":
                items[words[0]] = (words[1], self.rfile.read(int(words[3]) + 2)[:-2])
                self.wfile.write(b"STORED\r\n")
            elif verb == b"get":
                self.wfile.write(b"".join(map(self.hit, words)) + b"END\r\n")
            elif verb == b"stats":
                self.wfile.write(b"STAT curr_items %d\r\nEND\r\n" % len(items))
            else:
                self.wfile.write(b"ERROR\r\n")

    def hit(self, key):
        if key not in items:
            return b""
        flags, value = items[key]
        if not lied.is_set():
            lied.set()
            value = bytes([value[0] ^ 1]) + value[1:]
        return b"VALUE %b %b %d\r\n%b\r\n" % (key, flags, len(value), value)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Session).serve_forever()
