#include "tools/larder/top_command.h"

#include <signal.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tools/larder/exit_status.h"
#include "tools/larder/fleet_options.h"
#include "tools/larder/report.h"
#include "tools/larder/terminal.h"
#include "tools/larder/text_table.h"
#include "tools/larder/top_frame.h"

namespace larder::operate {
namespace {

using client::ErrorKind;
using client::Result;
using Clock = std::chrono::steady_clock;

struct TopOptions {
  FleetOptions fleet;
  double interval_seconds = 2;
  bool once = false;

  Clock::duration interval() const {
    return std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(interval_seconds));
  }
};

struct Sampled {
  NodeSample sample;
  int status = kFine;  // of a failure
};

Sampled sample_node(Fleet& fleet, size_t node) {
  Sampled sampled;
  sampled.sample.node = fleet.name_of(node);
  const Result<Stats> stats = ask_stats(fleet, node, "");
  sampled.sample.when = Clock::now();
  if (!stats) {
    sampled.sample.error = stats.error().text;
    sampled.status = status_of(stats.error().kind);
    return sampled;
  }
  sampled.sample.stats = *stats;
  // memcached has no such group, and neither has a larderd that is told not to sample.
  const Result<Stats> latency = ask_stats(fleet, node, "latency");
  if (latency) sampled.sample.latency = *latency;
  return sampled;
}

std::vector<Sampled> sample_all(Fleet& fleet) {
  std::vector<Sampled> samples(fleet.size());
  fleet.on_every_node([&](size_t node) { samples[node] = sample_node(fleet, node); });
  return samples;
}

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

// Draws until somebody ends it; the signal that did, or 0.
int draw_until_the_end(const TopOptions& options, Fleet& fleet) {
  Terminal terminal;
  std::vector<Sampled> before = sample_all(fleet);
  std::vector<NodeFigures> figures = figures_of_all(before, before);
  Clock::time_point next = Clock::now() + options.interval();
  for (;;) {
    terminal.draw(frame_lines(figures, remark(options, "q quits, "), terminal.size()));
    switch (terminal.wait(next)) {
      case Terminal::Event::Time: {
        std::vector<Sampled> now = sample_all(fleet);
        figures = figures_of_all(before, now);
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
  if (const int signal = draw_until_the_end(options, fleet); signal != 0) raise(signal);
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
