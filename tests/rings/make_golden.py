#!/usr/bin/python3
"""Asks the real libraries where keys live and writes their answers into golden/, by hand:

    tests/rings/make_golden.py [RING...]

Needed beside the packages of packaging/build-packages.txt: golang-go and
golang-github-bradfitz-gomemcache-dev (gomemcache); python3-xxhash and, from npm,
@subspace/jump-consistent-hash (jump-xxh3; NODE_PATH says where it is). The tests need only what is
written here.

A file of golden/ holds for each set of nodes the SHA-256 of all answers, one byte a key, and the
first 250 answers in hex. ring_golden_test.cc makes the same keys and nodes.

The programs of library/ read on stdin: the number of keys, the keys, the number of sets, and for
each set the number of its nodes and a line `host port weight name` for each, `-` for no name. They
write a line for each set: the index of every key's node. Keys and nodes hold no line end and nodes
no blank.
"""

import contextlib
import ctypes
import ctypes.util
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.path.join(HERE, "library")
KEYS = 10_000
WRITTEN_OUT = 250
SIZES = (1, 2, 3, 5, 16, 100, 101)  # at 100 single precision rounds shares down, at 101 not
WEIGHTS = (1, 2, 5, 5, 2)


class Node(NamedTuple):
    host: str
    port: int
    weight: int
    name: str


class NodeSet(NamedTuple):
    title: str
    nodes: list


def address(node):
    """The usual spelling: a path, [IPv6]:port or host:port."""
    if node.host.startswith("/"):
        return node.host
    return f"[{node.host}]:{node.port}" if ":" in node.host else f"{node.host}:{node.port}"


def unbracketed(node):
    return node.host if node.host.startswith("/") else f"{node.host}:{node.port}"


def key(number, ascii_only):
    """Short and long keys; a fifth of them holds bytes above 0x7f unless the ring knows none."""
    forms = (f"user:{number}", f"session/{number * 2654435761 % 2**32:08x}", f"{number}",
             "k" * (number % 200) + f"-{number}",
             f"{'groesse' if ascii_only else 'größe'}:{number}")
    return forms[number % len(forms)]


# Beside IPv4: Unix sockets, IPv6 addresses that this machine has, and some that it lacks. They are
# spelled in several ways, because most rings hash the spelling.
FORMS = {
    "unix": [(f"/tmp/larder-golden-{i}.sock", 0) for i in range(5)],
    "loopback": [("::1", 11211), ("0:0:0:0:0:0:0:1", 11212), ("0::1", 11213), ("::1", 11214),
                 ("::0001", 11215)],
    "ipv6": [("fd00::1", 11211), ("FD00:0:0:A::2", 11211), ("2001:db8::a:0:0:3", 11212),
             ("fd00::00c4", 11211), ("2001:db8::", 11213)],
    "mapped": [("::ffff:127.0.0.1", 11211), ("0::FFFF:7f00:2", 11212)],
}


def node_sets(most_nodes, weighted, named=None, forms=()):
    """All sets for a ring; `named` makes the name of a node from its index, host and port."""
    sets = []
    for size in (size for size in SIZES if size <= most_nodes):
        for ports in ("11211", "mixed"):
            for weights in ("equal", "varied") if weighted else ("equal",):
                nodes = []
                for i in range(size):
                    usual = ports == "11211"
                    nodes.append(Node(f"127.0.10.{(i if usual else i // 4) + 1}",
                                      11211 if usual else 11210 + i % 4,
                                      WEIGHTS[i % 5] if weights == "varied" else 1, ""))
                sets.append(NodeSet(f"{size} {ports} {weights}", nodes))
    for form in forms:
        for weights in ("equal", "varied") if weighted else ("equal",):
            sets.append(NodeSet(f"{len(FORMS[form])} {form} {weights}", [
                Node(host, port, WEIGHTS[i] if weights == "varied" else 1, "")
                for i, (host, port) in enumerate(FORMS[form])]))
    if named:
        nodes = [Node(f"127.0.11.{i + 1}", 11211 + i // 3, WEIGHTS[i], "") for i in range(5)]
        sets.append(NodeSet("5 named varied", [
            node._replace(name=named(i, node.host, node.port)) for i, node in enumerate(nodes)]))
    return sets


def version_of(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], check=True,
                          capture_output=True, text=True)
    return f"{package} {done.stdout}"


# What a program of library/ answers.

def ask_program(command, keys, sets, **environment):
    lines = [str(len(keys)), *keys, str(len(sets))]
    for node_set in sets:
        lines.append(str(len(node_set.nodes)))
        lines += [f"{n.host} {n.port} {n.weight} {n.name or '-'}" for n in node_set.nodes]
    done = subprocess.run(command, input="\n".join(lines) + "\n", check=True, encoding="utf-8",
                          stdout=subprocess.PIPE, env={**os.environ, **environment})
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def ask_dalli(keys, sets):
    return ask_program(["ruby", "-Ku", f"{LIBRARY}/dalli.rb"], keys, sets)


def ask_gomemcache(keys, sets):
    return ask_program(["go", "run", f"{LIBRARY}/gomemcache.go"], keys, sets,
                       GOPATH="/usr/share/gocode", GO111MODULE="off")


def ask_spymemcached(keys, sets):
    jar = "/usr/share/java/spymemcached.jar"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["javac", "-cp", jar, "-d", folder, f"{LIBRARY}/Spymemcached.java"],
                       check=True)
        return ask_program(["java", "-cp", f"{jar}:{folder}", "Spymemcached"], keys, sets)


def ask_php(option):
    return lambda keys, sets: ask_program(
        ["php", f"{LIBRARY}/php_memcached.php", option], keys, sets)


# libmemcached itself, and two modules of Python.

def ask_libmemcached(*behaviors):
    """behaviors: the numbers of those that are switched on, of libmemcached-1.0/types/behavior.h"""
    def ask(keys, sets):
        library = ctypes.CDLL("libmemcached.so.11")
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        library.memcached_create.restype = pointer
        library.memcached_behavior_set.argtypes = [pointer, ctypes.c_int, ctypes.c_uint64]
        library.memcached_server_add_with_weight.argtypes = [
            pointer, ctypes.c_char_p, ctypes.c_uint16, ctypes.c_uint32]
        library.memcached_server_add_unix_socket_with_weight.argtypes = [
            pointer, ctypes.c_char_p, ctypes.c_uint32]
        library.memcached_generate_hash.argtypes = [pointer, ctypes.c_char_p, size]
        library.memcached_generate_hash.restype = ctypes.c_uint32
        library.memcached_free.argtypes = [pointer]
        answers = []
        for node_set in sets:
            client = library.memcached_create(None)
            for behavior in behaviors:
                assert library.memcached_behavior_set(client, behavior, 1) == 0
            for node in node_set.nodes:
                if node.host.startswith("/"):
                    assert library.memcached_server_add_unix_socket_with_weight(
                        client, node.host.encode(), node.weight) == 0
                    continue
                assert library.memcached_server_add_with_weight(
                    client, (node.name or node.host).encode(), node.port, node.weight) == 0
            raw = [key.encode() for key in keys]
            answers.append([library.memcached_generate_hash(client, k, len(k)) for k in raw])
            library.memcached_free(client)
        return answers
    return ask


def ask_pylibmc(**behaviors):
    def ask(keys, sets):
        import pylibmc
        answers = []
        for node_set in sets:
            # pylibmc parses "type:host:port:weight".
            client = pylibmc.Client([f"{n.host}:{n.port}:{n.weight}" for n in node_set.nodes],
                                    behaviors=behaviors)
            answers.append([client.hash(key) for key in keys])
        return answers
    return ask


def ask_pymemcache(keys, sets):
    from pymemcache.client.hash import HashClient
    answers = []
    for node_set in sets:
        client = HashClient([address(node) for node in node_set.nodes])
        index = {label: i for i, label in enumerate(client.clients)}
        answers.append([index[client.hasher.get_node(key)] for key in keys])
    return answers


def ask_jump(keys, sets):
    import xxhash
    hashes = [xxhash.xxh3_64_hexdigest(key.encode()) for key in keys]
    lines = [" ".join([str(len(node_set.nodes)), *hashes]) for node_set in sets]
    done = subprocess.run(["node", f"{LIBRARY}/jump.js"], input="\n".join(lines) + "\n",
                          check=True, text=True, stdout=subprocess.PIPE)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


# twemproxy shows its ring only by whom it asks.

class Backends:
    """Servers whose every value is the address that was asked."""

    def __init__(self, sets):
        self.sockets = []
        self.paths = []
        for node in {address(node): node for s in sets for node in s.nodes}.values():
            if node.host.startswith("/"):
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(node.host)
                listener.listen()
                os.chmod(node.host, 0o777)  # nginx' workers are another user
                self.paths.append(node.host)
            else:
                family = socket.AF_INET6 if ":" in node.host else socket.AF_INET
                listener = socket.create_server((node.host, node.port), family=family)
            self.sockets.append(listener)
            threading.Thread(target=self.accept, args=(listener, address(node).encode()),
                             daemon=True).start()

    def accept(self, listener, name):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=self.serve, args=(peer, name), daemon=True).start()

    def serve(self, peer, name):
        with peer, peer.makefile("rb") as requests, contextlib.suppress(OSError):
            for line in requests:
                asked = line.split()[1:]
                peer.sendall(b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(name), name)
                                      for key in asked) + b"END\r\n")

    def stop(self):
        for listener in self.sockets:
            listener.shutdown(socket.SHUT_RDWR)  # ends the accept that would keep it open
            listener.close()
        for path in self.paths:
            os.unlink(path)


def who_is_asked(port, keys):
    """One key after the other through the proxy, many requests at a time: address of each."""
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        replies = peer.makefile("rb")
        for first in range(0, len(keys), 100):
            chunk = [key.encode() for key in keys[first:first + 100]]
            peer.sendall(b"".join(b"get %s\r\n" % key for key in chunk))
            for key in chunk:
                header = replies.readline().split()
                assert header[:2] == [b"VALUE", key], header
                found.append(replies.readline().decode().strip())
                assert replies.readline() == b"END\r\n"
    return found


def ask_twemproxy(key_hash, first_port):
    def ask(keys, sets):
        conf = []
        for i, node_set in enumerate(sets):
            conf.append(f"pool{i}:\n  listen: 127.0.0.1:{first_port + i}\n  hash: {key_hash}\n"
                        "  distribution: ketama\n  timeout: 20000\n  servers:")
            conf += [f"   - {unbracketed(n)}:{n.weight} {n.name}".rstrip()
                     for n in node_set.nodes]
        backends = Backends(sets)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "nutcracker.yml")
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(conf) + "\n")
            proxy = subprocess.Popen(
                ["nutcracker", "-c", path, "-a", "127.0.0.1", "-s", str(first_port - 1),
                 "-o", os.path.join(folder, "log")])
            try:
                time.sleep(2)  # it listens
                answers = []
                for i, node_set in enumerate(sets):
                    index = {address(n): j for j, n in enumerate(node_set.nodes)}
                    answers.append([index[a] for a in who_is_asked(first_port + i, keys)])
                return answers
            finally:
                proxy.terminate()
                proxy.wait()
                backends.stop()
    return ask


# Likewise nginx, whose requests come over HTTP with the key in a header, and a module of Perl.

def ask_nginx(first_port):
    def ask(keys, sets):
        conf = []
        for i, node_set in enumerate(sets):
            servers = "".join(f"server {'unix:' if n.host[0] == '/' else ''}{address(n)} "
                              f"weight={n.weight}; " for n in node_set.nodes)
            conf.append(f"upstream ring{i} {{ hash $http_x_key consistent; {servers}}}\n"
                        f"server {{ listen 127.0.0.1:{first_port + i}; location / {{ "
                        f"set $memcached_key $http_x_key; memcached_pass ring{i}; }} }}")
        backends = Backends(sets)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "nginx.conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"daemon off; pid {folder}/pid; error_log {folder}/log crit;\n"
                           "events {}\nhttp { access_log off; keepalive_requests 1000000;\n" +
                           "\n".join(conf) + "\n}\n")
            server = subprocess.Popen(["nginx", "-p", folder, "-c", path])
            try:
                time.sleep(2)  # it listens
                answers = []
                for i, node_set in enumerate(sets):
                    index = {address(n): j for j, n in enumerate(node_set.nodes)}
                    answers.append([index[a] for a in over_http(first_port + i, keys)])
                return answers
            finally:
                server.terminate()
                server.wait()
                backends.stop()
    return ask


def over_http(port, keys):
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        replies = peer.makefile("rb")
        for name in keys:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Key: %s\r\n\r\n" % name.encode())
            assert replies.readline() == b"HTTP/1.1 200 OK\r\n"
            length = 0
            while (line := replies.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split()[1])
            found.append(replies.read(length).decode())
    return found


def ask_perl(keys, sets):
    backends = Backends(sets)
    try:
        return ask_program(["perl", f"{LIBRARY}/cache_memcached_fast.pl"], keys, sets)
    finally:
        backends.stop()


class Source(NamedTuple):
    ask: object
    package: str
    detail: str = ""
    forms: tuple = ()      # those of FORMS that it takes


class Recipe(NamedTuple):
    # The first writes; the others must agree on all sets without names and in a form they take.
    sources: list
    weighted: bool = True
    ascii_only: bool = False
    named: object = None
    most_nodes: int = 101


ALL_FORMS = ("unix", "loopback", "ipv6")
LOCAL_FORMS = ("unix", "loopback")  # of a source that connects to its servers


def host_name(i, _host, _port):
    return f"cache-{i}.example"


KETAMA, KETAMA_WEIGHTED = 3, 16  # of enum memcached_behavior_t
LIBMEMCACHED_MOST_NODES = 100    # its assertions end a program that has more in a ketama ring

RECIPES = {
    "libmemcached-ketama-weighted": Recipe(
        [Source(ask_libmemcached(KETAMA_WEIGHTED), "libmemcached11", "BEHAVIOR_KETAMA_WEIGHTED",
                ALL_FORMS),
         Source(ask_php("OPT_LIBKETAMA_COMPATIBLE"), "php8.2-memcached",
                "OPT_LIBKETAMA_COMPATIBLE", ALL_FORMS),
         Source(ask_pylibmc(ketama_weighted=True), "python3-pylibmc", "ketama_weighted"),
         Source(ask_twemproxy("md5", 23001), "nutcracker", "ketama, md5", ("loopback",))],
        named=host_name, most_nodes=LIBMEMCACHED_MOST_NODES),
    "libmemcached-ketama": Recipe(
        [Source(ask_libmemcached(KETAMA), "libmemcached11", "BEHAVIOR_KETAMA", ALL_FORMS),
         Source(ask_pylibmc(ketama=True), "python3-pylibmc", "ketama")],
        named=host_name, most_nodes=LIBMEMCACHED_MOST_NODES),
    "libmemcached-modula": Recipe(
        [Source(ask_libmemcached(), "libmemcached11", "no behavior set", ALL_FORMS),
         Source(ask_php("none"), "php8.2-memcached", "no option set", ALL_FORMS),
         Source(ask_pylibmc(), "python3-pylibmc", "no behavior set")]),
    "spymemcached-ketama": Recipe(
        [Source(ask_spymemcached, "libspymemcached-java", "KetamaNodeLocator, KETAMA_HASH",
                ("loopback", "ipv6", "mapped"))],
        named=lambda i, host, port: f"cache-{i}.example/{host}:{port}"),
    "twemproxy-ketama-fnv1a_64": Recipe(
        [Source(ask_twemproxy("fnv1a_64", 23101), "nutcracker", "ketama, fnv1a_64", LOCAL_FORMS)],
        named=lambda i, _host, _port: f"cache-{i}"),
    "dalli": Recipe([Source(ask_dalli, "ruby-dalli", "Dalli::Client", ALL_FORMS)]),
    "pymemcache-rendezvous": Recipe(
        [Source(ask_pymemcache, "python3-pymemcache", "HashClient, keys as str", ALL_FORMS)],
        weighted=False, ascii_only=True),
    "gomemcache": Recipe(
        [Source(ask_gomemcache, "golang-github-bradfitz-gomemcache-dev", "ServerList")],
        weighted=False),
    "jump-xxh3": Recipe(
        [Source(ask_jump, "python3-xxhash", "and @subspace/jump-consistent-hash 1.1.1 of npm")],
        weighted=False),
    "nginx": Recipe(
        [Source(ask_nginx(23201), "nginx", "hash ... consistent", LOCAL_FORMS),
         Source(ask_perl, "libcache-memcached-fast-perl", "ketama_points 160", ("unix",))]),
}


def write(ring, recipe):
    keys = [key(number, recipe.ascii_only) for number in range(KEYS)]
    sets = node_sets(recipe.most_nodes, recipe.weighted, recipe.named, recipe.sources[0].forms)
    answers = recipe.sources[0].ask(keys, sets)
    lines = ["# Written by tests/rings/make_golden.py: nodes, ports, weights, SHA-256, answers."]
    for source in recipe.sources:
        lines.append(f"# From {version_of(source.package)}, {source.detail}.")
    for other in recipe.sources[1:]:
        refused = {"named", *recipe.sources[0].forms} - {*other.forms}
        common = [(s, mine) for s, mine in zip(sets, answers) if s.title.split()[1] not in refused]
        theirs_of_all = other.ask(keys, [node_set for node_set, _ in common])
        for (node_set, mine), theirs in zip(common, theirs_of_all, strict=True):
            if mine != theirs:
                wrong = next(i for i in range(KEYS) if mine[i] != theirs[i])
                sys.exit(f"{ring}: {other.package} differs for {node_set.title} in key {wrong}: "
                         f"{theirs[wrong]}, not {mine[wrong]}")
    for node_set, found in zip(sets, answers, strict=True):
        assert len(found) == KEYS, (ring, node_set.title)
        raw = bytes(found)
        digest = hashlib.sha256(raw).hexdigest()
        lines.append(f"{node_set.title} {digest} {raw[:WRITTEN_OUT].hex()}")
    with open(os.path.join(HERE, "golden", ring), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print(f"{ring}: {len(sets)} sets of nodes from {', '.join(s.package for s in recipe.sources)}")


if __name__ == "__main__":
    for name in sys.argv[1:] or RECIPES:
        write(name, RECIPES[name])
