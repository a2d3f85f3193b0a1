// larder: what operators ask about servers that speak memcached.
//
//   larder where user:42 --servers 10.0.0.1:11211,10.0.0.2:11211 --ring dalli
//   larder ring --servers @servers --remove 10.0.0.2:11211
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>

#include "tools/larder/commands.h"
#include "tools/larder/report.h"

namespace {

using namespace larder;

// Takes the numbers of standard streams that are closed, so that no connection gets one and
// output goes to a server. Reading and writing fail as on a closed one.
void take_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    const int way = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (open("/dev/null", way) < 0) return;  // the lowest number that is free: fd
  }
}

// A write that fails is a status, and destructors run on the way: of files half written, of what
// copy has added. These two signals would end the program in the write: its reader has left, or the
// file is as large as the limit of the process (ulimit -f).
void ignore_signals_of_writes() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

// The destructors of nlohmann's JSON allocate, and end the program where memory is out. Without
// another allocation.
[[noreturn]] void end_without_memory() {
  static constexpr char kSentence[] = "larder: ran out of memory, or failed in itself\n";
  static_cast<void>(!write(STDERR_FILENO, kSentence, sizeof(kSentence) - 1));
  _exit(operate::kOutOfResources);
}

int run(int argc, char** argv) {
  CLI::App app{operate::kSummary};
  try {
    operate::Commands commands(app);
    app.parse(argc, argv);
    return commands.run();
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help
    operate::complain(e.what());
    return operate::kBadInput;
  }
}

}  // namespace

int main(int argc, char** argv) {
  take_standard_descriptors();
  ignore_signals_of_writes();
  std::set_terminate(end_without_memory);
  int status = operate::kFine;
  // Caught here, so that destructors run on the way: of the terminal, of files half written.
  try {
    status = run(argc, argv);
  } catch (const std::bad_alloc&) {
    // Without another allocation.
    std::fputs("larder: ran out of memory\n", stderr);
    status = operate::kOutOfResources;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "larder: failed: %s\n", e.what());
    status = operate::kOutOfResources;
  }
  errno = 0;
  std::cout.flush();  // stdout, too: the reason is that of the first of the two flushes that fails
  if (operate::finish_output()) return status;
  std::fprintf(stderr, "larder: standard output cannot be written%s%s\n", errno == 0 ? "" : ": ",
               errno == 0 ? "" : std::strerror(errno));
  return std::max(status, operate::kOutputLost);
}
