// larderd: reads the command line, prepares the process, serves until it is asked to stop.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/command_line.h"
#include "daemon/handed_over.h"
#include "daemon/log.h"
#include "daemon/machine_memory.h"
#include "daemon/process.h"
#include "daemon/server.h"
#include "daemon/service_manager.h"
#include "daemon/settings.h"
#include "daemon/tls.h"

namespace {

using namespace larder::daemon;

void say_how_it_starts(const Server& server, bool handed_over) {
  log(LogLevel::Info, "larderd " LARDER_VERSION " " + server.summary());
  if (handed_over) {
    log(LogLevel::Info,
        "its sockets were handed over (LISTEN_FDS): -p, -l, -s and -U do not count");
  }
  for (const std::string& remark : server.settings().remarks) log(LogLevel::Info, remark);
}

void serve(Settings settings) {
  set_log_verbosity(settings.verbosity);
  ServiceManager manager;
  std::vector<HandedOver> handed_over = take_handed_over();
  const bool was_handed_over = !handed_over.empty();
  set_limits(settings);
  if (settings.daemonize) make_paths_absolute(settings);
  std::unique_ptr<TlsContext> tls;  // the key may be root's
  if (settings.tls.enabled) tls = std::make_unique<TlsContext>(settings.tls);
  become_user(settings);
  Background background(settings.daemonize);
  Server::keep_signals();
  if (settings.lock_memory) lock_memory();

  Server server(settings, std::move(tls));
  server.listen(std::move(handed_over));
  const PidFile pid_file(settings.pid_file);
  server.start();
  say_how_it_starts(server, was_handed_over);
  server.report_to(manager);
  background.ready(settings.core_dumps, settings.verbosity > 0);
  const Server::Ended ended = server.run();
  log(LogLevel::Info, ended == Server::Ended::Gracefully ? "stopping gracefully" : "stopping");
  server.stop();
}

int fail(int exit_code, const char* sentence) {
  std::fprintf(stderr, "larderd: %s\n", sentence);
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CommandLine line = parse_command_line(argc, argv, machine_memory());
    if (line.print) {
      std::fputs(line.print->c_str(), stdout);
      return std::fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    serve(std::move(line.settings));
    return EXIT_SUCCESS;
  } catch (const SettingsError& error) {
    return fail(error.exit_code, error.what());
  } catch (const std::exception& error) {
    return fail(static_cast<int>(ExitCode::OsError), error.what());
  }
}
