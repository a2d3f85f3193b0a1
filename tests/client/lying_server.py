"""A server for larder-bench that changes one byte of its first hit, and nothing else.

    lying_server.py PORT

It knows set, get and stats of the classic protocol, and SET, GET, DBSIZE and QUIT of RESP, on
loopback.
"""

import socketserver
import sys
import threading

items = {}
lied = threading.Event()


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line.startswith(b"*"):
                self.answer_resp(*(self.bulk_string() for _ in range(int(line[1:]))))
                continue
            verb, *words = line.split()
            if verb == b"QUIT":
                self.wfile.write(b"+OK\r\n")
                return
            if verb == b"DBSIZE":
                self.wfile.write(b":%d\r\n" % len(items))
            elif verb == b"set":
                items[words[0]] = (words[1], self.rfile.read(int(words[3]) + 2)[:-2])
                self.wfile.write(b"STORED\r\n")
            elif verb == b"get":
                self.wfile.write(b"".join(map(self.hit, words)) + b"END\r\n")
            elif verb == b"stats":
                self.wfile.write(b"STAT curr_items %d\r\nEND\r\n" % len(items))
            else:
                self.wfile.write(b"ERROR\r\n")

    def bulk_string(self):
        length = int(self.rfile.readline()[1:])
        return self.rfile.read(length + 2)[:-2]

    def answer_resp(self, verb, key, value=None):
        if verb == b"SET":
            items[key] = (b"0", value)
            self.wfile.write(b"+OK\r\n")
        elif verb == b"GET" and key in items:
            value = self.told(items[key][1])
            self.wfile.write(b"$%d\r\n%b\r\n" % (len(value), value))
        else:
            self.wfile.write(b"-ERR unknown\r\n")

    def told(self, value):
        if lied.is_set():
            return value
        lied.set()
        return bytes([value[0] ^ 1]) + value[1:]

    def hit(self, key):
        if key not in items:
            return b""
        flags, value = items[key]
        value = self.told(value)
        return b"VALUE %b %b %d\r\n%b\r\n" % (key, flags, len(value), value)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Session).serve_forever()
