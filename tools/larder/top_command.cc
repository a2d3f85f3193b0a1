#include "tools/larder/top_command.h"

#include <signal.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tools/larder/exit_status.h"
#include "tools/larder/fleet_options.h"
#include "tools/larder/report.h"
#include "tools/larder/sampler.h"
#include "tools/larder/terminal.h"
#include "tools/larder/text_table.h"
#include "tools/larder/top_frame.h"

namespace larder::operate {
namespace {

using Clock = std::chrono::steady_clock;

// For samples; then only is the frame drawn again.
constexpr auto kLongestWait = std::chrono::hours(1);

struct TopOptions {
  FleetOptions fleet;
  double interval_seconds = 2;
  bool once = false;

  Clock::duration interval() const {
    return std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(interval_seconds));
  }
};

std::vector<NodeFigures> figures_of_all(const std::vector<Sampled>& before,
                                        const std::vector<Sampled>& now) {
  std::vector<NodeFigures> all;
  for (size_t i = 0; i < now.size(); ++i) {
    all.push_back(figures_of(before[i].sample, now[i].sample));
  }
  return all;
}

std::string remark(const TopOptions& options, const char* before) {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  char clock[16];
  std::strftime(clock, sizeof(clock), "%H:%M:%S", &local);
  std::string interval = fixed(options.interval_seconds, 1);
  if (interval.ends_with(".0")) interval.resize(interval.size() - 2);
  return before + ("every " + interval) + " s, " + clock;
}

int print_once(const TopOptions& options, Fleet& fleet) {
  const std::vector<Sampled> before = sample_all(fleet);
  std::this_thread::sleep_for(options.interval());
  const std::vector<Sampled> now = sample_all(fleet);
  const std::vector<NodeFigures> figures = figures_of_all(before, now);
  if (options.fleet.json()) {
    print_json(frame_json(figures));
  } else {
    for (const std::string& line :
         frame_lines(figures, remark(options, ""), {FrameSize().columns, SIZE_MAX})) {
      print(line + "\n");
    }
  }
  int status = kFine;
  for (const Sampled& one : now) status = std::max(status, one.status);
  return status;
}

// Until `next`, or while samples are taken until these are ready.
Terminal::Event wait_for_either(Terminal& terminal, const Sampler& sampler,
                                Clock::time_point next) {
  if (!sampler.is_sampling()) return terminal.wait(next);
  return terminal.wait(Clock::now() + kLongestWait, sampler.ready_fd());
}

// Draws until somebody ends it; the signal that did, or 0. Samples may be under way then.
int draw_until_the_end(const TopOptions& options, Fleet& fleet, Sampler& sampler) {
  // After the sampler, so that the terminal is given back before the sampler waits for its thread.
  Terminal terminal;
  std::vector<Sampled> before;
  std::vector<NodeFigures> figures;
  Clock::time_point next;
  sampler.start();
  for (;;) {
    terminal.draw(before.empty()
                      ? std::vector<std::string>{"larder top: asks " +
                                                 std::to_string(fleet.size()) + " nodes"}
                      : frame_lines(figures, remark(options, "q quits, "), terminal.size()));
    switch (wait_for_either(terminal, sampler, next)) {
      case Terminal::Event::Time:
        if (!sampler.is_sampling()) sampler.start();
        break;
      case Terminal::Event::Ready: {
        std::vector<Sampled> now = sampler.take();
        figures = figures_of_all(before.empty() ? now : before, now);
        before = std::move(now);
        next = Clock::now() + options.interval();
        break;
      }
      case Terminal::Event::Redraw:
        break;
      case Terminal::Event::Quit:
        return 0;
      case Terminal::Event::Signal:
        return terminal.ending_signal();
    }
  }
}

int do_top(const TopOptions& options) {
  Fleet fleet = options.fleet.fleet();
  if (options.once || options.fleet.json() || !Terminal::is_there()) {
    return print_once(options, fleet);
  }
  Sampler sampler(fleet);
  if (const int signal = draw_until_the_end(options, fleet, sampler); signal != 0) raise(signal);
  // A node that is asked may take long to answer, and nobody waits for that any more. Destructors
  // would.
  if (sampler.is_sampling()) std::_Exit(kFine);
  return kFine;
}

}  // namespace

void add_top_command(Subcommands& subcommands) {
  const auto options = std::make_shared<TopOptions>();
  CLI::App& command = subcommands.add(
      "top",
      "a live screen of what nodes do: rates, memory, connections, and of larderd latencies in "
      "microseconds since the start; q quits. Where standard output is no terminal, one frame",
      [options] { return do_top(*options); });
  command.add_option("--interval", options->interval_seconds, "between two frames (2)")
      ->check(CLI::Range(0.1, 3600.0))
      ->type_name("SECONDS");
  command.add_flag("--once", options->once, "print one frame, of what happens in one interval");
  options->fleet.add_to(command);
}

}  // namespace larder::operate
