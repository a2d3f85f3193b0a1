"""`larder where` and `larder ring` beside the software whose configuration they write: nutcracker,
php-memcached and nginx put keys on the servers that `larder where` says, and so do clients that
shard over haproxy."""

import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import unittest

import support

LARDER = support.larder_program()
NUTCRACKER = support.need_program("nutcracker", "nutcracker")
PHP = support.need_program("php", "php-cli")
NGINX = support.need_program("nginx", "nginx-light")
HAPROXY = support.need_program("haproxy", "haproxy")
pymemcache = support.need_module("pymemcache.client.base", "python3-pymemcache")
hash_client = support.need_module("pymemcache.client.hash", "python3-pymemcache")

if support.run([PHP, "-r", "exit(extension_loaded('memcached') ? 0 : 1);"]).returncode != 0:
    support.fail("php has no extension memcached; install the package php-memcached")

# Not "key-1", "key-2", ...: twemproxy's default hash keeps keys like these close together, so that
# of a few hundred of them a server may have none.
KEYS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(300)]
WEIGHTS = (1, 2, 3)
NGINX_CONF = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    {upstream}
    server {{
        listen 127.0.0.1:{port};
        location / {{ set $memcached_key $arg_key; memcached_pass larder; }}
    }}
}}
"""
PHP_STORES = """
$memcached = require $argv[1];
foreach (array_slice($argv, 2) as $key) {
    $memcached->set($key, $key) or exit("set of $key: " . $memcached->getResultMessage());
}
"""


def accepts(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def answers_version(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"version\r\n")
            return client.recv(100).startswith(b"VERSION ")
    except OSError:
        return False


def larder(*words):
    """Exit status, standard output and standard error."""
    done = subprocess.run([LARDER, *words], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


class PlacementCase(unittest.TestCase):
    """Three servers; a test stores KEYS through other software and compares who holds them."""

    host = "127.0.0.1"

    def setUp(self):
        self.servers = []
        for _ in WEIGHTS:
            self.servers.append(support.Server(host=self.host))
            self.addCleanup(self.servers[-1].stop)
        self.folder = self.servers[0].folder

    def list_of_servers(self, weights=WEIGHTS, names=False):
        return ",".join(
            f"{server.address}:{weight}" + (f" node-{weight}" if names else "")
            for server, weight in zip(self.servers, weights))

    def configuration(self, software, ring, servers):
        status, text, error = larder("ring", "--servers", servers, "--ring", ring,
                                     "--format", software)
        self.assertEqual((status, error), (0, ""))
        return text

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def assert_keys_are_where_the_ring_says(self, ring, servers):
        status, text, error = larder("where", *KEYS, "--servers", servers, "--ring", ring)
        self.assertEqual((status, error), (0, ""))
        said = dict(line.split(" ") for line in text.splitlines())
        held = {}
        for server in self.servers:
            answer = server.ask(("get " + " ".join(KEYS) + "\r\n").encode(), b"END\r\n").decode()
            for key in re.findall(r"^VALUE (\S+)", answer, re.M):
                self.assertNotIn(key, held)
                held[key] = server.address
        self.assertEqual(held, said)
        self.assertEqual(set(said.values()), {server.address for server in self.servers})

    def through_nutcracker(self, ring, names):
        servers = self.list_of_servers(names=names)
        port = support.free_port()
        text = self.configuration("twemproxy", ring, servers)
        self.assertIn("listen: 127.0.0.1:22121\n", text)
        path = self.write("nutcracker.yml", text.replace("127.0.0.1:22121", f"127.0.0.1:{port}"))
        support.start_beside(
            self.addCleanup, [NUTCRACKER, "-c", path, "-a", "127.0.0.1", "-s", support.free_port()],
            os.path.join(self.folder, "nutcracker.log"))
        cache = pymemcache.Client(("127.0.0.1", port), timeout=20, connect_timeout=20,
                                  default_noreply=False)
        self.addCleanup(cache.close)
        support.wait_until(lambda: cache.get("ready") is None, "an answer of nutcracker")
        self.assertEqual(cache.set_many({key: key for key in KEYS}), [])
        self.assert_keys_are_where_the_ring_says(ring, servers)

    def through_php(self, ring):
        servers = self.list_of_servers()
        path = self.write("memcached.php", self.configuration("php", ring, servers))
        done = support.run([PHP, "-r", PHP_STORES, "--", path, *KEYS])
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assert_keys_are_where_the_ring_says(ring, servers)

    def through_nginx(self):
        servers = self.list_of_servers()
        for server in self.servers:  # each shows itself under every key
            for key in KEYS:
                value = server.address.encode()
                self.assertEqual(
                    server.ask(b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), len(value), value)),
                    b"STORED\r\n")
        port = support.free_port()
        path = self.write("nginx.conf", NGINX_CONF.format(
            folder=self.folder, port=port, upstream=self.configuration("nginx", "nginx", servers)))
        support.start_beside(
            self.addCleanup, [NGINX, "-e", f"{self.folder}/nginx.log", "-c", path],
            os.path.join(self.folder, "nginx.out"))
        support.wait_until(lambda: accepts(port), "nginx")
        asked = {}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.addCleanup(connection.close)
        for key in KEYS:
            connection.request("GET", f"/?key={key}")
            answer = connection.getresponse()
            asked[key] = answer.read().decode()
            self.assertEqual(answer.status, 200)
        status, text, error = larder("where", *KEYS, "--servers", servers, "--ring", "nginx")
        self.assertEqual((status, error), (0, ""))
        self.assertEqual(asked, dict(line.split(" ") for line in text.splitlines()))


class Placement(PlacementCase):
    def test_nginx_asks_where_the_ring_says(self):
        self.through_nginx()

    def test_clients_shard_over_haproxy(self):
        servers = ",".join(server.address for server in self.servers)
        text = self.configuration("haproxy", "pymemcache-rendezvous", servers)
        said = re.search(r"--servers (\S+)", text).group(1).split(",")
        self.assertEqual(len(said), len(self.servers))
        listeners = [f"127.0.0.1:{support.free_port()}" for _ in said]
        for written, listener in zip(said, listeners):
            text = text.replace(written, listener)
        path = self.write("haproxy.cfg", text)
        support.start_beside(self.addCleanup, [HAPROXY, "-db", "-f", path],
                             os.path.join(self.folder, "haproxy.log"))
        for listener in listeners:
            support.wait_until(lambda port=int(listener.split(":")[1]): answers_version(port),
                               "an answer through haproxy")
        cache = hash_client.HashClient(listeners, timeout=20, connect_timeout=20)
        self.addCleanup(cache.close)
        for key in KEYS:
            self.assertTrue(cache.set(key, key, noreply=False))
        status, text, error = larder("where", *KEYS, "--servers", ",".join(listeners))
        self.assertEqual((status, error), (0, ""))
        behind = dict(zip(listeners, self.servers))
        for line in text.splitlines():
            key, listener = line.split(" ")
            self.assertIn(b"VALUE", behind[listener].ask(f"get {key}\r\n".encode(), b"END\r\n"))
        # One goes: its listener soon closes at once, and the others go on.
        self.servers[0].stop()
        support.wait_until(lambda: not answers_version(int(listeners[0].split(":")[1])),
                           "haproxy to see that a server is gone")
        self.assertTrue(answers_version(int(listeners[1].split(":")[1])))

    def test_nutcracker_with_md5(self):
        self.through_nutcracker("libmemcached-ketama-weighted", names=False)

    def test_nutcracker_with_its_default_hash(self):
        self.through_nutcracker("twemproxy-ketama-fnv1a_64", names=False)

    def test_nutcracker_with_names_of_servers(self):
        self.through_nutcracker("twemproxy-ketama-fnv1a_64", names=True)

    def test_php_with_weighted_ketama(self):
        self.through_php("libmemcached-ketama-weighted")

    def test_php_with_plain_ketama(self):
        self.through_php("libmemcached-ketama")

    def test_php_with_modula(self):
        self.through_php("libmemcached-modula")

    def test_the_default_ring_is_pymemcaches(self):
        servers = ",".join(server.address for server in self.servers)
        cache = hash_client.HashClient([server.address for server in self.servers])
        for key in KEYS:
            self.assertTrue(cache.set(key, key, noreply=False))
        cache.close()
        self.assert_keys_are_where_the_ring_says("pymemcache-rendezvous", servers)
        self.assertEqual(larder("where", *KEYS, "--servers", servers),
                         larder("where", *KEYS, "--servers", servers,
                                "--ring", "pymemcache-rendezvous"))


class PlacementOverIpv6(PlacementCase):
    host = "::1"

    def test_nginx_asks_where_the_ring_says(self):
        self.through_nginx()

    def test_nutcracker_with_md5(self):
        self.through_nutcracker("libmemcached-ketama-weighted", names=False)

    def test_nutcracker_with_its_default_hash(self):
        self.through_nutcracker("twemproxy-ketama-fnv1a_64", names=False)


class CommandLine(unittest.TestCase):
    def test_errors_are_one_sentence_that_names_the_option(self):
        for words, status, sentence in (
                (["where", "k"], 1, "--servers: is needed"),
                (["where", "k", "--servers", "a:x"], 1,
                 "--servers: 'a:x' has no port from 1 to 65535"),
                (["where", "k", "--servers", "@/nowhere"], 1,
                 "--servers: cannot read the file '/nowhere'"),
                (["where", "k", "--servers", "a:1:2"], 1,
                 "--servers: node 'a:1' has a weight, but pymemcache-rendezvous knows none"),
                (["where", "a b", "--servers", "a:1"], 1,
                 "KEY: 'a b' has a blank or a control character"),
                (["ring", "--servers", "a:1", "--remove", "b:1"], 1,
                 "--remove: 'b:1' is none of --servers"),
                (["ring", "--servers", "a:1", "--remove", "a:1"], 1,
                 "--remove: a ring needs at least one node"),
                (["ring", "--servers", "a:1", "--add", "a:1"], 1,
                 "--add: node 'a:1' stands twice in the ring"),
                (["ring", "--servers", "a:1", "--format", "x"], 1,
                 "--format: 'x' is none of twemproxy, nginx, haproxy and php"),
                (["ring", "--servers", "a:1", "--format", "php", "--ring", "dalli"], 2,
                 "--format php: php-memcached does not have the ring dalli: it has "
                 "libmemcached-ketama-weighted, libmemcached-ketama and libmemcached-modula")):
            with self.subTest(words=words):
                self.assertEqual(larder(*words), (status, "", f"larder: {sentence}\n"))

    def test_the_ring_and_what_moves(self):
        words = ["ring", "--servers", "a:1,b:1,c:1", "--keys", "100000", "--json"]
        status, text, _ = larder(*words)
        more = json.loads(text)
        self.assertEqual((status, more["ring"]), (0, "pymemcache-rendezvous"))
        self.assertAlmostEqual(more["change"]["moved"], 0.25, delta=0.01)
        _, text, _ = larder(*words, "--remove", "b:1", "--add", "d:1")
        replaced = json.loads(text)
        self.assertEqual(replaced["change"]["text"], "if d:1 joined and b:1 left")
        self.assertAlmostEqual(replaced["change"]["least_moved"], 1 / 3)
        self.assertGreater(replaced["change"]["moved"], 0.3)
        self.assertEqual(replaced["nodes"], more["nodes"])

    def test_where_as_json(self):
        status, text, _ = larder("where", "x", "y", "--servers", "a:1,b:1", "--json")
        self.assertEqual(status, 0)
        self.assertEqual([one["key"] for one in json.loads(text)["keys"]], ["x", "y"])


if __name__ == "__main__":
    support.main()
