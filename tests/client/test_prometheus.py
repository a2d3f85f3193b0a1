"""Prometheus: its linter and checker on what --http serves, and a server of its own that scrapes it.

The board and the alert rules in packaging/ are checked here, too: every metric that they name is
served."""

import json
import os
import re
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import support

PROMETHEUS = support.need_program("prometheus", "prometheus")
PROMTOOL = support.need_program("promtool", "prometheus")
PACKAGING = os.path.join(support.REPOSITORY, "packaging")
RULES = os.path.join(PACKAGING, "prometheus-alerts.yml")
BOARD = os.path.join(PACKAGING, "grafana-board.json")

# Names of metrics in PromQL.
METRIC = re.compile(r"\b(?:memcached|larder)_[a-z0-9_]+")


def fetch(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
        return reply.read().decode()


def promtool(*arguments, text=None):
    """Runs promtool, with `text` for its input; returns its exit code and its output."""
    with tempfile.TemporaryFile() as source:
        source.write((text or "").encode())
        source.seek(0)
        done = subprocess.run([PROMTOOL, *arguments], stdin=source,
                                      stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, timeout=60)
    return done.returncode, done.stdout.decode()


class Scraped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.http = support.free_port()
        cls.server = support.Server("--http", f"127.0.0.1:{cls.http}", "-m", "64", "-t", "1",
                                    "-o", "slow_request_us=1")
        with cls.server.connect() as client:
            load(client)

    @classmethod
    def tearDownClass(cls):
        complaint = cls.server.stop()
        if complaint:
            raise AssertionError(complaint)

    def metrics(self):
        return fetch(self.http, "/metrics")

    def test_promtool_reads_all_of_it_and_finds_nothing_amiss_in_ours(self):
        code, said = promtool("check", "metrics", text=self.metrics())
        # 1: it could not be read; 3: it was, and there are remarks.
        self.assertIn(code, (0, 3), said)
        remarks = [line for line in said.splitlines() if not line.startswith("memcached_")]
        self.assertEqual(remarks, [])

    def test_promtool_would_find_what_is_amiss(self):
        code, said = promtool("check", "metrics",
                              text=self.metrics() + "# TYPE larder_x counter\nlarder_x 1\n")
        self.assertEqual(code, 3)
        self.assertIn("larder_x", said)
        self.assertEqual(promtool("check", "metrics", text=self.metrics() + "larder x\n")[0], 1)

    def test_a_prometheus_scrapes_it(self):
        folder = tempfile.TemporaryDirectory(prefix="larder-prometheus-")
        self.addCleanup(folder.cleanup)
        port = support.free_port()
        configuration = os.path.join(folder.name, "prometheus.yml")
        with open(configuration, "w") as file:
            file.write(f"""
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [{json.dumps(RULES)}]
scrape_configs:
  - job_name: larder
    static_configs: [{{targets: ["127.0.0.1:{self.http}"]}}]
""")
        code, said = promtool("check", "config", configuration)
        self.assertEqual(code, 0, said)
        log = os.path.join(folder.name, "log")
        support.start_beside(
            self.addCleanup,
            [PROMETHEUS, f"--config.file={configuration}",
             f"--storage.tsdb.path={folder.name}/data", f"--web.listen-address=127.0.0.1:{port}"],
            log)

        def ask(query):
            """Values by labels."""
            path = "/api/v1/query?" + urllib.parse.urlencode({"query": query})
            try:
                answer = json.loads(fetch(port, path))
            except urllib.error.HTTPError as error:
                if error.code == 503:
                    return {}  # it is still starting
                raise
            self.assertEqual(answer["status"], "success")
            return {json.dumps(row["metric"], sort_keys=True): float(row["value"][1])
                    for row in answer["data"]["result"]}

        support.wait_until(lambda: list(ask("up").values()) == [1], "a scrape", 60)
        self.assertEqual(list(ask("memcached_up").values()), [1])
        self.assertEqual(list(ask("memcached_current_items").values()), [100])
        self.assertEqual(
            list(ask('memcached_commands_total{command="set",status="hit"}').values()), [100])
        self.assertEqual(list(ask('memcached_version{version="1.6.45"}').values()), [1])
        gets = ask('larder_request_duration_seconds_count{command="get"}')
        self.assertGreater(list(gets.values())[0], 100)
        self.assertGreater(list(ask('larder_hot_key_max_ratio{key="user:7"}').values())[0], 0.3)
        self.assertEqual(len(ask('larder_prefix_hits_total{prefix="user"}')), 1)
        # As many series as there are samples: it dropped none as a duplicate.
        samples = [line for line in self.metrics().splitlines() if not line.startswith("#")]
        self.assertEqual(len(ask('{__name__=~"(memcached|larder)_.*"}')), len(samples))
        # Rules have been evaluated, and none failed.
        def rules():
            groups = json.loads(fetch(port, "/api/v1/rules"))["data"]["groups"]
            return [rule for group in groups for rule in group["rules"]]
        support.wait_until(lambda: all(rule["health"] == "ok" for rule in rules()),
                           "evaluating the rules", 30)
        self.assertGreater(len(rules()), 5)
        # The histogram gives a quantile, once there are two scrapes with gets between them.
        with self.server.connect() as client:
            load(client)

        def quantile():
            values = list(ask("histogram_quantile(0.99, sum by (le) "
                              "(rate(larder_request_duration_seconds_bucket[1m])))").values())
            return values and 0 < values[0] < 1
        support.wait_until(quantile, "a quantile", 30)

    def test_rules_are_right(self):
        code, said = promtool("check", "rules", RULES)
        self.assertEqual(code, 0, said)
        code, said = promtool("test", "rules", os.path.join(support.HERE, "alerts_test.yml"))
        self.assertEqual(code, 0, said)

    def test_what_the_rules_and_the_board_name_is_served(self):
        served = set(re.findall(r"^# TYPE (\S+)", self.metrics(), re.M))
        with open(RULES) as file:
            rules = file.read()
        with open(BOARD) as file:
            board = json.load(file)
        queries = [target["expr"] for panel in board["panels"]
                   for target in panel.get("targets", [])]
        self.assertGreater(len(queries), 15)
        for name in METRIC.findall("\n".join(queries) + rules):
            with self.subTest(name):
                self.assertIn(re.sub("_(bucket|sum|count)$", "", name), served)

    def test_queries_of_the_board_are_promql(self):
        with open(BOARD) as file:
            board = json.load(file)
        rules = {"groups": [{"name": "board", "rules": [
            {"record": f"board:query_{number}",
             "expr": target["expr"].replace("$instance", "x").replace("$__rate_interval", "1m")}
            for number, target in enumerate(
                target for panel in board["panels"] for target in panel.get("targets", []))]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(rules, file)
            file.flush()
            code, said = promtool("check", "rules", file.name)
        self.assertEqual(code, 0, said)

    def test_panels_do_not_overlap(self):
        with open(BOARD) as file:
            board = json.load(file)
        seen = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), seen, panel["title"])
                    seen.add((x, y))
        numbers = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(numbers), len(set(numbers)))


def load(client):
    """100 sets, and gets of which every other is of user:7."""
    answers = client.makefile("rb")
    for number in range(100):
        client.sendall(b"set user:%d 0 0 5\r\nvalue\r\n" % number)
        assert answers.readline() == b"STORED\r\n"
    for number in range(300):
        client.sendall(b"".join(b"get user:7\r\nget user:%d\r\n" % (n % 120)
                                for n in range(number, number + 10)) + b"mn\r\n")
        while answers.readline() != b"MN\r\n":
            pass
    time.sleep(1.5)  # what is sampled is handed over once a second


if __name__ == "__main__":
    support.main()
