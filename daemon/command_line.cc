#include "daemon/command_line.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "daemon/config_file.h"
#include "daemon/help.h"
#include "daemon/options.h"

namespace larder::daemon {
namespace {

constexpr int kMaxHotAndWarmPct = 80;
// Of memcached's slab classes, for options that are about them.
constexpr uint32_t kMemcachedMinItemBytes = 48;
constexpr uint32_t kMemcachedAlignBytes = 8;
constexpr size_t kMostSlabSizes = 62;

void refuse_what_is_not_offered(std::string_view name) {
  for (const NotOffered& feature : not_offered()) {
    const bool family = feature.name.ends_with('_');
    if (family ? !name.starts_with(feature.name) : name != feature.name) continue;
    throw SettingsError(ExitCode::Usage, "option -o " + std::string(name) + ": " + feature.what +
                                             " not offered by larderd");
  }
}

void apply_sub_option(Settings& settings, std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const bool has_value = equals != std::string_view::npos;
  const Given given{"-o " + std::string(name),
                    has_value ? std::string(text.substr(equals + 1)) : std::string()};
  for (const SubOption& option : sub_options()) {
    if (option.name != name) continue;
    if (option.takes == Takes::Value && given.value.empty()) {
      throw SettingsError(ExitCode::Failure, "option " + given.option + ": a value is missing");
    }
    option.apply(settings, given);
    if (option.help == nullptr) {
      settings.remarks.push_back("option -o " + std::string(text) + " has no effect here");
    }
    return;
  }
  refuse_what_is_not_offered(name);
  throw SettingsError(ExitCode::Failure, "option -o: '" + std::string(text) + "' is not known");
}

template <class Use>
void for_each_sub_option(std::string_view list, Use use) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    use(list.substr(0, comma));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
}

// -- What single values cannot show. ------------------------------------------------------------

// Each way of authenticating belongs to one protocol, which need not be asked for.
void choose_protocol(Settings& settings) {
  if (settings.protocol_given) return;
  if (settings.sasl) settings.protocol = Settings::Protocol::Binary;
  if (!settings.auth_file.empty()) settings.protocol = Settings::Protocol::Ascii;
}

std::string mebibytes(uint64_t bytes) { return std::to_string(bytes >> 20); }

// Without effect here, and yet not to be nonsense there. The defaults are not checked against -I:
// sizes that memcached would refuse for its chunks' sake are none of our business.
void check_slab_options(const Settings& settings) {
  const Settings::Accepted& accepted = settings.accepted;
  const uint32_t chunk_max = accepted.slab_chunk_max_bytes;
  if (accepted.slab_chunk_max_given &&
      (settings.item_size_max % chunk_max != 0 || kMemcachedPageBytes % chunk_max != 0)) {
    throw SettingsError(ExitCode::Usage, "option -o slab_chunk_max: " + std::to_string(chunk_max) +
                                             " bytes do not divide -I, " +
                                             std::to_string(settings.item_size_max) +
                                             " bytes, and a slab page of 1m evenly");
  }
  const uint32_t least =
      settings.min_item_bytes != 0 ? settings.min_item_bytes : kMemcachedMinItemBytes;
  const auto refuse_size = [](uint32_t size, const std::string& why) {
    throw SettingsError(ExitCode::Usage,
                        "option -o slab_sizes: " + std::to_string(size) + " is not " + why);
  };
  if (accepted.slab_sizes.size() > kMostSlabSizes) {
    throw SettingsError(ExitCode::Usage, "option -o slab_sizes: more than " +
                                             std::to_string(kMostSlabSizes) + " sizes");
  }
  uint32_t last = 0;
  for (const uint32_t size : accepted.slab_sizes) {
    if (size < least || size > chunk_max) {
      refuse_size(size, "from " + std::to_string(least) + " (-n) to " + std::to_string(chunk_max) +
                            " (slab_chunk_max)");
    }
    if (last != 0 && size <= last + kMemcachedAlignBytes) {
      refuse_size(size, "more than 8 above " + std::to_string(last));
    }
    last = size;
  }
}

void check_tls(const Settings& settings) {
  if (!settings.tls.enabled) return;
  if (settings.port == 0) {
    throw SettingsError(ExitCode::Usage, "option -Z: TLS needs a TCP port, and -p is 0");
  }
  if (settings.tls.chain_cert.empty()) {
    throw SettingsError(ExitCode::Usage, "option -Z: no certificate was given (-o ssl_chain_cert)");
  }
  if (settings.tls.key.empty()) {
    throw SettingsError(ExitCode::Usage, "option -Z: no private key was given (-o ssl_key)");
  }
}

// etcd's revisions are the versions of its list, which another source would disturb.
void check_discovery(const Settings& settings) {
  if (settings.cluster_etcd.empty()) {
    if (settings.cluster_announce.empty()) return;
    throw SettingsError(ExitCode::Usage,
                        "option --cluster-announce: '" + settings.cluster_announce +
                            "' is announced in etcd, and --cluster-etcd names none");
  }
  if (settings.cluster_announce.empty()) {
    throw SettingsError(ExitCode::Usage,
                        "option --cluster-etcd: --cluster-announce must say what this server is "
                        "announced as");
  }
  if (!settings.cluster_file.empty()) {
    throw SettingsError(ExitCode::Usage,
                        "option --cluster-etcd: the list of nodes comes from etcd or from "
                        "--cluster-file, not from both");
  }
  if (settings.allow_cluster_set) {
    throw SettingsError(
        ExitCode::Usage,
        "option --cluster-etcd: a list that clients set (--enable-cluster-set) would "
        "not agree with the one in etcd");
  }
}

// -m auto. The machine is there for others, too, while a limit was set for what is within it. What
// lies outside of -m (connections, what clients have not taken, the program) needs room there.
uint64_t automatic_memory(const MachineMemory& memory) {
  const uint64_t of_machine = memory.bytes / 4;
  return memory.limited() ? std::min(of_machine, memory.limit_bytes / 4 * 3) : of_machine;
}

void choose_memory_bytes(Settings& settings, const MachineMemory& memory) {
  if (settings.memory_auto || settings.memory_percent != 0) {
    const auto percent = static_cast<uint64_t>(settings.memory_percent);
    const uint64_t bytes =
        settings.memory_auto ? automatic_memory(memory) : memory.available_bytes() / 100 * percent;
    settings.memory_bytes = std::clamp<uint64_t>(bytes >> 20, 1, kMaxMemoryMiB) << 20;
  }
  if (settings.memory_bytes > memory.bytes) {
    throw SettingsError(ExitCode::Usage, "option -m: " + mebibytes(settings.memory_bytes) +
                                             " MiB are more than this machine's " +
                                             mebibytes(memory.bytes) + " MiB");
  }
  if (settings.memory_bytes > memory.available_bytes()) {
    settings.remarks.push_back("option -m: " + mebibytes(settings.memory_bytes) +
                               " MiB are more than the " + mebibytes(memory.limit_bytes) +
                               " MiB that the cgroup allows");
  }
}

void check_together(const Settings& settings) {
  if (settings.item_size_max > settings.memory_bytes / 2) {
    throw SettingsError(ExitCode::Usage, "option -I: " + std::to_string(settings.item_size_max) +
                                             " bytes are more than half of -m " +
                                             mebibytes(settings.memory_bytes));
  }
  const bool only_sasl = settings.sasl && settings.auth_file.empty();
  if (settings.sasl && settings.protocol != Settings::Protocol::Binary &&
      (only_sasl || settings.protocol_given)) {
    throw SettingsError(ExitCode::Usage,
                        "option -S: SASL needs the binary protocol, and -B says otherwise");
  }
  if (!settings.auth_file.empty() && settings.protocol != Settings::Protocol::Ascii) {
    throw SettingsError(ExitCode::Usage, "option -Y: '" + settings.auth_file +
                                             "' needs the ascii protocol, and -B says otherwise");
  }
  // Datagrams come from nobody in particular.
  if ((settings.sasl || !settings.auth_file.empty()) && settings.udp_port != 0) {
    throw SettingsError(ExitCode::Usage, std::string("option ") + (settings.sasl ? "-S" : "-Y") +
                                             ": nobody can authenticate over UDP, and -U is " +
                                             std::to_string(settings.udp_port));
  }
  check_tls(settings);
  check_discovery(settings);
  const Settings::Accepted& accepted = settings.accepted;
  check_slab_options(settings);
  if (accepted.hot_lru_pct + accepted.warm_lru_pct > kMaxHotAndWarmPct) {
    throw SettingsError(ExitCode::Usage,
                        "option -o: hot_lru_pct and warm_lru_pct are more than 80 together");
  }
  if (accepted.temp_lru && !accepted.lru_maintainer) {
    throw SettingsError(ExitCode::Usage, "option -o: temporary_ttl needs lru_maintainer");
  }
}

// What was given for a part that was not asked for.
void note_what_is_not_asked(Settings& settings, const std::vector<std::string>& extended) {
  if (settings.sasl && !settings.auth_file.empty()) {
    settings.remarks.emplace_back("option -S has no effect beside -Y, which is for ascii only");
  }
  if (settings.tls.enabled) return;
  for (const std::string& list : extended) {
    for_each_sub_option(list, [&](std::string_view text) {
      if (!text.starts_with("ssl_")) return;
      settings.remarks.push_back("option -o " + std::string(text) + " has no effect without -Z");
    });
  }
}

// As with getopt_long, a long option may be cut short where that leaves no doubt. Those without a
// letter are ours, and leave none about what memcached understands.
std::string in_full(const std::string& word) {
  if (!word.starts_with("--") || word.size() == 2) return word;
  const size_t equals = std::min(word.find('='), word.size());
  const std::string_view given = std::string_view(word).substr(0, equals);
  std::vector<std::string_view> names, ours;
  const auto add = [&](std::string_view both) {
    const size_t comma = both.rfind(',');
    const std::string_view name = both.substr(comma + 1);
    if (name.starts_with(given)) (comma == std::string_view::npos ? ours : names).push_back(name);
  };
  for (const PrintOption& option : print_options()) add(option.names);
  for (const Option& option : options()) add(option.names);
  if (names.empty()) names = ours;
  const bool whole = std::find(names.begin(), names.end(), given) != names.end() ||
                     std::find(ours.begin(), ours.end(), given) != ours.end();
  return whole || names.size() != 1 ? word : std::string(names.front()) + word.substr(equals);
}

// Words, sorted by the options that they belong to.
struct Sorted {
  std::vector<std::vector<std::string>> values{options().size()};  // of each row of the table
  std::vector<int> flags = std::vector<int>(options().size());     // how often it was given
  std::vector<std::string> extras;
  bool help = false;
  bool license = false;
  bool version = false;
};

// CLI11 finds the words; their meaning is in the table. As with getopt, an option may be given
// again, and then the last one counts unless it adds up.
Sorted sort(const std::vector<std::string>& words) {
  Sorted sorted;
  CLI::App app;
  app.set_help_flag();  // ours is one of three that print and exit
  app.allow_extras();   // so that what is wrong can be said in our words
  app.add_flag("-h,--help", sorted.help);
  app.add_flag("-i,--license", sorted.license);
  app.add_flag("-V,--version", sorted.version);
  const std::span<const Option> table = options();
  for (size_t i = 0; i < table.size(); ++i) {
    if (table[i].argument == nullptr) {
      app.add_flag(table[i].names, sorted.flags[i]);
    } else {
      app.add_option(table[i].names, sorted.values[i])
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
          ->allow_extra_args(false);
    }
  }
  std::vector<std::string> reversed;  // CLI11 takes the last
  for (size_t i = words.size(); i > 0; --i) reversed.push_back(in_full(words[i - 1]));
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    // Only a value can be missing; CLI11 says "--threads: 1 required TEXT missing".
    const std::string what = error.what();
    throw SettingsError(ExitCode::Failure,
                        "option " + what.substr(0, what.find(':')) + ": a value is missing");
  }
  sorted.extras = app.remaining();
  return sorted;
}

// extended  gets the lists of -o
void apply(Sorted sorted, Settings& settings, std::vector<std::string>& extended) {
  for (const std::string& extra : sorted.extras) {
    if (extra.starts_with('-')) {
      throw SettingsError(ExitCode::Failure, "unknown option '" + extra + "'");
    }
    // memcached takes no notice of such words, and start-up scripts may have them.
    settings.remarks.push_back("the word '" + extra + "' belongs to no option");
  }
  const std::span<const Option> table = options();
  for (size_t i = 0; i < table.size(); ++i) {
    const std::string_view names = table[i].names;
    const std::string name(names.substr(0, names.find(',')));
    for (int n = 0; n < sorted.flags[i]; ++n) table[i].apply(settings, {name, ""});
    for (std::string& value : sorted.values[i]) {
      value.erase(0, value.find_first_not_of(" \t"));
      if (table[i].apply == nullptr) {
        for_each_sub_option(value,
                            [&](std::string_view text) { apply_sub_option(settings, text); });
        extended.push_back(std::move(value));
      } else {
        table[i].apply(settings, {name, value});
      }
    }
  }
}

const std::string* config_file_of(const Sorted& sorted) {
  for (size_t i = 0; i < options().size(); ++i) {
    if (options()[i].names == std::string_view("--config") && !sorted.values[i].empty()) {
      return &sorted.values[i].back();
    }
  }
  return nullptr;
}

void apply_config_file(const std::string& path, Settings& settings,
                       std::vector<std::string>& extended) {
  ConfigFile file = read_config_file(path);
  try {
    Sorted sorted = sort(file.words);
    if (sorted.help || sorted.license || sorted.version || config_file_of(sorted) != nullptr) {
      throw SettingsError(ExitCode::Usage,
                          "--help, --license, --version and --config belong on the command line");
    }
    apply(std::move(sorted), settings, extended);
  } catch (const SettingsError& error) {
    throw SettingsError(static_cast<ExitCode>(error.exit_code), path + ": " + error.what());
  }
  settings.remarks.insert(settings.remarks.end(), file.remarks.begin(), file.remarks.end());
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv, const MachineMemory& memory) {
  Sorted sorted = sort({argv + std::min(argc, 1), argv + argc});
  CommandLine line;
  if (sorted.help) line.print = help_text();
  if (sorted.license) line.print = license_text();
  if (sorted.version) line.print = version_text(argc > 0 ? argv[0] : "");
  if (line.print) return line;

  Settings& settings = line.settings;
  std::vector<std::string> extended;  // the lists of -o
  if (const std::string* const path = config_file_of(sorted)) {
    apply_config_file(*path, settings, extended);
  }
  apply(std::move(sorted), settings, extended);
  if (settings.udp_port != 0 && !settings.port_given) settings.port = settings.udp_port;
  choose_protocol(settings);
  choose_memory_bytes(settings, memory);
  check_together(settings);
  note_what_is_not_asked(settings, extended);
  return line;
}

}  // namespace larder::daemon
