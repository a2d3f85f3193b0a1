#include "tools/larder/text_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/larder/shown_text.h"

namespace larder::operate {
namespace {

std::string padded(const std::string& word, size_t width, bool left) {
  const std::string blanks(width - std::min(width, word.size()), ' ');
  return left ? word + blanks : blanks + word;
}

}  // namespace

std::string TextTable::text() const {
  std::vector<std::vector<std::string>> words;
  for (const auto& row : rows) {
    std::vector<std::string>& line = words.emplace_back();
    for (const std::string& word : row) line.push_back(shown(word));
  }
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns.size(); ++i) {
    size_t width = columns[i].title.size();
    for (const auto& row : words) width = std::max(width, row[i].size());
    widths.push_back(width);
  }
  std::string out;
  const auto add_line = [&](const auto& word_of) {
    std::string line;
    for (size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) line += "  ";
      line += padded(word_of(i), widths[i], columns[i].left);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add_line([&](size_t i) { return columns[i].title; });
  for (const auto& row : words) add_line([&](size_t i) { return row[i]; });
  return out;
}

std::string fixed(double figure, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, figure);
  return text;
}

std::string short_figure(double figure) {
  if (figure < 9999.5) return fixed(figure, 0);
  for (const char unit : {'k', 'M', 'G', 'T', 'P'}) {
    figure /= 1000;
    if (figure < 9.995) return fixed(figure, 2) + unit;
    if (figure < 99.95) return fixed(figure, 1) + unit;
    if (figure < 999.5) return fixed(figure, 0) + unit;
  }
  return ">999P";
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double figure = static_cast<double>(bytes);
  for (const char* const unit : {" KiB", " MiB", " GiB"}) {
    figure /= 1024;
    if (figure < 1023.95) return fixed(figure, 1) + unit;
  }
  return fixed(figure / 1024, 1) + " TiB";
}

std::string age_text(uint64_t seconds) {
  constexpr uint64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
  if (seconds < 2 * kMinute) return std::to_string(seconds) + " s";
  if (seconds < 2 * kHour) return std::to_string(seconds / kMinute) + " min";
  if (seconds < 2 * kDay) return std::to_string(seconds / kHour) + " h";
  return std::to_string(seconds / kDay) + " d";
}

}  // namespace larder::operate
