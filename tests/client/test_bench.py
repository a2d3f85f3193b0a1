"""larder-bench: it runs, reports, and does not believe a server that lies. Nothing is timed."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree

import support

MEMCACHED = support.need_program("memcached", "memcached")
REDIS = support.need_program("redis-server", "redis-server")
OPENSSL = support.need_program("openssl", "openssl")
EVERYTHING = "get=10,set=3,delete=1,incr=1,cas=1,touch=1"
DIALECTS = ("classic", "meta", "binary")
# Saves nothing, and serves from one thread.
REDIS_OPTIONS = ("--save", "''", "--appendonly", "no", "--io-threads", "1", "--bind", "127.0.0.1")

BENCH = support.bench_program()
CLIENT_BENCH = support.tool("larder-client-bench", "LARDER_CLIENT_BENCH")


def bench(*options):
    """Runs it to its end; what it printed on either stream is .stdout."""
    return support.run([BENCH, *options], timeout=120)


def target(server):
    return ("--unix", server.path) if server.path else ("--server", server.address)


class Loads:
    def load(self, *options):
        """The JSON of a load that must go well."""
        done = bench(*target(self.server), "--connections", 8, "--json", "-", *options)
        self.assertEqual(done.returncode, 0, done.stdout)
        report = json.loads(done.stdout)
        for step in report["steps"]:
            self.assertEqual(step["errors"], 0)
            self.assertGreater(step["operations"], 0)
        return report["steps"][0]

    def test_every_operation_in_every_dialect(self):
        for dialect in DIALECTS:
            for shape in ((), ("--noreply",), ("--pipeline", 8, "--multiget", 5, "--fill-on-miss"),
                          ("--pipeline", 8, "--multiget", 5, "--noreply")):
                with self.subTest(dialect=dialect, shape=shape):
                    step = self.load("--protocol", dialect, "--mix", EVERYTHING, "--keys", 500,
                                     "--seconds", 0.3, *shape)
                    self.assertEqual(
                        {"get", "set", "delete", "incr", "gets", "cas", "touch"} - set(step["ops"]),
                        set())

    def test_prefilled_keys_are_all_hit_and_requests_are_counted(self):
        for dialect in DIALECTS:
            step = self.load("--protocol", dialect, "--prefill", "--keys", 1000, "--requests", 5003,
                             "--threads", 2, "--multiget", 10, "--key-bytes", "uniform:10:200",
                             "--value-bytes", "lognormal:300:1")
            self.assertEqual(step["ops"]["get"]["hits"], 5003)
            self.assertEqual(step["ops"]["get"]["misses"], 0)

    def test_large_values(self):
        for dialect in DIALECTS:
            step = self.load("--protocol", dialect, "--prefill", "--mix", "get=3,set=1", "--keys",
                             20, "--value-bytes", 1000000, "--requests", 200)
            self.assertEqual(step["ops"]["get"]["misses"], 0)

    def test_expiry_presets_popularity(self):
        self.load("--preset", "twitter52", "--ttl", "uniform:10:100", "--mix",
                  "get=1,set=1,touch=1", "--popularity", "zipf:1", "--fill-on-miss",
                  "--warmup", 0.1, "--seconds", 0.2)


class OverTcp(Loads, support.ServerCase):
    def test_reports_of_an_open_loop(self):
        with tempfile.TemporaryDirectory(prefix="larder-bench-") as folder:
            files = {kind: os.path.join(folder, kind) for kind in ("json", "csv", "svg")}
            done = bench(*target(self.server), "--rate", "2000,4000", "--arrivals", "poisson",
                         "--seconds", 0.4, "--plot", "--json", files["json"], "--csv", files["csv"],
                         "--svg", files["svg"])
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("offered: 4000 operations a second", done.stdout)
            self.assertIn("operations a second\n", done.stdout)  # below the plot
            with open(files["json"]) as file:
                steps = json.load(file)["steps"]
            self.assertEqual([step["offered_per_second"] for step in steps], [2000, 4000])
            with open(files["csv"]) as file:
                rows = list(csv.DictReader(file))
            self.assertEqual([row["op"] for row in rows], ["get", "all"] * 2)
            self.assertEqual(int(rows[3]["count"]), steps[1]["operations"])
            drawing = xml.etree.ElementTree.parse(files["svg"]).getroot()
            lines = drawing.findall("{http://www.w3.org/2000/svg}polyline")
            self.assertEqual(len(lines), 3)

    def test_text_and_progress(self):
        done = bench(*target(self.server), "--seconds", 1.3, "--progress", "--mix", "set")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("ops/s", done.stdout)
        self.assertRegex(done.stdout, r"run: +1 s, \d+ ops/s")
        self.assertRegex(done.stdout, r"\nset +[\d,]+ ")
        self.assertIn("client CPU", done.stdout)

    def test_an_interrupt_ends_it_with_what_there_is(self):
        process = subprocess.Popen([BENCH, *target(self.server), "--seconds", "60", "--json", "-"],
                                   stdout=subprocess.PIPE)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        report, _ = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0)
        self.assertGreater(json.loads(report)["steps"][0]["operations"], 0)


class OverUnixSocket(Loads, support.ServerCase):
    over_unix_socket = True


class Redis:
    """A redis-server on a port of loopback, as support.Server is a larderd."""

    def __init__(self, add_cleanup):
        folder = tempfile.TemporaryDirectory(prefix="larder-redis-")
        add_cleanup(folder.cleanup)
        self.port = support.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.path = None
        support.start_beside(add_cleanup, [REDIS, *REDIS_OPTIONS, "--port", self.port, "--dir",
                                           folder.name], os.path.join(folder.name, "log"))
        support.wait_until(lambda: self.ask(b"PING\r\n") == b"+PONG\r\n",
                           "a reply of redis-server")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def ask(self, request, end=b"\r\n"):
        with self.connect() as plain:
            plain.sendall(request)
            answer = b""
            while not answer.endswith(end) and (more := plain.recv(65536)):
                answer += more
            return answer


class OverResp(unittest.TestCase):
    """Against redis-server, as Debian builds it."""

    @classmethod
    def setUpClass(cls):
        cls.server = Redis(cls.addClassCleanup)

    def setUp(self):
        self.assertEqual(self.server.ask(b"FLUSHALL\r\n"), b"+OK\r\n")

    def load(self, *options):
        return Loads.load(self, "--protocol", "resp", *options)

    def test_every_operation(self):
        for shape in ((), ("--pipeline", 8, "--multiget", 5, "--fill-on-miss"),
                      ("--ttl", "uniform:0:100"), ("--threads", 2, "--pipeline", 3)):
            with self.subTest(shape=shape):
                step = self.load("--mix", "get=10,set=3,delete=1,incr=1,touch=1", "--keys", 500,
                                 "--seconds", 0.3, *shape)
                self.assertEqual(set(step["ops"]), {"get", "set", "delete", "incr", "touch"})
                for op in step["ops"].values():
                    self.assertGreater(op["hits"], 0)
                self.assertEqual(step["ops"]["incr"]["misses"], 0)

    def test_prefilled_keys_are_all_hit(self):
        for shape in ((), ("--multiget", 10), ("--multiget", 10, "--pipeline", 7)):
            step = self.load("--prefill", "--keys", 1000, "--requests", 5003, "--threads", 2,
                             "--key-bytes", "uniform:10:200", "--value-bytes", "lognormal:300:1",
                             *shape)
            self.assertEqual(step["ops"]["get"]["hits"], 5003)
            self.assertEqual(step["ops"]["get"]["misses"], 0)
        self.assertEqual(self.server.ask(b"DBSIZE\r\n"), b":1000\r\n")

    def test_large_values(self):
        step = self.load("--prefill", "--mix", "get=3,set=1", "--keys", 20, "--value-bytes",
                         1000000, "--multiget", 3, "--requests", 200)
        self.assertEqual(step["ops"]["get"]["misses"], 0)

    def test_what_is_stored_and_touched_expires(self):
        key = b"key-0000000000000000"
        self.load("--mix", "set", "--keys", 1, "--ttl", 1000, "--requests", 5)
        left = int(self.server.ask(b"TTL " + key + b"\r\n")[1:])
        self.assertTrue(0 < left <= 1000, left)
        self.load("--mix", "touch", "--keys", 1, "--ttl", 9000, "--requests", 5)
        left = int(self.server.ask(b"TTL " + key + b"\r\n")[1:])
        self.assertTrue(1000 < left <= 9000, left)

    def test_a_touch_without_expiry_keeps_the_key(self):
        self.load("--mix", "set", "--keys", 1, "--requests", 1)
        self.load("--mix", "touch", "--keys", 1, "--requests", 5)
        self.assertEqual(self.server.ask(b"TTL key-0000000000000000\r\n"), b":-1\r\n")

    def test_an_error_names_what_was_asked(self):
        self.assertEqual(self.server.ask(b"LPUSH key-0000000000000000 x\r\n"), b":1\r\n")
        done = bench(*target(self.server), "--protocol", "resp", "--keys", 1, "--requests", 1)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("larder-bench: expected get of key-0000000000000000 (100 bytes); got "
                      "'-WRONGTYPE", done.stdout)

    def test_what_resp_does_not_have_is_refused(self):
        for option, refused in ((("--mix", "get=1,cas=1"), "--mix: resp has no cas"),
                                (("--noreply",), "--noreply: resp answers every request")):
            done = bench(*target(self.server), "--protocol", "resp", *option)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertEqual(done.stdout, f"larder-bench: {refused}\n")


class Lies(unittest.TestCase):
    """Between larder-bench and a server stands somebody who changes one byte of one reply."""

    def serve(self, listener, server):
        def receive(source):
            try:
                return source.recv(65536)
            except OSError:  # closed by the other direction
                return b""

        def forward(source, sink, lie):
            while data := receive(source):
                if lie and not self.lied.is_set() and data.startswith(self.beginning):
                    self.lied.set()
                    at = len(data) // 2
                    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
                try:
                    sink.sendall(data)
                except OSError:
                    break
            sink.close()

        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            behind = server.connect()
            for pair in ((client, behind, False), (behind, client, True)):
                threading.Thread(target=forward, args=pair, daemon=True).start()

    def expect_one_error(self, dialect, beginning, server):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.lied, self.beginning = threading.Event(), beginning
            threading.Thread(target=self.serve, args=(listener, server), daemon=True).start()
            done = bench("--server", f"127.0.0.1:{listener.getsockname()[1]}", "--protocol",
                         dialect, "--prefill", "--keys", 100, "--requests", 2000,
                         "--connections", 2)
            listener.shutdown(socket.SHUT_RDWR)
            self.assertTrue(self.lied.is_set())
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("larder-bench: expected get of key-", done.stdout)
            self.assertIn("1 errors", done.stdout)

    def test_one_wrong_byte_is_an_error(self):
        for dialect, beginning in zip(DIALECTS, (b"VALUE", b"VA ", b"\x81\x00")):
            with self.subTest(dialect=dialect), support.Server() as server:
                self.expect_one_error(dialect, beginning, server)

    def test_one_wrong_byte_of_redis_is_an_error(self):
        self.expect_one_error("resp", b"$100", Redis(self.addCleanup))


class TwoLibraries(unittest.TestCase):
    """larder-client-bench: liblarder-client and libmemcached."""

    def run_it(self, server, *options):
        command = " ".join(server)
        return support.run([CLIENT_BENCH, "--server", command, "--server-cpu", "0",
                            "--client-cpu", "0", "--rounds", "2", "--seconds", "0.02", *options],
                           timeout=120)

    def test_every_row_in_every_dialect(self):
        done = self.run_it([*support.server_command(), "-u", "root", "-l", "127.0.0.1", "-p",
                            "{port}"])
        self.assertEqual(done.returncode, 0, done.stdout)
        title, _, *rows = (line.split("|")[1:-1] for line in done.stdout.splitlines())
        self.assertEqual(title[0].strip(), "row")
        names = [row[0].strip() for row in rows]
        self.assertEqual([names.count(name) for name in names], [3] * len(names))
        self.assertGreaterEqual(len(set(names)), 4)
        for row in rows:
            for figure in row[2:]:
                self.assertGreater(float(figure), 0, row)

    def test_a_wrong_value_ends_it(self):
        liar = [sys.executable, os.path.join(support.HERE, "lying_server.py"), "{port}"]
        done = self.run_it(liar, "--only", "get", "--nodes", "1")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("larder-client-bench: a wrong answer to get\n", done.stdout)


class WithoutAServer(unittest.TestCase):
    def test_nobody_there_is_one_sentence(self):
        for there in (("--server", f"127.0.0.1:{support.free_port()}"),
                      ("--unix", "/nowhere/at/all")):
            done = bench(*there)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stdout, r"^larder-bench: cannot connect to .*: .*\n$")

    def test_a_bad_value_is_one_sentence_that_names_the_option(self):
        for option, value in (("--mix", "get=1,put=1"), ("--keys", "0"),
                              ("--value-bytes", "zipf:1"), ("--key-bytes", "uniform:9:5"),
                              ("--rate", "fast"), ("--ttl", "x"),
                              ("--preset", "twitter5"), ("--protocol", "redis"),
                              ("--popularity", "zipf"), ("--arrivals", "late"),
                              ("--server", "localhost"), ("--connections", "0"),
                              ("--threads", "100"), ("--key-bytes", "2"), ("--seconds", "-1"),
                              ("--pipeline", "32768")):
            with self.subTest(option=option):
                done = bench(option, value)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertEqual(done.stdout.count("\n"), 1, done.stdout)
                self.assertIn(option, done.stdout)


class OverTls(unittest.TestCase):
    """Against memcached, as Debian builds it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="larder-tls-")
        os.chmod(cls.folder, 0o755)
        cls.certificate = os.path.join(cls.folder, "certificate.pem")
        key = os.path.join(cls.folder, "key.pem")
        subprocess.run([OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=larder test", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", cls.certificate], check=True, capture_output=True)
        os.chmod(key, 0o644)
        port = support.free_port()
        cls.there = ("--server", f"127.0.0.1:{port}")
        cls.process = subprocess.Popen(
            [MEMCACHED, "-u", "nobody", "-l", "127.0.0.1", "-p", str(port), "-Z",
             "-o", f"ssl_chain_cert={cls.certificate},ssl_key={key}"], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + support.START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        support.fail("memcached -Z does not listen")

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait(support.STOP_TIMEOUT_SECONDS)
        shutil.rmtree(cls.folder)

    def test_loads(self):
        for trust in (("--tls-ca", self.certificate), ("--tls-insecure",)):
            # Not both at once: memcached 1.6.18 leaves some of pipelined requests unanswered where
            # they reach over several TLS records.
            for shape in (("--pipeline", 20), ("--value-bytes", "uniform:1:100000")):
                done = bench(*self.there, "--tls", *trust, "--prefill", "--keys", 300, "--mix",
                             "get=3,set=1", "--requests", 2000, "--connections", 4, *shape)
                self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_certificate_that_nobody_vouches_for(self):
        done = bench(*self.there, "--tls")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"^larder-bench: no TLS with .*: self.signed certificate\n$")


class Commands(unittest.TestCase):
    """The commands that start servers themselves."""

    def command(self, program):
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return " ".join([*program, *user, "-l 127.0.0.1 -p {port} -t 1 -m {memory}"])

    def servers(self):
        return ("--a", self.command(support.server_command()), "--b", self.command([MEMCACHED]),
                "--server-cpu", -1, "--client-cpu", -1)

    def test_compare(self):
        done = bench("compare", *self.servers(), "--only", "multiget 50, zipf", "--rounds", 2,
                     "--seconds", 0.2, "--json", "-")
        self.assertEqual(done.returncode, 0, done.stdout)
        row, = json.loads(done.stdout)["rows"]
        self.assertEqual([server["server"] for server in row["servers"]], ["A", "B"])
        self.assertEqual(row["orders"], ["AB", "BA"])
        for server in row["servers"]:
            self.assertGreater(server["cpu_ns_per_key"], 0)
            self.assertEqual(server["hit_ratio"], 1)
            self.assertEqual(server["errors"], 0)
            self.assertIn("settled", server)
            self.assertIn("huge_pages_mib", server)
        self.assertGreater(row["servers"][1]["ratio"], 0)

    def test_compare_writes_wrong_replies_into_the_table_and_fails(self):
        liar = f"{sys.executable} {os.path.join(support.HERE, 'lying_server.py')} {{port}}"
        for markdown in ((), ("--markdown",)):
            done = bench("compare", "--a", self.command(support.server_command()), "--b", liar,
                         "--server-cpu", -1, "--client-cpu", -1, "--rounds", 2, "--seconds", 0.1,
                         "--workload-from-options", "--keys", 100, *markdown)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stdout, r"(?m)^(\| )?get=1 .*WRONG REPLIES from B: 1\b")
            self.assertIn("larder-bench: server B, 'get=1': expected get of key-", done.stdout)

    def redis(self):
        return " ".join([REDIS, *REDIS_OPTIONS, "--logfile /dev/null --port {port} --maxmemory",
                         "{memory}mb --maxmemory-policy allkeys-lru"])

    def test_compare_asks_one_server_in_its_own_protocol(self):
        done = bench("compare", *self.servers(), "--b", self.redis(), "--c-protocol", "resp",
                     "--only", "binary getq 50", "set, pipelined 32, evicting", "--rounds", 1,
                     "--seconds", 0.1, "--json", "-")
        self.assertEqual(done.returncode, 0, done.stdout)
        report = json.loads(done.stdout)
        self.assertEqual(report["protocols"], [None, None, "resp"])
        self.assertEqual(len(report["rows"]), 2)
        for row in report["rows"]:
            self.assertEqual([server["server"] for server in row["servers"]], ["A", "B", "C"])
            for server in row["servers"]:
                self.assertGreater(server["cpu_ns_per_key"], 0)
                self.assertEqual(server["hit_ratio"], 1)
                self.assertEqual(server["errors"], 0)

    def test_compare_leaves_redis_out_of_a_row_that_resp_cannot_ask_for(self):
        for workload in (("--mix", "get=1,cas=1"), ("--mix", "set", "--noreply")):
            done = bench("compare", *self.servers(), "--b", "/bin/false {port}", "--c-protocol",
                         "resp", "--workload-from-options", "--keys", 100, *workload, "--rounds", 1,
                         "--seconds", 0.1, "--markdown")
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertRegex(done.stdout, r"(?m)^\| (get=1,cas|set)=1 \| .* \| \| \| .* / - \|")
            self.assertIn("- C: `/bin/false {port}` (asked in resp)\n", done.stdout)

    def test_compare_counts_a_wrong_reply_of_resp(self):
        liar = f"{sys.executable} {os.path.join(support.HERE, 'lying_server.py')} {{port}}"
        done = bench("compare", "--a", self.command(support.server_command()), "--b", liar,
                     "--b-protocol", "resp", "--server-cpu", -1, "--client-cpu", -1, "--rounds", 1,
                     "--seconds", 0.1, "--workload-from-options", "--keys", 100)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stdout, r"(?m)^get=1 .*WRONG REPLIES from B: 1\b")
        self.assertIn("larder-bench: server B, 'get=1': expected get of key-", done.stdout)

    def test_a_protocol_that_makes_no_sense_is_one_sentence(self):
        servers = ("--a", "/bin/false {port}", "--b", "/bin/false {port}")
        own = ("--workload-from-options", "--mix", "cas")
        for command, options, sentence in (
                ("compare", ("--c-protocol", "resp"), "--c-protocol: there is no server C"),
                ("compare", ("--b-protocol", "redis"), "--b-protocol: 'redis' is not classic, "
                                                       "meta, binary or resp"),
                ("compare", ("--a-protocol", "resp", *own), "--a-protocol: A takes part in every "
                                                            "row, but --mix: resp has no cas"),
                ("compare", ("--protocol", "resp", *own), "--mix: resp has no cas"),
                ("fill", ("--b-protocol", "meta"), "--b-protocol: fill knows classic and resp "
                                                   "alone")):
            with self.subTest(options=options):
                done = bench(command, *servers, *options)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertEqual(done.stdout, f"larder-bench: {sentence}\n")

    def test_compare_starts_servers_for_many_items_in_no_other_row(self):
        done = bench("compare", *self.servers(), "--b-many-items", "/bin/false {port}", "--only",
                     "multiget 50, zipf", "--rounds", 1, "--seconds", 0.1, "--markdown")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"(?m)^\| multiget 50, zipf 1000 \| .* \| \| \| .* / - \|")
        self.assertIn("- C: `/bin/false {port}` (rows of 10 M items alone)\n", done.stdout)

    def test_compare_over_unix_sockets(self):
        commands = [" ".join([*program, "-u root -s {socket} -t 1 -m {memory}"])
                    for program in (support.server_command(), [MEMCACHED])]
        done = bench("compare", "--a", commands[0], "--b", commands[1], "--server-cpu", -1,
                     "--client-cpu", -1, "--only", "get, pipelined 32", "multiget 50, zipf",
                     "--rounds", 1, "--seconds", 0.1, "--json", "-")
        self.assertEqual(done.returncode, 0, done.stdout)
        for row in json.loads(done.stdout)["rows"]:
            for server in row["servers"]:
                self.assertEqual((server["errors"], server["hit_ratio"]), (0, 1))
        self.assertEqual([name for name in os.listdir(tempfile.gettempdir())
                          if name.startswith("larder-bench-")], [])

    def test_compare_over_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = (os.path.join(folder, name) for name in ("key.pem", "cert.pem"))
            made = support.run([OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                                certificate, "-subj", "/CN=localhost"])
            self.assertEqual(made.returncode, 0, made.stdout)
            command = self.command(support.server_command()) + \
                f" -Z -o ssl_chain_cert={certificate} -o ssl_key={key}"
            words = ("compare", "--a", command, "--b", command, "--server-cpu", -1, "--client-cpu",
                     -1, "--only", "get, pipelined 32", "--rounds", 1, "--seconds", 0.1)
            done = bench(*words, "--tls", "--tls-insecure", "--markdown")
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("; over TLS\n", done.stdout)
            done = bench(*words, "--tls")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("certificate", done.stdout)

    def test_compare_a_workload_at_a_rate(self):
        done = bench("compare", *self.servers(), "--rounds", 1, "--seconds", 0.2, "--rate", 5000,
                     "--workload-from-options", "--mix", "get=1,set=1", "--protocol", "meta")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("get=1,set=1, 5000/s", done.stdout)

    def test_compare_evicting_for_a_readme(self):
        done = bench("compare", *self.servers(), "--only", "set, pipelined 32, evicting",
                     "--rounds", 1, "--seconds", 0.2, "--markdown")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"(?m)^\| set, pipelined 32, evicting \| .* \|$")

    def test_rows_are_listed(self):
        done = bench("compare", "--list")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("get, single\n", done.stdout)

    def test_fill(self):
        done = bench("fill", *self.servers(), "--memory", 16, "--value-bytes", 1000, "--json", "-")
        self.assertEqual(done.returncode, 0, done.stdout)
        for held in json.loads(done.stdout)["held"]:
            self.assertGreater(held["items"], 1000)

    def test_fill_counts_items_of_redis(self):
        done = bench("fill", "--a", self.command([MEMCACHED]), "--b", self.redis(), "--b-protocol",
                     "resp", "--server-cpu", -1, "--memory", 16, "--value-bytes", 1000, "--json",
                     "-")
        self.assertEqual(done.returncode, 0, done.stdout)
        _, redis = json.loads(done.stdout)["held"]
        self.assertGreater(redis["items"], 1000)
        self.assertEqual(redis["refused"], 0)  # it evicts

    def test_fill_of_a_redis_without_a_limit(self):
        unlimited = " ".join([REDIS, *REDIS_OPTIONS, "--logfile /dev/null --port {port}"])
        done = bench("fill", "--a", unlimited, "--b", unlimited, "--a-protocol", "resp",
                     "--server-cpu", -1)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("larder-bench: the server has no limit; is --maxmemory {memory}mb in the "
                      "command?\n", done.stdout)

    def test_growth(self):
        done = bench("growth", "--server-command", self.command(support.server_command()),
                     "--items", 40000, "--rate", 40000, "--rounds", 1, "--memory", 64,
                     "--client-cpu", -1, "--server-cpu", -1)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("median ratio of p99.9", done.stdout)

    def test_a_server_that_does_not_start(self):
        done = bench("compare", "--a", "/bin/false {port}", "--b", "/bin/false {port}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ended by itself", done.stdout)


if __name__ == "__main__":
    support.main()
