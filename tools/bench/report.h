// Results as text, JSON and CSV.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "tools/bench/compare.h"
#include "tools/bench/load.h"

namespace larder::bench {

// One step of a run: at one rate, or closed loop.
struct RunStep {
  double rate = 0;
  LoadResult result;
};

std::string text_of(const LoadPlan& plan, const std::vector<RunStep>& steps);
std::string json_of(const LoadPlan& plan, const std::vector<RunStep>& steps);
std::string csv_of(const std::vector<RunStep>& steps);

// The table of a comparison, row by row as they come: heading_of, a text_of for each row,
// legend_of. Text has the legend at its head, Markdown below the table.
std::string heading_of(const ComparePlan& plan, bool markdown);
// Each note of the row stands behind it, in Markdown in the last cell.
std::string text_of(const Comparison& row, bool markdown);
// The servers' commands and how they were measured: what a reader needs to repeat the figures.
std::string legend_of(const ComparePlan& plan, bool markdown);
std::string json_of(const ComparePlan& plan, const std::vector<Comparison>& rows);
std::string csv_of(const std::vector<Comparison>& rows);

// Into a file, or to standard output for "-"; throws std::runtime_error with a sentence.
void write_file(const std::string& path, const std::string& text);

}  // namespace larder::bench
