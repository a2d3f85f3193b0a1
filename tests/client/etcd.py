"""etcd-server from Debian, and larderds that announce themselves in it."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request

import support

ETCD = support.need_program("etcd", "etcd-server")
ETCDCTL = support.need_program("etcdctl", "etcd-client")
LEASE_SECONDS = 3
AGREE_SECONDS = 2  # from a change until all say the same
# A lease runs from the last time that it was kept alive; etcd looks for old ones twice a second.
GONE_SECONDS = LEASE_SECONDS + 1.5
# For what has no time of its own: this machine may be busy.
PATIENCE_SECONDS = 20


class Etcd:
    """One etcd-server with a folder that outlives its stops."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="larder-etcd-")
        self.port, self.peer_port = support.free_port(), support.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        self.also = ()  # other addresses of this machine on which it is to listen from its next start
        self.start()

    def start(self):
        peer = f"http://127.0.0.1:{self.peer_port}"
        clients = ",".join(f"http://{host}:{self.port}" for host in ("127.0.0.1", *self.also))
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [ETCD, "--name", "one", "--data-dir", os.path.join(self.folder, "data"),
                 "--unsafe-no-fsync", "--listen-client-urls", clients,
                 "--advertise-client-urls", f"http://{self.address}",
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", f"one={peer}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        support.wait_until(self.healthy, "etcd's start", PATIENCE_SECONDS)

    def healthy(self):
        with urllib.request.urlopen(f"http://{self.address}/health", timeout=1) as answer:
            return json.load(answer)["health"] == "true"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(support.STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def lose_data(self):
        shutil.rmtree(os.path.join(self.folder, "data"))

    def post(self, path, **body):
        request = urllib.request.Request(f"http://{self.address}/v3/{path}",
                                         json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def put(self, key, value):
        self.post("kv/put", key=encoded(key), value=encoded(value))

    def delete(self, key):
        self.post("kv/deleterange", key=encoded(key))

    def keys(self, prefix):
        """The keys that begin so, with (value, mod_revision, lease) of each."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = self.post("kv/range", key=encoded(prefix), range_end=encoded(end))
        return {base64.b64decode(pair["key"]).decode():
                (base64.b64decode(pair.get("value", "")).decode(errors="replace"),
                 int(pair["mod_revision"]), int(pair.get("lease", 0)))
                for pair in answer.get("kvs", [])}

    def ctl(self, *words):
        done = support.run([ETCDCTL, "--endpoints", self.address, *words],
                           env={**os.environ, "ETCDCTL_API": "3"})
        if done.returncode != 0:
            raise AssertionError(f"etcdctl {words}: {done.stdout}")
        return done.stdout


def encoded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Node(support.Server):
    """A larderd that is announced in etcd. SIGTERM ends it at once, unless `options` say otherwise.

    announced  "address:port" where clients find it
    inside     what its command begins with, if it is to run in another network
    """

    def __init__(self, etcd, *options, name="fleet", port=None, host="127.0.0.1", inside=()):
        port = port or support.free_port()
        known_as = "localhost" if host == "127.0.0.1" else host
        self.announced = f"{host}:{port}"
        super().__init__("-v", "--cluster-etcd", etcd, "--cluster-name", name,
                         "--cluster-lease", LEASE_SECONDS, "--cluster-drain", 0,
                         "--cluster-announce", f"{known_as}|{host}:{port}", *options,
                         command=[*inside, *support.server_command()], port=port, host=host)

    @property
    def text(self):
        return f"localhost|127.0.0.1|{self.port}"


def told(server):
    """What a server answers to `config get cluster`: (version, the nodes); None: no list."""
    answer = server.ask(b"config get cluster\r\n", b"END\r\n").decode()
    found = re.fullmatch(r"CONFIG cluster 0 \d+\r\n(\d+)\n(.*)\n\r\nEND\r\n", answer)
    return (int(found.group(1)), found.group(2).split(" ")) if found else None
