// A small plot of lines: as SVG, or as text for a terminal.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/bench/report.h"

namespace larder::bench {

struct Plot {
  struct Line {
    std::string name;
    std::vector<std::pair<double, double>>
        points;  // x, and y above 0, which is drawn as a logarithm
  };
  struct Tick {
    double x;
    std::string text;
  };

  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Tick> ticks;  // of x, rising; what is drawn reaches from the first to the last
  std::vector<Line> lines;
};

// Several steps: latency over the rate that was reached, a line for each of p50, p99 and p99.9.
// One step: latency over the share of operations that did not take longer, a line for each kind.
Plot plot_of(const LoadPlan& plan, const std::vector<RunStep>& steps);

std::string svg_of(const Plot& plot);
std::string text_of(const Plot& plot);

}  // namespace larder::bench
