"""PostgreSQL with pgmemcache, which makes a cache a set of SQL functions; binary and text."""

import postgres
import support

postgres.need("postgresql-15-pgmemcache", "pgmemcache")


class Sql(support.ServerCase):
    """One cluster for all tests of a class, with the extension made.

    behavior  what to tell libmemcached, which is what pgmemcache uses
    """

    behavior = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.cluster = postgres.Cluster(cls.addClassCleanup, {
                "shared_preload_libraries": "pgmemcache",
                "pgmemcache.default_servers": cls.server.address,
                "pgmemcache.default_behavior": cls.behavior})
            done = cls.cluster.psql("CREATE EXTENSION pgmemcache")
            if done.returncode != 0:
                raise AssertionError(f"the extension was not made:\n{done.stdout}")
        except BaseException:
            cls.server.stop()  # tearDownClass is not called after this
            raise

    def ask(self, *statements):
        """What one session answers to all statements: a line per row, NULL as an empty one."""
        done = self.cluster.psql(*statements)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.splitlines()

    def one(self, expression):
        """What one expression is, as text."""
        lines = self.ask(f"SELECT {expression}")
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def raw(self, key):
        """The value as the server holds it; None on a miss."""
        answer = self.server.ask(b"get %s\r\n" % key.encode(), b"END\r\n")
        return None if answer == b"END\r\n" else answer.split(b"\r\n", 1)[1][:-len(b"\r\nEND\r\n")]


class Functions:
    def test_what_is_set_comes_back(self):
        self.assertEqual(self.one("memcache_set('k', 'value')"), "t")
        self.assertEqual(self.raw("k"), b"value")
        self.assertEqual(self.one("memcache_get('k')"), "value")
        self.assertEqual(self.one("memcache_get('missing') IS NULL"), "t")
        self.assertEqual(self.ask("SELECT memcache_set('empty', '')",
                                  "SELECT memcache_get('empty') = ''"), ["t", "t"])
        self.assertEqual(self.ask("SELECT memcache_set('words', E'Grüße\\r\\nEND\\r\\n')",
                                  "SELECT memcache_get('words') = E'Grüße\\r\\nEND\\r\\n'"),
                         ["t", "t"])

    def test_a_large_value_comes_back_whole(self):
        size = support.NEARLY_ONE_MEGABYTE
        self.assertEqual(
            self.ask(f"SELECT memcache_set('large', repeat('0123456789', {size} / 10))",
                     f"SELECT memcache_get('large') = repeat('0123456789', {size} / 10)"),
            ["t", "t"])
        self.assertEqual(self.raw("large"), b"0123456789" * (size // 10))

    def test_bytes_can_be_a_value(self):
        self.assertEqual(self.one(r"memcache_set('bytes', '\x00ff0d0a80'::bytea)"), "t")
        self.assertEqual(self.raw("bytes"), b"\x00\xff\r\n\x80")

    def test_add_and_replace_heed_what_is_there(self):
        self.assertEqual(
            self.ask("SELECT memcache_replace('k', 'one')", "SELECT memcache_add('k', 'two')",
                     "SELECT memcache_add('k', 'three')", "SELECT memcache_get('k')",
                     "SELECT memcache_replace('k', 'four')", "SELECT memcache_get('k')"),
            ["f", "t", "f", "two", "t", "four"])

    def test_append_and_prepend_put_pieces_together(self):
        self.assertEqual(
            self.ask("SELECT memcache_set('k', 'b')", "SELECT memcache_append('k', 'c')",
                     "SELECT memcache_prepend('k', 'a')", "SELECT memcache_get('k')"),
            ["t", "t", "t", "abc"])

    def test_what_is_deleted_or_flushed_is_gone(self):
        self.assertEqual(
            self.ask("SELECT memcache_set('a', '1')", "SELECT memcache_set('b', '2')",
                     "SELECT memcache_delete('a')", "SELECT memcache_delete('a')",
                     "SELECT memcache_get('a') IS NULL", "SELECT memcache_get('b')",
                     "SELECT memcache_flush_all()", "SELECT memcache_get('b') IS NULL"),
            ["t", "t", "t", "f", "t", "2", "t", "t"])

    def test_an_expiry_may_be_an_interval_or_a_time(self):
        self.assertEqual(
            self.ask("SELECT memcache_set('short', '1', interval '1 second')",
                     "SELECT memcache_set('soon', '2', now() + interval '1 second')",
                     "SELECT memcache_set('long', '3', now() + interval '1 hour')"), ["t"] * 3)
        self.assertEqual(self.one("memcache_get('long')"), "3")
        support.wait_until(lambda: self.raw("short") is None and self.raw("soon") is None,
                           "the expiry", 5)
        self.assertEqual(self.one("memcache_get('long')"), "3")

    def test_many_keys_at_once(self):
        self.assertEqual(
            self.ask("SELECT count(*) FROM generate_series(1, 500) AS n "
                     "WHERE memcache_set('key-' || n, repeat(n::text, 3))",
                     "SELECT count(*), bool_and(value = repeat(substr(key, 5), 3)) FROM "
                     "memcache_get_multi((SELECT array_agg('key-' || n) FROM "
                     "generate_series(1, 600) AS n))"), ["500", "500|t"])

    def test_statistics_come_through(self):
        text = "\n".join(self.ask("SELECT memcache_set('k', 'value')", "SELECT memcache_stats()"))
        for name in ("pid", "version", "curr_items", "limit_maxbytes"):
            self.assertRegex(text, rf"(?m)^{name}: \S+$")

    def test_a_trigger_keeps_the_cache_right(self):
        self.ask("CREATE TABLE person (id int PRIMARY KEY, name text)",
                 "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS "
                 "$$BEGIN PERFORM memcache_delete('person-' || OLD.id); RETURN NEW; END;$$",
                 "CREATE TRIGGER forget AFTER UPDATE ON person FOR EACH ROW "
                 "EXECUTE PROCEDURE forget()",
                 "INSERT INTO person SELECT n, 'name ' || n FROM generate_series(1, 50) AS n",
                 "SELECT memcache_set('person-' || id, name) FROM person")
        self.ask("UPDATE person SET name = 'new' WHERE id <= 20")
        self.assertEqual(
            self.ask("SELECT min(id), max(id), count(*), bool_and(found = name) FROM "
                     "(SELECT id, name, memcache_get('person-' || id) AS found FROM person) AS p "
                     "WHERE found IS NOT NULL"), ["21|50|30|t"])


class Binary(Functions, Sql):
    behavior = "BINARY_PROTOCOL:1"

    def test_counters_go_up_and_down(self):
        # Over binary only: the text protocol has no request like pgmemcache's.
        self.assertEqual(
            self.ask("SELECT memcache_incr('new', 5)", "SELECT memcache_set('n', '10')",
                     "SELECT memcache_incr('n', 32)", "SELECT memcache_incr('n')",
                     "SELECT memcache_decr('n', 2)", "SELECT memcache_decr('n')",
                     "SELECT memcache_decr('n', 1000)"),
            ["-1", "t", "42", "43", "41", "40", "0"])


class Text(Functions, Sql):
    behavior = "BINARY_PROTOCOL:0"


if __name__ == "__main__":
    support.main()
