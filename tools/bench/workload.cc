#include "tools/bench/workload.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "tools/bench/words.h"

namespace larder::bench {
namespace {

// What an option calls a kind, and what is drawn for it.
struct Drawn {
  std::string_view name;
  Kind kind;
};
constexpr Drawn kDrawn[] = {{"get", Kind::Get},   {"set", Kind::Set},  {"delete", Kind::Delete},
                            {"incr", Kind::Incr}, {"cas", Kind::Gets}, {"touch", Kind::Touch}};

}  // namespace

Mix Mix::parse(std::string_view text) {
  Mix mix;
  mix.weights = {};
  for (const std::string_view part : split(text, ',')) {
    const auto words = split(part, '=');
    const auto* drawn = std::find_if(std::begin(kDrawn), std::end(kDrawn),
                                     [&](const Drawn& d) { return d.name == words[0]; });
    const auto weight = words.size() == 2 ? parse_number(words[1]) : 1;
    if (drawn == std::end(kDrawn) || words.size() > 2 || !weight || *weight > 1'000'000) {
      throw std::invalid_argument("'" + std::string(part) +
                                  "' is not get, set, delete, incr, cas or touch with =WEIGHT");
    }
    mix.weights[static_cast<size_t>(drawn->kind)] += static_cast<uint32_t>(*weight);
  }
  if (mix.total() == 0) throw std::invalid_argument("'" + std::string(text) + "' weighs nothing");
  return mix;
}

std::string Mix::text() const {
  std::string text;
  for (const Drawn& d : kDrawn) {
    if (!has(d.kind)) continue;
    if (!text.empty()) text += ',';
    text += std::string(d.name) + "=" + std::to_string(weights[static_cast<size_t>(d.kind)]);
  }
  return text;
}

uint32_t Mix::total() const { return std::accumulate(weights.begin(), weights.end(), 0u); }

Data Workload::data() const {
  const uint64_t numbers = popularity.kind == Popularity::Kind::Unique ? uint64_t{1} << 32 : keys;
  return {Keys(key_word, key_bytes, numbers), Keys("ctr-", Distribution(20), kCounters),
          Values(value_bytes), ttl_seconds};
}

double Workload::ops_per_exchange() const {
  const double gets = static_cast<double>(mix.weights[0]) / mix.total();
  return pipeline * (gets * multiget + 1 - gets);
}

std::optional<std::string> refusal_of(const Workload& workload) {
  if (workload.dialect != Dialect::Name::Resp) return std::nullopt;
  if (workload.mix.has(Kind::Gets)) return "--mix: resp has no cas";
  if (workload.noreply) return "--noreply: resp answers every request";
  return std::nullopt;
}

Workload counters_of(const Workload& workload) {
  Workload counters = fill_of(workload);
  counters.mix.weights = {};
  counters.mix.weights[static_cast<size_t>(Kind::Add)] = 1;
  counters.keys = kCounters;
  return counters;
}

Workload fill_of(const Workload& workload, double exchange_bytes) {
  Workload fill = workload;
  fill.mix = Mix::parse("set");
  fill.popularity = {Popularity::Kind::Sequential};
  fill.multiget = 1;
  fill.noreply = false;
  fill.fill_on_miss = false;
  const double bytes = workload.key_bytes.mean() + workload.value_bytes.mean() + 20;
  fill.pipeline = static_cast<int>(std::clamp(exchange_bytes / bytes, 1.0, 128.0));
  return fill;
}

}  // namespace larder::bench
