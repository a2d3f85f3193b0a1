#include "tools/larder/stats_report.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "tools/larder/text_table.h"

namespace larder::operate {
namespace {

// Whole numbers of `stats` whose sum says nothing.
constexpr std::string_view kNotSummed[] = {"pid",
                                           "uptime",
                                           "time",
                                           "pointer_size",
                                           "hash_power_level",
                                           "reserved_fds",
                                           "hash_is_expanding",
                                           "accepting_conns",
                                           "slab_reassign_running",
                                           "lru_crawler_running"};

std::vector<std::string> names_of(const std::vector<NodeStats>& nodes) {
  std::vector<std::string> names;
  std::map<std::string, bool> seen;
  for (const NodeStats& node : nodes) {
    for (const auto& [name, value] : node.stats.rows()) {
      if (seen.emplace(name, true).second) names.push_back(name);
    }
  }
  return names;
}

std::optional<uint64_t> sum_of(const std::vector<NodeStats>& nodes, const std::string& group,
                               const std::string& name) {
  if (!group.empty()) return std::nullopt;
  if (std::find(std::begin(kNotSummed), std::end(kNotSummed), name) != std::end(kNotSummed)) {
    return std::nullopt;
  }
  uint64_t sum = 0;
  for (const NodeStats& node : nodes) {
    const std::string* const value = node.stats.find(name);
    if (!value) continue;
    const auto number = whole_number(*value);
    if (!number) return std::nullopt;
    sum += *number;
  }
  return sum;
}

Json value_json(const std::string& value) {
  const auto number = whole_number(value);
  return number ? Json(*number) : Json(value);
}

// For a name that the object does not have. Json's own ways compare it with all that are there,
// which takes quadratic time in all.
void append_member(Json& object, const std::string& name, Json value) {
  auto& members = static_cast<Json::object_t::Container&>(object.get_ref<Json::object_t&>());
  members.emplace_back(name, std::move(value));
}

}  // namespace

std::string stats_text(const std::vector<NodeStats>& nodes, const std::string& group) {
  TextTable table;
  table.columns.push_back({"", true});
  for (const NodeStats& node : nodes) table.columns.push_back({node.node});
  const bool sums = nodes.size() > 1 && group.empty();
  if (sums) table.columns.push_back({"sum"});
  for (const std::string& name : names_of(nodes)) {
    std::vector<std::string> row{name};
    for (const NodeStats& node : nodes) {
      const std::string* const value = node.stats.find(name);
      row.push_back(value ? *value : "-");
    }
    if (sums) {
      const auto sum = sum_of(nodes, group, name);
      row.push_back(sum ? std::to_string(*sum) : "");
    }
    table.rows.push_back(std::move(row));
  }
  return table.text();
}

Json stats_json(const std::vector<NodeStats>& nodes, const std::string& group) {
  Json all = {{"nodes", Json::array()}};
  for (const NodeStats& node : nodes) {
    Json rows = Json::object();
    for (const auto& [name, value] : node.stats.rows())
      append_member(rows, name, value_json(value));
    all["nodes"].push_back({{"node", node.node}, {"stats", rows}});
  }
  if (group.empty()) {
    Json sums = Json::object();
    for (const std::string& name : names_of(nodes)) {
      if (const auto sum = sum_of(nodes, group, name)) append_member(sums, name, *sum);
    }
    all["sum"] = sums;
  }
  return all;
}

std::vector<SlabClass> slab_classes(const Stats& slabs, const Stats& items) {
  std::map<uint64_t, SlabClass> by_id;
  const auto fill =
      [&](const Stats& stats, std::string_view before,
          std::initializer_list<std::pair<std::string_view, uint64_t SlabClass::*>> fields) {
        for (const auto& [name, value] : stats.rows()) {
          if (!name.starts_with(before)) continue;
          const std::string_view rest = std::string_view(name).substr(before.size());
          const size_t colon = std::min(rest.find(':'), rest.size());
          const auto id = whole_number(rest.substr(0, colon));
          const auto figure = whole_number(value);
          if (!id || !figure || colon == rest.size()) continue;
          for (const auto& field : fields) {
            if (rest.substr(colon + 1) == field.first) by_id[*id].*field.second = *figure;
          }
        }
      };
  fill(slabs, "",
       {{"chunk_size", &SlabClass::chunk_bytes},
        {"total_pages", &SlabClass::pages},
        {"total_chunks", &SlabClass::chunks},
        {"free_chunks", &SlabClass::free_chunks}});
  fill(items, "items:",
       {{"number", &SlabClass::items},
        {"age", &SlabClass::oldest_seconds},
        {"evicted", &SlabClass::evicted},
        {"evicted_time", &SlabClass::evicted_seconds},
        {"outofmemory", &SlabClass::out_of_memory}});
  std::vector<SlabClass> classes;
  for (auto& [id, one] : by_id) {
    one.id = id;
    if (one.pages > 0 || one.items > 0) classes.push_back(one);
  }
  return classes;
}

std::string slabs_text(const std::vector<SlabClass>& classes) {
  TextTable table;
  table.columns = {{"class"}, {"chunk"}, {"pages"},   {"items"},       {"used"},
                   {"age"},   {"free"},  {"evicted"}, {"evicted age"}, {"no memory"}};
  for (const SlabClass& one : classes) {
    const double used =
        one.chunks == 0
            ? 0
            : 100.0 * static_cast<double>(one.chunks - std::min(one.chunks, one.free_chunks)) /
                  static_cast<double>(one.chunks);
    table.rows.push_back({std::to_string(one.id), bytes_text(one.chunk_bytes),
                          std::to_string(one.pages), std::to_string(one.items),
                          fixed(used, 1) + "%", age_text(one.oldest_seconds),
                          std::to_string(one.free_chunks), std::to_string(one.evicted),
                          age_text(one.evicted_seconds), std::to_string(one.out_of_memory)});
  }
  return table.text();
}

Json slabs_json(const std::vector<SlabClass>& classes) {
  Json all = Json::array();
  for (const SlabClass& one : classes) {
    all.push_back({{"class", one.id},
                   {"chunk_bytes", one.chunk_bytes},
                   {"pages", one.pages},
                   {"items", one.items},
                   {"chunks", one.chunks},
                   {"free_chunks", one.free_chunks},
                   {"oldest_seconds", one.oldest_seconds},
                   {"evicted", one.evicted},
                   {"evicted_seconds", one.evicted_seconds},
                   {"out_of_memory", one.out_of_memory}});
  }
  return all;
}

}  // namespace larder::operate
