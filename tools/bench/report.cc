#include "tools/bench/report.h"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "tools/bench/settling.h"
#include "tools/bench/words.h"

namespace larder::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kQuantiles[] = {0.5, 0.9, 0.99, 0.999};
constexpr const char* kQuantileNames[] = {"p50_us", "p90_us", "p99_us", "p999_us"};

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(line, sizeof line, pattern, arguments);
  va_end(arguments);
  return line;
}

double us(uint64_t ns) { return static_cast<double>(ns) / 1e3; }

double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

double share(uint64_t part, uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

double client_ns(const LoadResult& r) {
  return r.operations() == 0 ? 0 : r.client_cpu_seconds * 1e9 / static_cast<double>(r.operations());
}

double megabytes_per_second(const LoadResult& r) {
  return per_second(static_cast<double>(r.sent_bytes + r.received_bytes) / 1e6, r.seconds);
}

std::string line_of(std::string_view name, uint64_t hits, uint64_t misses, const Histogram& h,
                    double seconds) {
  std::string line = format("%-8.*s %14s %12.0f %6.2f%%", static_cast<int>(name.size()),
                            name.data(), grouped(hits + misses).c_str(),
                            per_second(static_cast<double>(hits + misses), seconds),
                            100 * share(hits, hits + misses));
  for (const double q : kQuantiles) line += format(" %9.1f", us(h.quantile_ns(q)));
  return line + format(" %9.1f\n", us(h.max_ns()));
}

std::string text_of(const RunStep& step) {
  const LoadResult& r = step.result;
  std::string text;
  if (step.rate > 0) text += format("offered: %.0f operations a second\n", step.rate);
  text += format("%-8s %14s %12s %7s %9s %9s %9s %9s %9s\n", "op", "count", "ops/s", "hits",
                 "p50 us", "p90 us", "p99 us", "p99.9 us", "max us");
  uint64_t hits = 0;
  for (size_t k = 0; k < kKinds; ++k) {
    const LoadResult::PerKind& kind = r.kinds[k];
    hits += kind.hits;
    if (kind.hits + kind.misses == 0) continue;
    text += line_of(kKindNames[k], kind.hits, kind.misses, kind.latency, r.seconds);
  }
  text += line_of("all", hits, r.operations() - hits, r.latency(), r.seconds);
  text += format("%.2f s, %.1f MB/s, client CPU %.0f ns per operation (busiest thread %.0f%%), ",
                 r.seconds, megabytes_per_second(r), client_ns(r),
                 100 * per_second(r.busiest_thread_seconds, r.seconds));
  text += format("%s errors\n", grouped(r.errors).c_str());
  if (r.unsent > 0) {
    text += format("%s exchanges were due but never sent: the server could not keep up\n",
                   grouped(r.unsent).c_str());
  }
  return text;
}

Json json_of(const Histogram& h) {
  Json json;
  for (size_t q = 0; q < std::size(kQuantiles); ++q) {
    json[kQuantileNames[q]] = us(h.quantile_ns(kQuantiles[q]));
  }
  json["max_us"] = us(h.max_ns());
  json["min_us"] = us(h.min_ns());
  json["mean_us"] = h.mean_ns() / 1e3;
  return json;
}

Json json_of(const RunStep& step) {
  const LoadResult& r = step.result;
  Json json;
  if (step.rate > 0) json["offered_per_second"] = step.rate;
  json["seconds"] = r.seconds;
  json["operations"] = r.operations();
  json["operations_per_second"] = per_second(static_cast<double>(r.operations()), r.seconds);
  json["sent_bytes"] = r.sent_bytes;
  json["received_bytes"] = r.received_bytes;
  json["errors"] = r.errors;
  json["unsent_exchanges"] = r.unsent;
  json["client_cpu_ns_per_operation"] = client_ns(r);
  json["client_busiest_thread"] = per_second(r.busiest_thread_seconds, r.seconds);
  if (!r.failure.empty()) json["failure"] = r.failure;
  if (!r.examples.empty()) json["error_examples"] = r.examples;
  json["latency"] = json_of(r.latency());
  for (size_t k = 0; k < kKinds; ++k) {
    const LoadResult::PerKind& kind = r.kinds[k];
    if (kind.hits + kind.misses == 0) continue;
    Json& op = json["ops"][std::string(kKindNames[k])];
    op["count"] = kind.hits + kind.misses;
    op["hits"] = kind.hits;
    op["misses"] = kind.misses;
    op["latency"] = json_of(kind.latency);
  }
  return json;
}

Json json_of(const LoadPlan& plan) {
  const Workload& w = plan.workload;
  return {{"server", plan.endpoint.text()},
          {"tls", plan.endpoint.tls != nullptr},
          {"protocol", name_of(w.dialect)},
          {"mix", w.mix.text()},
          {"keys", w.keys},
          {"mean_key_bytes", w.key_bytes.mean()},
          {"mean_value_bytes", w.value_bytes.mean()},
          {"pipeline", w.pipeline},
          {"multiget", w.multiget},
          {"noreply", w.noreply},
          {"connections", plan.connections},
          {"threads", plan.threads},
          {"seed", w.seed}};
}

// A, B, C ... as the table calls the servers.
std::string letter(size_t server) { return std::string(1, static_cast<char>('A' + server)); }

// CPU per key: as nanoseconds, or as microseconds where that reads better.
std::string cost(double ns) {
  return ns < 1000 ? format("%.0f ns", ns) : format("%.2f us", ns / 1000);
}

struct Figure {
  const char* name;
  double Cost::*member;
};
constexpr Figure kFigures[] = {{"cpu_ns_per_key", &Cost::cpu_ns},
                               {"keys_per_second", &Cost::keys_per_second},
                               {"p50_us", &Cost::p50_us},
                               {"p99_us", &Cost::p99_us},
                               {"p999_us", &Cost::p999_us},
                               {"hit_ratio", &Cost::hit_ratio},
                               {"server_busy", &Cost::server_busy},
                               {"client_busy", &Cost::client_busy},
                               {"client_cpu_ns_per_key", &Cost::client_cpu_ns}};

std::string name_of(const Comparison& row) {
  return row.rate > 0 ? row.name + format(", %.0f/s", row.rate) : row.name;
}

std::vector<std::string> notes_of(const Comparison& row) {
  std::vector<std::string> notes;
  if (row.client_was_limit()) notes.push_back("the client was the limit");
  for (size_t s = 0; s < row.servers.size(); ++s) {
    if (!row.measured(s)) continue;
    const double hits = row.lowest_hit_ratio(s);  // a median would hide misses of a few runs
    if (hits < 1) {
      notes.push_back(format("%s missed up to %.2f%%", letter(s).c_str(), 100 * (1 - hits)));
    }
    if (!row.keeps_up(s)) notes.push_back(letter(s) + " could not keep up");
    if (!row.servers[s].settled) {
      notes.push_back(
          format("%s had not settled after %.0f s", letter(s).c_str(), kSettleLimitSeconds));
    }
    const uint64_t wrong = row.wrong_replies(s);
    if (wrong > 0) notes.push_back("WRONG REPLIES from " + letter(s) + ": " + grouped(wrong));
  }
  return notes;
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

// Of each server in turn, in MiB: "64 / 0"; "?" where it is unknown, "-" where it was not measured.
std::string huge_pages_of(const Comparison& row) {
  std::vector<std::string> figures;
  for (size_t s = 0; s < row.servers.size(); ++s) {
    const std::optional<double>& mib = row.servers[s].huge_pages_mib;
    figures.push_back(!row.measured(s) ? "-" : mib ? format("%.0f", *mib) : "?");
  }
  return joined(figures, " / ");
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

}  // namespace

std::string text_of(const LoadPlan& plan, const std::vector<RunStep>& steps) {
  const Workload& w = plan.workload;
  std::string text = format(
      "%s, %s, %s; %s keys of %.0f bytes, values of %.0f; %d connections, %d threads, pipeline %d, "
      "multiget %d, seed %llu\n",
      plan.endpoint.text().c_str(), std::string(name_of(w.dialect)).c_str(), w.mix.text().c_str(),
      grouped(w.keys).c_str(), w.key_bytes.mean(), w.value_bytes.mean(), plan.connections,
      plan.threads, w.pipeline, w.multiget, static_cast<unsigned long long>(w.seed));
  for (const RunStep& step : steps) text += text_of(step);
  return text;
}

std::string json_of(const LoadPlan& plan, const std::vector<RunStep>& steps) {
  Json json = json_of(plan);
  for (const RunStep& step : steps) json["steps"].push_back(json_of(step));
  return json.dump(2) + "\n";
}

std::string csv_of(const std::vector<RunStep>& steps) {
  std::string csv =
      "offered_per_second,op,count,hits,misses,ops_per_second,p50_us,p90_us,p99_us,p999_us,max_us,"
      "errors\n";
  const auto line = [&](const RunStep& step, std::string_view name, uint64_t hits, uint64_t misses,
                        const Histogram& h) {
    csv += format("%.0f,%s,%llu,%llu,%llu,%.1f", step.rate, std::string(name).c_str(),
                  static_cast<unsigned long long>(hits + misses),
                  static_cast<unsigned long long>(hits), static_cast<unsigned long long>(misses),
                  per_second(static_cast<double>(hits + misses), step.result.seconds));
    for (const double q : kQuantiles) csv += format(",%.3f", us(h.quantile_ns(q)));
    csv +=
        format(",%.3f,%llu\n", us(h.max_ns()), static_cast<unsigned long long>(step.result.errors));
  };
  for (const RunStep& step : steps) {
    for (size_t k = 0; k < kKinds; ++k) {
      const LoadResult::PerKind& kind = step.result.kinds[k];
      if (kind.hits + kind.misses > 0) {
        line(step, kKindNames[k], kind.hits, kind.misses, kind.latency);
      }
    }
    const uint64_t misses = step.result.misses();
    line(step, "all", step.result.operations() - misses, misses, step.result.latency());
  }
  return csv;
}

std::string heading_of(const ComparePlan& plan, bool markdown) {
  std::string text;
  if (markdown) {
    text = "| server CPU per key |";
    std::string rule = "|---|";
    for (size_t s = 0; s < plan.servers.size(); ++s) {
      text += " " + letter(s) + " |" + (s > 0 ? " |" : "");
      rule += s > 0 ? "---:|---|" : "---:|";
    }
    return text + " huge pages, MiB | notes |\n" + rule + "---:|---|\n";
  }
  text = legend_of(plan, false) + format("%-34s", "workload");
  for (size_t s = 0; s < plan.servers.size(); ++s) {
    text += format(" %10s", letter(s).c_str());
    if (s > 0) text += format(" %6s  %-14s", (letter(s) + "/A").c_str(), "pairs");
  }
  text += "  huge pages, MiB";
  if (!plan.rates.empty()) text += "  p50, p99, p99.9 us";
  return text + "\n";
}

std::string legend_of(const ComparePlan& plan, bool markdown) {
  std::string text = markdown ? "\n" : "";
  for (size_t s = 0; s < plan.servers.size(); ++s) {
    const ServerCommand& server = plan.servers[s];
    text += markdown ? "- " + letter(s) + ": `" + server.command + "`"
                     : letter(s) + ": " + server.command;
    if (server.protocol) text += " (asked in " + std::string(name_of(*server.protocol)) + ")";
    text += server.many_items_only ? " (rows of 10 M items alone)\n" : "\n";
  }
  if (markdown) text += "\n";
  return text + format(
                    "%d rounds, %.2f s of each server in each; medians of server CPU per key, with "
                    "the lowest and the highest ratio of a round; transparent huge pages: %s%s\n",
                    plan.rounds, plan.seconds, huge_page_setting().c_str(),
                    plan.tls != nullptr ? "; over TLS" : "");
}

std::string text_of(const Comparison& row, bool markdown) {
  std::string text = markdown ? "| " + name_of(row) + " |" : format("%-34s", name_of(row).c_str());
  for (size_t s = 0; s < row.servers.size(); ++s) {
    if (!row.measured(s)) {
      text += markdown ? " | |" : format(" %10s %6s  %-14s", "-", "", "");
      continue;
    }
    const std::string figure = cost(row.median_of(s, &Cost::cpu_ns));
    const auto pairs = row.pair_ratios(s);
    if (markdown) {
      text += " " + figure + " |";
      if (s > 0) {
        text += format(" %.2fx (%.2f to %.2f) |", row.ratio(s), pairs.front(), pairs.back());
      }
    } else {
      text += format(" %10s", figure.c_str());
      if (s > 0) {
        text += format(" %6.2f  %.2f .. %-6.2f", row.ratio(s), pairs.front(), pairs.back());
      }
    }
  }
  const std::string notes = joined(notes_of(row), "; ");
  if (markdown) {
    return text + " " + huge_pages_of(row) + " |" + (notes.empty() ? "" : " " + notes) + " |\n";
  }
  text += format("  %-15s", huge_pages_of(row).c_str());
  if (row.rate > 0) {
    for (size_t s = 0; s < row.servers.size(); ++s) {
      if (!row.measured(s)) continue;
      text += format("  %s %.1f %.1f %.1f", letter(s).c_str(), row.median_of(s, &Cost::p50_us),
                     row.median_of(s, &Cost::p99_us), row.median_of(s, &Cost::p999_us));
    }
  }
  return text + (notes.empty() ? "" : "; " + notes) + "\n";
}

std::string json_of(const ComparePlan& plan, const std::vector<Comparison>& rows) {
  Json json{{"rounds", plan.rounds},
            {"seconds", plan.seconds},
            {"transparent_huge_pages", huge_page_setting()}};
  for (const ServerCommand& server : plan.servers) {
    json["commands"].push_back(server.command);
    json["protocols"].push_back(server.protocol ? Json(name_of(*server.protocol)) : Json(nullptr));
  }
  for (const Comparison& row : rows) {
    Json out{{"name", row.name}};
    if (row.rate > 0) out["offered_per_second"] = row.rate;
    out["client_was_limit"] = row.client_was_limit();
    out["notes"] = notes_of(row);
    out["orders"] = row.orders;
    for (size_t s = 0; s < row.servers.size(); ++s) {
      if (!row.measured(s)) continue;
      Json server{{"server", letter(s)}};
      for (const Figure& figure : kFigures) {
        server[figure.name] = row.median_of(s, figure.member);
        for (const Cost& c : row.servers[s].runs) {
          server["runs"][figure.name].push_back(c.*figure.member);
        }
      }
      server["errors"] = row.wrong_replies(s);
      server["settled"] = row.servers[s].settled;
      const std::optional<double>& huge_pages_mib = row.servers[s].huge_pages_mib;
      server["huge_pages_mib"] = huge_pages_mib ? Json(*huge_pages_mib) : Json(nullptr);
      if (s > 0) {
        const auto pairs = row.pair_ratios(s);
        server["ratio"] = row.ratio(s);
        server["pair_ratio_min"] = pairs.front();
        server["pair_ratio_median"] = median(pairs);
        server["pair_ratio_max"] = pairs.back();
      }
      out["servers"].push_back(server);
    }
    json["rows"].push_back(out);
  }
  return json.dump(2) + "\n";
}

std::string csv_of(const std::vector<Comparison>& rows) {
  std::string csv = "row,offered_per_second,server";
  for (const Figure& figure : kFigures) csv += std::string(",") + figure.name;
  csv += ",ratio,pair_ratio_min,pair_ratio_max,client_was_limit,errors,settled,huge_pages_mib\n";
  for (const Comparison& row : rows) {
    for (size_t s = 0; s < row.servers.size(); ++s) {
      if (!row.measured(s)) continue;
      csv += quoted(row.name) + format(",%.0f,", row.rate) + letter(s);
      for (const Figure& figure : kFigures) {
        csv += format(",%.4g", row.median_of(s, figure.member));
      }
      const auto pairs = row.pair_ratios(s);
      csv += format(",%.4f,%.4f,%.4f,%d,%llu,%d,", row.ratio(s), pairs.front(), pairs.back(),
                    row.client_was_limit() ? 1 : 0,
                    static_cast<unsigned long long>(row.wrong_replies(s)),
                    row.servers[s].settled ? 1 : 0);
      const std::optional<double>& huge_pages_mib = row.servers[s].huge_pages_mib;
      csv += huge_pages_mib ? format("%.1f\n", *huge_pages_mib) : "\n";
    }
  }
  return csv;
}

void write_file(const std::string& path, const std::string& text) {
  std::FILE* file = path == "-" ? stdout : std::fopen(path.c_str(), "w");
  const bool written =
      file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const int error = errno;
  if (file != nullptr && file != stdout) std::fclose(file);
  if (!written) throw std::runtime_error(path + " cannot be written: " + std::strerror(error));
}

}  // namespace larder::bench
