// larder: what operators ask about servers that speak memcached.
//
//   larder where user:42 --servers 10.0.0.1:11211,10.0.0.2:11211 --ring dalli
//   larder ring --servers @servers --remove 10.0.0.2:11211
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/larder/commands.h"

int main(int argc, char** argv) {
  CLI::App app{larder::operate::kSummary};
  try {
    larder::operate::Commands commands(app);
    app.parse(argc, argv);
    const int status = commands.run();
    if (std::fflush(stdout) == 0) return status;
    std::fputs("larder: standard output cannot be written\n", stderr);
    return larder::operate::kBadInput;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help
    std::fprintf(stderr, "larder: %s\n", e.what());
    return larder::operate::kBadInput;
  }
}
