"""docs/page-cache.md: nginx, PHP-FPM and a shop whose pages the guide's files cache."""

import concurrent.futures
import os
import time

import guide
import support
import web

support.need_program("curl", "curl")
support.need_program("memcstat", "libmemcached-tools")

CROWD = 20

# The shop as it was: a line in `made` for each page, which shows the price as it was when its making
# began; while there is a file `hold`, the making goes on.
SHOP = """<?php
$folder = __DIR__;
$price = file_get_contents("$folder/price");
$uri = $_SERVER['REQUEST_URI'];
file_put_contents("$folder/made", "$uri\\n", FILE_APPEND | LOCK_EX);
while (file_exists("$folder/hold")) {
    usleep(5000);
    clearstatcache();
}
if (str_starts_with($uri, '/login')) {
    setcookie('PHPSESSID', 'abc');
}
if (str_starts_with($uri, '/missing')) {
    http_response_code(404);
}
$length = str_starts_with($uri, '/long') ? 1200000 : 1000;
echo "<p>$uri costs $price", file_get_contents('php://input'), str_repeat('.', $length), "</p>\\n";
"""


class Shop(support.ServerCase):
    """One shop for all tests of a class; its record and the cache are emptied before each."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.start_site()
        except BaseException:
            cls.server.stop()  # tearDownClass is not called after this
            raise

    @classmethod
    def start_site(cls):
        cls.folder = folder = cls.server.folder
        port = support.free_port()
        cls.guide = guide.Guide("page-cache.md", {
            "127.0.0.1:11211": cls.server.address,
            "listen 80": f"listen 127.0.0.1:{port}",
            "http://shop.example/": f"-H 'Host: shop.example' http://127.0.0.1:{port}/",
            "/var/www/shop": folder,
            "/run/php/php8.2-fpm.sock": f"{folder}/php.sock"})
        cls.guide.write(folder, "shop.conf", "page_cache.php", "index.php")
        cls.write("shop.php", SHOP)
        cls.write("price", "1")
        cls.site = web.Site(cls.addClassCleanup, folder, port, CROWD + 4)
        support.wait_until(lambda: cls.fetch("/ready")[0] == 200, "a page of nginx and php-fpm")

    @classmethod
    def write(cls, name, content):
        with open(os.path.join(cls.folder, name), "w") as file:
            file.write(content)

    @classmethod
    def fetch(cls, path, method="GET", body=None, **headers):
        """Status, where the page comes from (X-Cache), and the page."""
        answer = cls.site.ask(path, method, body, **headers)
        return answer.status, answer.getheader("X-Cache"), answer.body

    def setUp(self):
        super().setUp()
        self.write("made", "")
        self.write("price", "1")
        self.addCleanup(self.release)
        crowd = concurrent.futures.ThreadPoolExecutor(CROWD)
        self.addCleanup(crowd.shutdown)
        self.crowd = crowd

    def made(self):
        """How many pages the shop has begun to make."""
        with open(os.path.join(self.folder, "made")) as file:
            return len(file.readlines())

    def hold(self):
        self.write("hold", "")

    def release(self):
        if os.path.exists(os.path.join(self.folder, "hold")):
            os.remove(os.path.join(self.folder, "hold"))

    def sources(self, path, count):
        return [self.fetch(path)[1] for _ in range(count)]

    def fetch_by_crowd(self, path):
        return [self.crowd.submit(self.fetch, path) for _ in range(CROWD)]


class PageCache(Shop):
    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        if cls.guide.complaint():
            raise AssertionError(cls.guide.complaint())

    def test_a_page_is_made_once_and_then_comes_from_nginx(self):
        answers = [self.fetch("/product/42") for _ in range(2)]
        hits = int(self.server.stat("get_hits"))
        answers += [self.fetch("/product/42") for _ in range(8)]
        self.assertEqual([source for _, source, _ in answers], ["made", "php"] + ["nginx"] * 8)
        self.assertEqual(self.made(), 1)
        self.assertEqual({(status, page) for status, _, page in answers}, {(200, answers[0][2])})
        self.assertIn("/product/42 costs 1", answers[0][2])
        self.assertEqual(int(self.server.stat("get_hits")) - hits, 8)

    def test_the_guides_last_lines_show_it(self):
        self.sources("/product/42", 2)
        hits = int(self.server.stat("get_hits"))
        printed = self.guide.run("look.sh")
        self.assertIn("X-Cache: nginx", printed)
        self.assertIn(f"get_hits: {hits + 1}\n", printed)

    def test_addresses_of_all_kinds_are_keys(self):
        for path in ("/caf%C3%A9?a=1&b=%20", "/%25", "/a%20b"):
            self.assertEqual(self.sources(path, 3), ["made", "php", "nginx"], path)
        self.assertEqual(self.sources("/" + "x" * 300, 3), ["none"] * 3)

    def test_nginx_asks_php_again_when_its_copy_has_expired(self):
        self.sources("/product/42", 2)
        self.assertIn(
            support.seconds_left(self.server.ask(b"mg copy:shop.example/product/42 t\r\n")), range(5, 11))
        self.server.ask(b"md copy:shop.example/product/42\r\n")
        self.assertEqual(self.sources("/product/42", 2), ["php", "nginx"])
        self.assertEqual(self.made(), 1)

    def test_visitors_with_a_session_and_forms_go_to_the_shop(self):
        self.sources("/product/42", 2)
        status, source, page = self.fetch("/product/42", Cookie="PHPSESSID=abc")
        self.assertEqual((status, source), (200, "none"))
        status, source, page = self.fetch("/product/42", "POST", " and 7 more")
        self.assertEqual((status, source), (200, "none"))
        self.assertIn("costs 1 and 7 more", page)
        self.assertEqual(self.made(), 3)
        self.assertEqual(self.fetch("/product/42")[1], "nginx")

    def test_what_is_not_for_all_is_not_kept(self):
        for path, status in (("/login", 200), ("/missing", 404), ("/long", 200)):
            answers = [self.fetch(path) for _ in range(4)]
            self.assertEqual({answer[0] for answer in answers}, {status}, path)
            self.assertEqual({answer[1] for answer in answers} - {"made", "none"}, set(), path)
            self.assertGreater(len(answers[0][2]), 1000)
        self.assertEqual(self.made(), 12)

    def test_a_crowd_at_a_page_that_was_never_made_gets_the_one_that_one_request_makes(self):
        self.hold()
        answers = self.fetch_by_crowd("/new")
        support.wait_until(lambda: self.made() >= 1, "the making of a page")
        support.wait_until(lambda: int(self.server.stat("get_hits")) > CROWD, "waiting of the others")
        self.assertFalse(any(answer.done() for answer in answers))
        self.release()
        got = [answer.result() for answer in answers]
        self.assertEqual(self.made(), 1)
        self.assertEqual(len({page for _, _, page in got}), 1)
        self.assertEqual([source for _, source, _ in got].count("made"), 1)

    def seconds_left(self, path):
        return support.seconds_left(self.server.ask(f"me page:shop.example{path}\r\n".encode()))

    def test_pages_live_as_long_as_the_guide_says(self):
        self.hold()
        first = self.crowd.submit(self.fetch, "/product/42")
        support.wait_until(lambda: self.made() == 1, "the making of the page")
        self.assertIn(self.seconds_left("/product/42"), range(20, 31))
        self.release()
        first.result()
        self.assertIn(self.seconds_left("/product/42"), range(3590, 3601))
        self.guide.run("changed.sh")
        self.assertIn(self.seconds_left("/product/42"), range(50, 61))

    def expect_one_of_a_crowd_to_renew(self, path):
        """All but one have the old page while the new one is being made."""
        self.hold()
        answers = self.fetch_by_crowd(path)
        finished = lambda: [answer.result() for answer in answers if answer.done()]
        support.wait_until(lambda: len(finished()) == CROWD - 1, "the answer to all but one")
        self.assertEqual({source for _, source, _ in finished()}, {"old"})
        self.assertTrue(all("costs 1." in page for _, _, page in finished()))
        self.release()
        [new] = [answer.result() for answer in answers if answer.result()[1] != "old"]
        self.assertEqual(new[1], "made")
        self.assertIn("costs 2.", new[2])
        self.assertEqual(self.made(), 2)
        self.assertEqual(self.fetch(path), (200, "php", new[2]))
        self.assertEqual(self.fetch(path), (200, "nginx", new[2]))

    def test_after_a_change_one_of_a_crowd_makes_the_page_and_the_others_get_the_old_one(self):
        self.sources("/product/42", 3)
        self.write("price", "2")
        self.guide.run("changed.sh")
        self.expect_one_of_a_crowd_to_renew("/product/42")

    def test_a_page_that_grows_old_is_made_anew_by_one_of_a_crowd(self):
        self.sources("/product/42", 3)
        self.write("price", "2")
        # As if it were 50 minutes later.
        self.server.ask(b"mg page:shop.example/product/42 T660\r\n")
        self.server.ask(b"md copy:shop.example/product/42\r\n")
        self.assertEqual(self.fetch("/product/42")[1], "php")
        self.server.ask(b"mg page:shop.example/product/42 T599\r\n")
        self.server.ask(b"md copy:shop.example/product/42\r\n")
        self.expect_one_of_a_crowd_to_renew("/product/42")

    def test_a_change_while_the_page_is_made_is_not_lost(self):
        self.hold()
        first = self.crowd.submit(self.fetch, "/product/42")
        support.wait_until(lambda: self.made() == 1, "the making of the page")
        self.write("price", "2")
        self.guide.run("changed.sh")
        self.release()
        self.assertIn("costs 1.", first.result()[2])
        status, source, page = self.fetch("/product/42")
        self.assertEqual((status, source), (200, "made"))
        self.assertIn("costs 2.", page)
        self.assertEqual(self.sources("/product/42", 2), ["php", "nginx"])

    def test_a_request_does_not_wait_forever_for_another_one(self):
        # As if a process had died over the page.
        self.assertIn(b" W", self.server.ask(b"mg page:shop.example/died v N30\r\n"))
        began = time.monotonic()
        self.assertEqual(self.fetch("/died")[1], "none")
        self.assertGreater(time.monotonic() - began, 1.9)


class WithoutCache(Shop):
    @classmethod
    def tearDownClass(cls):
        cls.server.stop()  # the test has stopped it already

    def test_the_shop_goes_on_without_the_cache(self):
        self.assertEqual(self.sources("/product/42", 3), ["made", "php", "nginx"])
        self.server.process.terminate()
        self.server.process.wait(10)
        self.assertEqual(self.sources("/product/42", 3), ["none"] * 3)


if __name__ == "__main__":
    support.main()
