"""docs/query-cache.md: query results over PostgreSQL, which counts the queries itself."""

import os
import re
import subprocess
import urllib.parse

import guide
import postgres
import support

PHP = support.need_program("php", "php-cli")
support.need_program("memcstat", "libmemcached-tools")
postgres.need("postgresql-15", "pg_stat_statements")

for extension, package in (("memcached", "php-memcached"), ("pdo_pgsql", "php8.2-pgsql")):
    if support.run([PHP, "-r", f"exit(extension_loaded('{extension}') ? 0 : 1);"]).returncode != 0:
        support.fail(f"php has no extension {extension}; install the package {package}")

SHOES = "boots: 80\nsandals: 20\n"

# A query that takes long after it has begun to read.
SLOW = """<?php
require __DIR__ . '/query_cache.php';
$rows = query_cache()->rows('products', 60, "SELECT price FROM products, pg_sleep(1) WHERE name = 'boots'");
echo $rows[0]['price'];
"""


class QueryCache(support.ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.start_shop()
        except BaseException:
            cls.server.stop()  # tearDownClass is not called after this
            raise

    @classmethod
    def start_shop(cls):
        cls.folder = cls.server.folder
        settings = guide.Guide("query-cache.md", {}).text("postgresql.conf")
        cls.cluster = postgres.Cluster(cls.addClassCleanup, dict(
            (word.strip(" '") for word in line.split("=")) for line in settings.splitlines()))
        cls.guide = guide.Guide("query-cache.md", {
            "'127.0.0.1', 11211": f"'127.0.0.1', {cls.server.port}",
            "127.0.0.1:11211": cls.server.address,
            "/var/run/postgresql": cls.cluster.folder,
            "/var/www/shop": cls.folder,
            "sudo -u postgres psql": f"psql -h {cls.cluster.folder} -U postgres"})
        cls.guide.text("postgresql.conf")  # used above, before there was a folder to name
        cls.guide.write(cls.folder, "before.php", "query_cache.php", "after.php", "new_price.php")
        with open(os.path.join(cls.folder, "slow.php"), "w") as file:
            file.write(SLOW)
        for statement in ("CREATE ROLE shop LOGIN", "CREATE DATABASE shop OWNER shop"):
            cls.sql(statement, database="postgres")

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        if cls.guide.complaint():
            raise AssertionError(cls.guide.complaint())

    @classmethod
    def sql(cls, *statements, database="shop"):
        done = cls.cluster.psql(*statements, database=database)
        if done.returncode != 0:
            raise AssertionError(done.stdout)
        return done.stdout

    def setUp(self):
        super().setUp()
        self.sql("DROP TABLE IF EXISTS products",
                 "CREATE TABLE products (category text, name text PRIMARY KEY, price int)",
                 "ALTER TABLE products OWNER TO shop",
                 "INSERT INTO products VALUES ('shoes', 'boots', 80), ('shoes', 'sandals', 20), "
                 "('hats', 'cap', 10)")
        self.guide.run("count_from_now.sh")

    def php(self, script, *arguments):
        done = support.run([PHP, os.path.join(self.folder, script), *arguments])
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def queries(self):
        """How many have read products, as the guide counts them."""
        return int(self.guide.run("count.sh").strip() or 0)

    def test_without_the_cache_each_visitor_is_a_query(self):
        self.assertEqual(self.guide.run("visit_before.sh"), SHOES * 20)
        self.assertEqual(self.queries(), 20)

    def test_with_the_cache_twenty_visitors_are_one_query(self):
        hits = int(self.server.stat("get_hits"))
        self.assertEqual(self.guide.run("visit_after.sh"), SHOES * 20)
        self.assertEqual(self.queries(), 1)
        # Of the first the version, read again; of the others the version and the rows.
        self.assertIn(f"get_hits: {hits + 1 + 19 * 2}\n", self.guide.run("look.sh"))

    def test_a_result_lives_as_long_as_the_page_says(self):
        self.php("after.php", "shoes")
        dump = self.server.ask(b"lru_crawler metadump all\r\n", b"END\r\n").decode()
        [key] = re.findall(r"^key=(sql%3A\S+) ", dump, re.M)
        left = support.seconds_left(self.server.ask(f"mg {urllib.parse.unquote(key)} t\r\n".encode()))
        self.assertIn(left, range(50, 61))

    def test_other_values_are_other_results(self):
        self.assertEqual([self.php("after.php", name) for name in ("shoes", "hats", "none", "none")],
                         [SHOES, "cap: 10\n", "", ""])
        self.assertEqual(self.queries(), 3)

    def test_a_new_price_is_seen_at_once_and_takes_one_query(self):
        self.php("after.php", "shoes")
        self.php("new_price.php", "boots", "70")
        for _ in range(3):
            self.assertEqual(self.php("after.php", "shoes"), SHOES.replace("80", "70"))
        self.assertEqual(self.queries(), 2)

    def test_what_the_cache_is_not_told_of_is_not_seen_yet(self):
        self.php("after.php", "shoes")
        self.sql("UPDATE products SET price = 70 WHERE name = 'boots'")
        self.assertEqual(self.php("after.php", "shoes"), SHOES)

    def test_a_result_that_was_being_read_during_the_change_is_not_kept(self):
        slow = subprocess.Popen([PHP, os.path.join(self.folder, "slow.php")],
                                stdout=subprocess.PIPE, text=True)
        support.wait_until(
            lambda: self.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1\n",
            "the slow query")
        self.php("new_price.php", "boots", "70")
        self.assertEqual(slow.communicate()[0], "80")
        self.assertEqual(self.php("slow.php"), "70")

    def test_a_lost_version_does_not_bring_back_what_was_before(self):
        self.php("after.php", "shoes")
        self.assertEqual(self.server.ask(b"delete version:products\r\n"), b"DELETED\r\n")
        self.php("new_price.php", "boots", "70")
        self.assertEqual(self.php("after.php", "shoes"), SHOES.replace("80", "70"))

    def test_without_an_answer_of_the_cache_every_query_goes_to_the_database(self):
        # A port at which nobody listens.
        path = os.path.join(self.folder, "query_cache.php")
        with open(path) as file:
            text = file.read()
        self.addCleanup(self.guide.write, self.folder, "query_cache.php")
        with open(path, "w") as file:
            file.write(text.replace(str(self.server.port), str(support.free_port())))
        self.assertEqual([self.php("after.php", "shoes") for _ in range(3)], [SHOES] * 3)
        self.assertEqual(self.queries(), 3)


if __name__ == "__main__":
    support.main()
