"""Perl: Cache::Memcached and Cache::Memcached::Fast, TCP and unix socket."""

import os

import support

PERL = support.need_program("perl", "perl")
SCRIPTS = os.path.join(support.HERE, "scripts")

for module, package in (("Cache::Memcached", "libcache-memcached-perl"),
                        ("Cache::Memcached::Fast", "libcache-memcached-fast-perl")):
    if support.run([PERL, f"-M{module}", "-e1"]).returncode != 0:
        support.fail(f"perl cannot load {module}; install the package {package}")


class Perl:
    def test_cache_memcached(self):
        self.run_script(PERL, os.path.join(SCRIPTS, "cache_memcached.pl"), self.server.address)

    def test_cache_memcached_fast(self):
        self.run_script(PERL, os.path.join(SCRIPTS, "cache_memcached_fast.pl"),
                        self.server.address)


class OverTcp(Perl, support.ScriptCase):
    pass


class OverUnixSocket(Perl, support.ScriptCase):
    over_unix_socket = True


if __name__ == "__main__":
    support.main()
