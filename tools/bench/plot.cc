#include "tools/bench/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace larder::bench {
namespace {

constexpr const char* kColours[] = {"#1b6ca8", "#d1495b", "#3a7d44", "#edae49",
                                    "#6a4c93", "#00798c", "#8d5524", "#555555"};
constexpr const char* kMarks = "*o+x#%@&";

std::string number(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

// The decades that y reaches over.
struct Decades {
  int low = 0;
  int high = 1;
};

Decades decades_of(const Plot& plot) {
  double low = 1e300;
  double high = 1e-300;
  for (const Plot::Line& line : plot.lines) {
    for (const auto& [x, y] : line.points) {
      low = std::min(low, y);
      high = std::max(high, y);
    }
  }
  if (low > high) return {};
  Decades decades{static_cast<int>(std::floor(std::log10(low))),
                  static_cast<int>(std::ceil(std::log10(high)))};
  decades.high = std::max(decades.high, decades.low + 1);
  return decades;
}

// Where a point lies in the frame: 0 to 1, from the left and from below.
struct Frame {
  double x_first, x_last;
  Decades decades;

  explicit Frame(const Plot& plot)
      : x_first(plot.ticks.front().x), x_last(plot.ticks.back().x), decades(decades_of(plot)) {}
  double x(double value) const {
    return x_last > x_first ? std::clamp((value - x_first) / (x_last - x_first), 0.0, 1.0) : 0.5;
  }
  double y(double value) const {
    return std::clamp((std::log10(value) - decades.low) / (decades.high - decades.low), 0.0, 1.0);
  }
};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

double us(const Histogram& h, double quantile) {
  return std::max(static_cast<double>(h.quantile_ns(quantile)) / 1e3, 0.001);
}

// A percentile's place: nines are equally far apart.
double nines(double quantile) { return -std::log10(1 - quantile); }

Plot over_rates(const std::vector<RunStep>& steps) {
  Plot plot;
  plot.x_label = "operations a second";
  constexpr std::array<std::pair<const char*, double>, 3> kLines = {
      {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}}};
  for (const auto& [name, quantile] : kLines) {
    Plot::Line line{name, {}};
    for (const RunStep& step : steps) {
      if (step.result.operations() == 0 || step.result.seconds <= 0) continue;
      const double reached = static_cast<double>(step.result.operations()) / step.result.seconds;
      line.points.emplace_back(reached, us(step.result.latency(), quantile));
    }
    plot.lines.push_back(std::move(line));
  }
  double most = 1;
  for (const auto& [x, y] : plot.lines[0].points) most = std::max(most, x);
  for (int i = 0; i <= 4; ++i) {
    const double x = most * i / 4;
    plot.ticks.push_back({x, x >= 10'000 ? number("%.0fk", x / 1000) : number("%.0f", x)});
  }
  return plot;
}

Plot over_percentiles(const RunStep& step) {
  Plot plot;
  plot.x_label = "percentile";
  for (size_t k = 0; k < kKinds; ++k) {
    const Histogram& h = step.result.kinds[k].latency;
    if (h.count() == 0) continue;
    Plot::Line line{std::string(kKindNames[k]), {}};
    const double last = std::min(4.0, nines(1 - 1 / static_cast<double>(h.count() + 1)));
    for (double n = 0; n <= last; n += 0.05) {
      line.points.emplace_back(n, us(h, 1 - std::pow(10, -n)));
    }
    plot.lines.push_back(std::move(line));
  }
  plot.ticks = {{0, "0"}, {1, "90"}, {2, "99"}, {3, "99.9"}, {4, "99.99"}};
  return plot;
}

}  // namespace

Plot plot_of(const LoadPlan& plan, const std::vector<RunStep>& steps) {
  Plot plot = steps.size() == 1 ? over_percentiles(steps.front()) : over_rates(steps);
  plot.title = std::string(name_of(plan.workload.dialect)) + ", " + plan.workload.mix.text();
  plot.y_label = "latency, us";
  return plot;
}

std::string svg_of(const Plot& plot) {
  constexpr double kLeft = 70, kTop = 40, kWidth = 560, kHeight = 300;
  const Frame frame(plot);
  const auto x = [&](double value) { return kLeft + kWidth * frame.x(value); };
  const auto y = [&](double value) { return kTop + kHeight * (1 - frame.y(value)); };
  const auto text = [](double at_x, double at_y, const char* anchor, const std::string& what) {
    return "<text x=\"" + number("%.1f", at_x) + "\" y=\"" + number("%.1f", at_y) +
           "\" text-anchor=\"" + anchor + "\">" + escaped(what) + "</text>\n";
  };
  const auto rule = [](double x1, double y1, double x2, double y2) {
    return "<line x1=\"" + number("%.1f", x1) + "\" y1=\"" + number("%.1f", y1) + "\" x2=\"" +
           number("%.1f", x2) + "\" y2=\"" + number("%.1f", y2) + "\" stroke=\"#ccc\"/>\n";
  };
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 400\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"760\" height=\"400\" fill=\"white\"/>\n";
  svg += text(kLeft, 20, "start", plot.title + "; " + plot.y_label);
  for (const Plot::Tick& tick : plot.ticks) {
    svg += rule(x(tick.x), kTop, x(tick.x), kTop + kHeight);
    svg += text(x(tick.x), kTop + kHeight + 18, "middle", tick.text);
  }
  for (int d = frame.decades.low; d <= frame.decades.high; ++d) {
    const double value = std::pow(10, d);
    svg += rule(kLeft, y(value), kLeft + kWidth, y(value));
    svg += text(kLeft - 8, y(value) + 4, "end", number("%g", value));
  }
  svg += text(kLeft + kWidth / 2, kTop + kHeight + 40, "middle", plot.x_label);
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    const std::string colour = kColours[i % std::size(kColours)];
    std::string points;
    for (const auto& [px, py] : plot.lines[i].points) {
      points += number("%.1f", x(px)) + "," + number("%.1f", y(py)) + " ";
    }
    svg += "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" + colour + "\" points=\"" +
           points + "\"/>\n";
    const double row = kTop + 16 + 20 * static_cast<double>(i);
    svg += "<rect x=\"645\" y=\"" + number("%.1f", row - 9) +
           "\" width=\"12\" height=\"10\" fill=\"" + colour + "\"/>\n";
    svg += text(662, row, "start", plot.lines[i].name);
  }
  return svg + "</svg>\n";
}

std::string text_of(const Plot& plot) {
  constexpr size_t kColumns = 64, kRows = 16;
  const Frame frame(plot);
  std::vector<std::string> grid(kRows, std::string(kColumns, ' '));
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    for (const auto& [x, y] : plot.lines[i].points) {
      const auto column = static_cast<size_t>(std::lround(frame.x(x) * (kColumns - 1)));
      const auto row = static_cast<size_t>(std::lround((1 - frame.y(y)) * (kRows - 1)));
      grid[row][column] = kMarks[i % 8];
    }
  }
  std::string text = plot.title + "; " + plot.y_label + "\n";
  const Decades& decades = frame.decades;
  for (size_t r = 0; r < kRows; ++r) {
    std::string label;
    for (int d = decades.low; d <= decades.high; ++d) {
      const double value = std::pow(10, d);
      if (static_cast<size_t>(std::lround((1 - frame.y(value)) * (kRows - 1))) == r) {
        label = number("%g", value);
      }
    }
    text += std::string(9 - std::min<size_t>(label.size(), 9), ' ') + label + " |" + grid[r] + "\n";
  }
  text += std::string(10, ' ') + "+" + std::string(kColumns, '-') + "\n";
  std::string below(kColumns + 24, ' ');
  for (const Plot::Tick& tick : plot.ticks) {
    const auto at = 11 + static_cast<size_t>(std::lround(frame.x(tick.x) * (kColumns - 1)));
    below.replace(at - tick.text.size() / 2, tick.text.size(), tick.text);
  }
  below.erase(below.find_last_not_of(' ') + 1);
  text += below + "  " + plot.x_label + "\n" + std::string(11, ' ');
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    text += std::string(1, kMarks[i % 8]) + " " + plot.lines[i].name + "   ";
  }
  return text + "\n";
}

}  // namespace larder::bench
