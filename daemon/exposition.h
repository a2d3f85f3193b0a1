// Exposition: figures as Prometheus reads them, in its text format 0.0.4.
//
//   page.family("larder_items", MetricType::Gauge, "Items in the cache.");
//   page.sample("", 17);
//   page.family("larder_shards", ...);
//
// Samples belong to the family before them; a family comes once. One thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace larder::daemon {

enum class MetricType : uint8_t { Counter, Gauge, Histogram };

class Exposition {
 public:
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

  void family(std::string_view name, MetricType type, std::string_view help);

  // labels  as label() makes them, with commas between, or empty
  // suffix  of a histogram's samples: _bucket, _sum, _count
  void sample(std::string_view labels, std::string_view value, std::string_view suffix = {});
  template <std::integral Number>
  void sample(std::string_view labels, Number value, std::string_view suffix = {}) {
    sample(labels, std::to_string(value), suffix);
  }
  void sample(std::string_view labels, double value, std::string_view suffix = {});

  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  std::string family_;
};

// name="value", with what must not stand there as it is made harmless.
std::string label(std::string_view name, std::string_view value);

// A key or a part of one as text that any page can show: what is not printable ASCII, and '%', as
// %XX, as in `lru_crawler metadump`.
std::string printable_key(std::string_view key);

// As few digits as tell the number from its neighbours.
std::string decimal(double value);

}  // namespace larder::daemon
