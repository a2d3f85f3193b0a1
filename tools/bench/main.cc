// larder-bench: a load for memcached-compatible servers that checks every reply.
//
//   larder-bench [run] --server 127.0.0.1:11211 --prefill --mix get=10,set=1 --seconds 5
//   larder-bench compare --a 'larderd -p {port} ...' --b 'memcached -p {port} ...'
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <exception>

#include "tools/bench/commands.h"

namespace {

using namespace larder::bench;

std::atomic<bool> interrupted{false};

// The first time, what there is so far is printed; the second time, it ends at once.
void interrupt(int) {
  if (interrupted.exchange(true)) _exit(130);
}

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action {};
  action.sa_handler = interrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  CLI::App app{"A load for memcached-compatible servers that checks every reply."};
  try {
    Commands commands(app, interrupted);
    app.parse(argc, argv);
    return commands.run();
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help
    std::fprintf(stderr, "larder-bench: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "larder-bench: %s\n", e.what());
    return 1;
  }
}
