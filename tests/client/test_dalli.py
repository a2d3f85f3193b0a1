"""Ruby: Dalli 3.0, which speaks the binary protocol, TCP and unix socket."""

import os

import support

RUBY = support.need_program("ruby", "ruby")
SCRIPT = os.path.join(support.HERE, "scripts", "dalli.rb")

if support.run([RUBY, "-e", 'require "dalli"']).returncode != 0:
    support.fail("ruby cannot load dalli; install the package ruby-dalli")


class Dalli:
    def test_dalli(self):
        self.run_script(RUBY, SCRIPT, self.server.address)


class OverTcp(Dalli, support.ScriptCase):
    pass


class OverUnixSocket(Dalli, support.ScriptCase):
    over_unix_socket = True


if __name__ == "__main__":
    support.main()
