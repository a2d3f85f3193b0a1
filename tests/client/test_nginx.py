"""nginx memcached_pass: pages that a script stored, and a page cache in front of PHP-FPM."""

import gzip
import http.client
import os

import support
import web

SCRIPTS = os.path.join(support.HERE, "scripts")

if support.run([web.PHP, "-r", "exit(extension_loaded('memcached') ? 0 : 1);"]).returncode != 0:
    support.fail("php has no extension memcached; install the package php-memcached")

SHOP_CONF = """
default_type text/html;
upstream cache {{ server {cache}; keepalive 4; }}
server {{
    listen 127.0.0.1:{port};
    location / {{
        set $memcached_key $uri;
        memcached_pass cache;
        memcached_gzip_flag 2;
        error_page 404 502 504 = @origin;
    }}
    location @origin {{
        add_header X-Made-By origin;
        return 200 "made by the origin for $uri\\n";
    }}
    location /page/ {{
        set $memcached_key $uri;
        memcached_pass cache;
        error_page 404 502 504 = @php;
    }}
    location @php {{
        add_header X-Made-By php;
        fastcgi_pass unix:{folder}/php.sock;
        fastcgi_param SCRIPT_FILENAME {scripts}/page.php;
        fastcgi_param REQUEST_METHOD GET;
        fastcgi_param REQUEST_URI $uri;
        {php_knows}
    }}
}}
"""


class Site(support.ServerCase):
    """nginx and PHP-FPM in front of the server, started for each test."""

    protocol = "text"

    def setUp(self):
        super().setUp()
        folder = self.server.folder
        self.php_knows = {"CACHE_HOST": self.server.path or "127.0.0.1",
                          "CACHE_PORT": str(self.server.port or 0),
                          "CACHE_PROTOCOL": self.protocol}
        port = support.free_port()
        with open(os.path.join(folder, "shop.conf"), "w") as file:
            file.write(SHOP_CONF.format(
                folder=folder, port=port, scripts=SCRIPTS,
                php_knows=" ".join(f"fastcgi_param {name} {value};"
                                   for name, value in self.php_knows.items()),
                cache=f"unix:{self.server.path}" if self.server.path else self.server.address))
        self.site = web.Site(self.addCleanup, folder, port, 2)
        support.wait_until(
            lambda: (os.path.exists(os.path.join(folder, "php.sock"))
                     and self.site.fetch("/ready").status == 200),
            "an answer by nginx and PHP-FPM", 20)

    def store(self, key, value, flags=0):
        request = b"set %s %d 0 %d\r\n%s\r\n" % (key.encode(), flags, len(value), value)
        self.assertEqual(self.server.ask(request), b"STORED\r\n")


class Pages:
    def test_a_page_that_a_script_stored_is_served(self):
        done = support.run([web.PHP, os.path.join(SCRIPTS, "page.php"), "/stored.html"],
                           env=dict(os.environ, **self.php_knows))
        self.assertEqual(done.returncode, 0, done.stdout)
        answer = self.site.fetch("/stored.html")
        self.assertEqual((answer.status, answer.getheader("X-Made-By")), (200, None))
        self.assertEqual(answer.body.decode(), done.stdout)

    def test_a_page_that_is_not_stored_comes_from_the_origin(self):
        answer = self.site.fetch("/missing.html")
        self.assertEqual((answer.status, answer.getheader("X-Made-By")), (200, "origin"))
        self.assertEqual(answer.body, b"made by the origin for /missing.html\n")

    def test_pages_of_any_size_and_content_arrive_whole(self):
        for size in (0, 1, 4000, 8192, 100_000, support.NEARLY_ONE_MEGABYTE):
            page = os.urandom(size)
            self.store("/bytes", page)
            self.assertEqual(self.site.fetch("/bytes").body, page)
        self.store("/all", support.ALL_BYTES)
        self.assertEqual(self.site.fetch("/all").body, support.ALL_BYTES)

    def test_a_page_with_the_gzip_flag_is_sent_as_gzip(self):
        packed = gzip.compress(b"<p>packed</p>" * 1000)
        self.store("/packed", packed, flags=2)
        answer = self.site.fetch("/packed")
        self.assertEqual(answer.getheader("Content-Encoding"), "gzip")
        self.assertEqual(gzip.decompress(answer.body), b"<p>packed</p>" * 1000)

    def test_php_makes_a_page_once_and_nginx_serves_it_from_then_on(self):
        first, second, third = (self.site.fetch("/page/one") for _ in range(3))
        self.assertEqual((first.status, first.getheader("X-Made-By")), (200, "php"))
        self.assertEqual((second.getheader("X-Made-By"), third.getheader("X-Made-By")),
                         (None, None))
        self.assertGreater(len(first.body), 500_000)
        self.assertEqual(first.body, second.body)
        self.assertEqual(first.body, third.body)
        self.assertEqual(self.server.ask(b"delete /page/one\r\n"), b"DELETED\r\n")
        again = self.site.fetch("/page/one")
        self.assertEqual(again.getheader("X-Made-By"), "php")
        self.assertNotEqual(again.body, first.body)

    def test_many_requests_over_kept_connections(self):
        self.store("/often", b"often")
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=20)
        self.addCleanup(connection.close)
        for number in range(500):
            connection.request("GET", "/often" if number % 2 else f"/missing-{number}")
            body = connection.getresponse().read()
            self.assertEqual(
                body, b"often" if number % 2 else b"made by the origin for /missing-%d\n" % number)


class OverTcp(Pages, Site):
    pass


class OverUnixSocket(Pages, Site):
    over_unix_socket = True
    protocol = "binary"


class WithoutCache(Site):
    @classmethod
    def tearDownClass(cls):
        cls.server.stop()  # the test has stopped it already

    def test_a_page_comes_from_the_origin_when_the_cache_is_gone(self):
        self.assertEqual(self.site.fetch("/any").getheader("X-Made-By"), "origin")
        self.server.process.terminate()
        self.server.process.wait(10)
        answer = self.site.fetch("/any")
        self.assertEqual((answer.status, answer.getheader("X-Made-By")), (200, "origin"))


if __name__ == "__main__":
    support.main()
