// The options: what an operator can choose, each in one entry with its names, its help, what a
// value does and how `stats settings` shows it. The command line, --help and `stats settings` are
// made from these tables; nothing else knows an option's name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "daemon/settings.h"

namespace larder::daemon {

// One option as it stands on the command line.
struct Given {
  std::string option;  // "-t" or "-o idle_timeout"
  std::string value;
};

// A row of `stats settings`. Of what can change while the server runs the Settings hold what is in
// force.
struct SettingsRow {
  const char* key = nullptr;
  std::string (*value)(const Settings&) = nullptr;
};

struct Option {
  const char* names;                       // as CLI11 takes them; the first is what errors name
  const char* argument;                    // null: a flag
  const char* help;                        // null: not offered
  void (*apply)(Settings&, const Given&);  // throws SettingsError; null: takes sub-options
  SettingsRow rows[2] = {};
};
std::span<const Option> options() noexcept;

// What prints something and exits.
struct PrintOption {
  const char* names;
  const char* help;
};
std::span<const PrintOption> print_options() noexcept;

enum class Takes { Nothing, Value, MaybeValue };

// What -o takes.
struct SubOption {
  const char* name;
  Takes takes;
  const char* help;  // null: without effect here; "": as it is in any case, and not to be named
  void (*apply)(Settings&, const Given&);
  SettingsRow rows[2] = {};
};
std::span<const SubOption> sub_options() noexcept;

// What a setup cannot do without if it asks for it with -o, and will not get here: it must not
// start. The help does not name them, since scripts look there for what a server can do.
struct NotOffered {
  std::string_view name;  // or how the names begin, with an underscore at the end
  const char* what;
};
std::span<const NotOffered> not_offered() noexcept;

constexpr uint64_t kMaxMemoryMiB = uint64_t{1} << 20;  // 1 TiB, what an item reference can reach

// Of memcached's slab classes, for options that are about them.
constexpr uint32_t kMemcachedPageBytes = 1u << 20;

}  // namespace larder::daemon
