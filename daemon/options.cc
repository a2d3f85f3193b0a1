#include "daemon/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "daemon/cluster_list.h"
#include "daemon/etcd_address.h"
#include "daemon/listen_address.h"

namespace larder::daemon {
namespace {

constexpr int kMaxThreads = 256;
constexpr uint32_t kMinItemSizeMax = 1u << 10;
constexpr uint32_t kMaxItemSizeMax = 1u << 30;
constexpr size_t kMaxClusterNameBytes = 64;
constexpr int kMinLeaseSeconds = 3;  // etcd itself gives none of less than 2
constexpr int kMaxLeaseSeconds = 600;
constexpr int kMaxDrainSeconds = 3600;
constexpr double kMinGrowthFactor = 1.03;  // below it the classes do not suffice

// -- Values from words.

[[noreturn]] void refuse(const Given& given, const std::string& expected,
                         ExitCode code = ExitCode::Failure) {
  throw SettingsError(code,
                      "option " + given.option + ": '" + given.value + "' is not " + expected);
}

template <typename Number>
Number number(const Given& given, Number least, Number most, ExitCode code = ExitCode::Failure) {
  const char* const end = given.value.data() + given.value.size();
  Number value{};
  const auto [stop, error] = std::from_chars(given.value.data(), end, value);
  if (error != std::errc{} || stop != end || given.value.empty() || value < least || value > most) {
    std::string expected = "a number";
    if (most == std::numeric_limits<Number>::max()) {
      expected += " of " + std::to_string(least) + " or more";
    } else {
      expected += " from " + std::to_string(least) + " to " + std::to_string(most);
    }
    refuse(given, expected, code);
  }
  return value;
}

constexpr int kAnyInt = std::numeric_limits<int>::max();
constexpr uint32_t kAnyU32 = std::numeric_limits<uint32_t>::max();

double fraction(const Given& given) {
  const char* const end = given.value.data() + given.value.size();
  double value = 0;
  const auto [stop, error] = std::from_chars(given.value.data(), end, value);
  if (error != std::errc{} || stop != end || given.value.empty() || !std::isfinite(value)) {
    refuse(given, "a number");
  }
  return value;
}

// Bytes, with k, m or g behind them for more.
uint32_t item_size(const Given& given) {
  Given digits = given;
  uint64_t unit = 1;
  if (!digits.value.empty()) {
    switch (digits.value.back()) {
      case 'k':
      case 'K':
        unit = 1u << 10;
        break;
      case 'm':
      case 'M':
        unit = 1u << 20;
        break;
      case 'g':
      case 'G':
        unit = 1u << 30;
        break;
      default:
        break;
    }
  }
  if (unit != 1) digits.value.pop_back();
  const char* const end = digits.value.data() + digits.value.size();
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(digits.value.data(), end, value);
  const bool fits = value <= kMaxItemSizeMax;
  if (error != std::errc{} || stop != end || !fits || value * unit < kMinItemSizeMax ||
      value * unit > kMaxItemSizeMax) {
    refuse(given, "a size from 1k to 1g (bytes, or with k, m or g behind)", ExitCode::Usage);
  }
  return static_cast<uint32_t>(value * unit);
}

void check_http_address(const Given& given) {
  try {
    parse_http_address(given.value);
  } catch (const std::runtime_error& error) {
    throw SettingsError(ExitCode::Usage, error.what());
  }
}

void check_etcd_addresses(const Given& given) {
  try {
    parse_etcd_addresses(given.value);
  } catch (const std::runtime_error& error) {
    throw SettingsError(ExitCode::Usage, error.what());
  }
}

void check_cluster_name(const Given& given) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  };
  if (given.value.empty() || given.value.size() > kMaxClusterNameBytes ||
      !std::all_of(given.value.begin(), given.value.end(), fits)) {
    refuse(given,
           "a name of up to " + std::to_string(kMaxClusterNameBytes) +
               " letters, digits, dots, dashes and underscores",
           ExitCode::Usage);
  }
}

// -m. A share stands for bytes once it is known where it is one of.
void choose_memory(Settings& settings, const Given& given) {
  settings.memory_auto = given.value == "auto";
  settings.memory_percent = 0;
  if (settings.memory_auto) return;
  std::string_view digits = given.value;
  const bool share = digits.ends_with('%');
  if (share) digits.remove_suffix(1);
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const uint64_t most = share ? 100 : kMaxMemoryMiB;
  if (error != std::errc{} || stop != digits.data() + digits.size() || value < 1 || value > most) {
    refuse(given,
           "a number from 1 to " + std::to_string(kMaxMemoryMiB) +
               ", a share from 1% to 100%, or auto",
           ExitCode::Usage);
  }
  if (share) {
    settings.memory_percent = static_cast<int>(value);
  } else {
    settings.memory_bytes = value << 20;
  }
}

void add_listen_addresses(Settings& settings, const Given& given) {
  std::string_view rest = given.value;
  bool any = false;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find_first_of(",;"), rest.size());
    const std::string address(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (address.empty()) continue;
    any = true;
    if (std::find(settings.listen.begin(), settings.listen.end(), address) ==
        settings.listen.end()) {
      settings.listen.push_back(address);
    }
  }
  if (!any) refuse(given, "a list of addresses");
}

// -- Words from values, as `stats settings` has them.

std::string yes_no(bool value) { return value ? "yes" : "no"; }
std::string on_off(bool value) { return value ? "on" : "off"; }
std::string or_null(const std::string& text) { return text.empty() ? "NULL" : text; }

// A member of Settings, or of one of its parts.
const Settings& part(const Settings& s, const Settings*) { return s; }
const Settings::Accepted& part(const Settings& s, const Settings::Accepted*) { return s.accepted; }
const Settings::Tls& part(const Settings& s, const Settings::Tls*) { return s.tls; }
template <class Part, class Value>
const Value& value_of(const Settings& s, Value Part::*member) {
  return part(s, static_cast<const Part*>(nullptr)).*member;
}

template <auto kMember>
std::string flag(const Settings& s) {
  return yes_no(value_of(s, kMember));
}
template <auto kMember>
std::string count(const Settings& s) {
  return std::to_string(value_of(s, kMember));
}
template <auto kMember>
std::string text(const Settings& s) {
  return or_null(value_of(s, kMember));
}
template <auto kMember, int kDigits>
std::string fraction_of(const Settings& s) {
  char buffer[64];
  const int written = std::snprintf(buffer, sizeof buffer, "%.*f", kDigits, value_of(s, kMember));
  return {buffer, static_cast<size_t>(written)};
}

std::string octal(unsigned value) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, 8).ptr;
  return {digits, end};
}

std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& word : list) {
    if (!out.empty()) out += ',';
    out += word;
  }
  return out;
}

std::string protocol_name(Settings::Protocol protocol) {
  switch (protocol) {
    case Settings::Protocol::Ascii:
      return "ascii";
    case Settings::Protocol::Binary:
      return "binary";
    case Settings::Protocol::Auto:
      break;
  }
  return "auto-negotiate";
}

std::string order_name(core::EvictionOrder order) {
  return order == core::EvictionOrder::Lru ? "plain" : "density";
}

std::string tls_name(int version) { return "tlsv1." + std::to_string(version); }

// -- The table. ---------------------------------------------------------------------------------

constexpr auto kOptions = std::to_array<Option>({
    {"-p,--port", "<num>",
     "TCP port to listen on, 0 for none, -1 for any that is free (default: 11211)",
     [](Settings& s, const Given& g) {
       s.port = number<int>(g, -1, 65535, ExitCode::Usage);
       s.port_given = true;
     },
     {{"tcpport", count<&Settings::port>}}},
    {"-s,--unix-socket", "<file>", "unix socket to listen on; then TCP only if -p is given, too",
     [](Settings& s, const Given& g) { s.unix_socket = g.value; },
     {{"domain_socket", text<&Settings::unix_socket>}}},
    {"-a,--unix-mask", "<mask>", "access rights of the unix socket, octal (default: 700)",
     [](Settings& s, const Given& g) {
       const char* const end = g.value.data() + g.value.size();
       const auto [stop, error] = std::from_chars(g.value.data(), end, s.unix_mode, 8);
       if (error != std::errc{} || stop != end || s.unix_mode > 0777) {
         refuse(g, "an octal number up to 777", ExitCode::Usage);
       }
     },
     {{"umask", [](const Settings& s) { return octal(s.unix_mode); }}}},
    {"-A,--enable-shutdown", nullptr, "allow the command \"shutdown\"",
     [](Settings& s, const Given&) { s.allow_shutdown = true; },
     {{"shutdown_command", flag<&Settings::allow_shutdown>}}},
    {"-l,--listen", "<addr>",
     "address to listen on, addr, addr:port or [v6]:port; several with commas or several -l "
     "(default: all). Before an address may stand what holds for it alone, in this order: notls:, "
     "btls: or mtls: (with -Z: plain text, no client certificates, none without), proto[ascii]:, "
     "proto[binary]: or proto[negotiating]: (instead of -B), tag[name]: or tag_name_: (of up to 8 "
     "characters, shown by -v)",
     add_listen_addresses,
     {{"inter", [](const Settings& s) { return or_null(joined(s.listen)); }}}},
    {"-d,--daemon", nullptr,
     "run in the background; returns once connections are accepted, or fails with the reason",
     [](Settings& s, const Given&) { s.daemonize = true; },
     {{"daemon", flag<&Settings::daemonize>}}},
    {"-r,--enable-coredumps", nullptr, "raise the limit on core files; stay in this directory",
     [](Settings& s, const Given&) { s.core_dumps = true; },
     {{"coredumps", flag<&Settings::core_dumps>}}},
    {"-u,--user", "<user>", "user to run as; required when started as root",
     [](Settings& s, const Given& g) { s.user = g.value; },
     {{"user", text<&Settings::user>}}},
    {"-m,--memory-limit", "<num>",
     "memory for items, their table and bookkeeping, in MiB (default: 64); or a share of what the "
     "machine and its cgroup have, such as 50%; or auto: a quarter of the machine's, or three "
     "quarters of a cgroup's limit if that is less than the machine has",
     choose_memory,
     {{"maxbytes", count<&Settings::memory_bytes>}}},
    {"-M,--disable-evictions", nullptr, "when memory is full answer with an error, evict nothing",
     [](Settings& s, const Given&) { s.evict = false; },
     {{"evictions", [](const Settings& s) { return on_off(s.evict); }}}},
    {"-c,--conn-limit", "<num>", "most connections at a time (default: 1024)",
     [](Settings& s, const Given& g) { s.max_connections = number<int>(g, 1, kAnyInt); },
     {{"maxconns", count<&Settings::max_connections>}}},
    {"-k,--lock-memory", nullptr, "lock memory as it is used, so that it is never swapped out",
     [](Settings& s, const Given&) { s.lock_memory = true; },
     {{"lock_memory", flag<&Settings::lock_memory>}}},
    {"-v,--verbose", nullptr, "say what happens on stderr; -vv and -vvv say more",
     [](Settings& s, const Given&) { ++s.verbosity; },
     {{"verbosity", count<&Settings::verbosity>}}},
    {"-P,--pidfile", "<file>", "write the process id there; removed at the end",
     [](Settings& s, const Given& g) { s.pid_file = g.value; },
     {{"pidfile", text<&Settings::pid_file>}}},
    {"-f,--slab-growth-factor", "<num>",
     "growth from one chunk size to the next, 1.03 at least (default: from -m, 1.05 for 64 MiB)",
     [](Settings& s, const Given& g) {
       s.growth_factor = fraction(g);
       if (s.growth_factor <= 1.0) refuse(g, "above 1");
       s.growth_factor = std::max(s.growth_factor, kMinGrowthFactor);
     },
     {{"growth_factor", fraction_of<&Settings::growth_factor, 2>}}},
    {"-n,--slab-min-size", "<bytes>",
     "room for key, value and flags in the smallest chunk (default: 12)",
     [](Settings& s, const Given& g) { s.min_item_bytes = number<uint32_t>(g, 1, kAnyU32); },
     {{"chunk_size", count<&Settings::min_item_bytes>}}},
    {"-e,--memory-file", "<file>",
     "keep the items in the file, on tmpfs, and find them again after a graceful stop (SIGUSR1, "
     "\"shutdown graceful\") with the same -m, -I, -f, -n and -C",
     [](Settings& s, const Given& g) {
       if (g.value.empty()) refuse(g, "a file");
       s.memory_file = g.value;
     },
     {{"memory_file", [](const Settings& s) { return s.memory_file.empty() ? "(null)" : s.memory_file; }}}},
    {"-L,--enable-largepages", nullptr,
     "take all of -m at the start, so that nobody waits for memory later; refuse to start if the "
     "kernel gives no huge pages (they are used where it does)",
     [](Settings& s, const Given&) { s.large_pages = true; },
     {{"large_pages", flag<&Settings::large_pages>}}},
    {"-D", "<char>",
     "count by key prefix, which this ends, for stats detail (default: off, \":\" ends it)",
     [](Settings& s, const Given& g) {
       if (g.value.empty()) refuse(g, "a character");
       s.stats_prefix = g.value.substr(0, 1);
       s.stats_detail = true;
     },
     {{"stat_key_prefix", [](const Settings& s) { return s.stats_prefix; }}, {"detail_enabled", flag<&Settings::stats_detail>}}},
    {"-t,--threads", "<num>", "worker threads (default: 4)",
     [](Settings& s, const Given& g) { s.threads = number<int>(g, 1, kMaxThreads); },
     {{"num_threads", count<&Settings::threads>}, {"num_threads_per_udp", [](const Settings& s) { return std::to_string(workers_per_udp_address(s)); }}}},
    {"-R,--max-reqs-per-event", "<num>",
     "requests of a connection before others get their turn (default: what takes 20 in memcached)",
     [](Settings& s, const Given& g) {
       s.requests_per_event = number<int>(g, 1, kAnyInt);
       s.requests_per_event_given = true;
     },
     {{"reqs_per_event", count<&Settings::requests_per_event>}}},
    {"-C,--disable-cas", nullptr, "no CAS: every item's reads as 0",
     [](Settings& s, const Given&) { s.cas = false; },
     {{"cas_enabled", flag<&Settings::cas>}}},
    {"-b,--listen-backlog", "<num>", "backlog of the listening sockets (default: 1024)",
     [](Settings& s, const Given& g) { s.backlog = number<int>(g, 0, kAnyInt); },
     {{"tcp_backlog", count<&Settings::backlog>}}},
    {"-B,--protocol", "<name>",
     "ascii, binary, or auto: found out for each connection (default: auto)",
     [](Settings& s, const Given& g) {
       s.protocol_given = true;
       if (g.value == "auto") {
         s.protocol = Settings::Protocol::Auto;
       } else if (g.value == "ascii") {
         s.protocol = Settings::Protocol::Ascii;
       } else if (g.value == "binary") {
         s.protocol = Settings::Protocol::Binary;
       } else {
         refuse(g, "auto, ascii or binary", ExitCode::Usage);
       }
     },
     {{"binding_protocol", [](const Settings& s) { return protocol_name(s.protocol); }}}},
    {"-I,--max-item-size", "<num>",
     "largest item in bytes, k, m or g may follow; 1k to 1g and at most half of -m (default: 1m)",
     [](Settings& s, const Given& g) { s.item_size_max = item_size(g); },
     {{"item_size_max", count<&Settings::item_size_max>}}},
    {"-S,--enable-sasl", nullptr,
     "let in whom SASL knows, as memcached.conf in SASL_CONF_PATH says; binary protocol only",
     [](Settings& s, const Given&) { s.sasl = true; },
     {{"auth_enabled_sasl", flag<&Settings::sasl>}}},
    {"-F,--disable-flush-all", nullptr, "refuse the command \"flush_all\"",
     [](Settings& s, const Given&) { s.allow_flush = false; },
     {{"flush_enabled", flag<&Settings::allow_flush>}}},
    {"-X,--disable-dumping", nullptr, "refuse \"stats cachedump\" and \"stats detail\"",
     [](Settings& s, const Given&) { s.allow_dumps = false; },
     {{"dump_enabled", flag<&Settings::allow_dumps>}}},
    {"-W,--disable-watch", nullptr, "refuse the command \"watch\"",
     [](Settings& s, const Given&) { s.allow_watch = false; },
     {{"watch_enabled", flag<&Settings::allow_watch>}}},
    {"-Y,--auth-file", "<file>",
     "let in whose user:password is a line of the file, read again on SIGHUP; ascii protocol only",
     [](Settings& s, const Given& g) {
       if (g.value.empty()) refuse(g, "a file");
       s.auth_file = g.value;
     },
     {{"auth_enabled_ascii", [](const Settings& s) { return s.auth_file.empty() ? "no" : s.auth_file; }}}},
    {"-U,--udp-port", "<num>",
     "UDP port to listen on, -1 for any that is free; TCP uses it, too, if -p is not given "
     "(default: 0, off)",
     [](Settings& s, const Given& g) {
       const bool negative = g.value.starts_with('-');  // as memcached, where binding fails
       s.udp_port = number<int>(g, -1, 65535, negative ? ExitCode::OsError : ExitCode::Usage);
     },
     {{"udpport", count<&Settings::udp_port>}}},
    {"-N,--napi-ids", "<num>", nullptr,
     [](Settings&, const Given& g) {
       throw SettingsError(ExitCode::Usage, "option -N: choosing workers by NAPI id ('" + g.value +
                                                "') is not offered by larderd");
     }},
    {"-Z,--enable-ssl", nullptr,
     "TLS on all TCP listeners; needs -o ssl_chain_cert and -o ssl_key",
     [](Settings& s, const Given&) { s.tls.enabled = true; },
     {{"ssl_enabled", flag<&Settings::Tls::enabled>}}},
    {"--http", "<addr>",
     "serve metrics (/metrics, /stats.json, /healthz, /readyz) over HTTP there: port, addr:port or "
     "[v6]:port; without an address on loopback, with * on all of them (default: off)",
     [](Settings& s, const Given& g) {
       check_http_address(g);
       s.http = g.value;
     },
     {{"http", text<&Settings::http>}}},
    {"--cluster-file", "<file>",
     "answer \"config get cluster\", ElastiCache's auto discovery, with the nodes in the file, which "
     "is followed: a line of host|ip|port with blanks between them; a version may stand on a line "
     "before",
     [](Settings& s, const Given& g) {
       if (g.value.empty()) refuse(g, "a file");
       s.cluster_file = g.value;
     },
     {{"cluster_file", text<&Settings::cluster_file>}}},
    {"--enable-cluster-set", nullptr,
     "answer \"config get cluster\", ElastiCache's auto discovery, and let clients say what it "
     "answers with \"config set\" and \"config delete\"",
     [](Settings& s, const Given&) { s.allow_cluster_set = true; },
     {{"cluster_set", flag<&Settings::allow_cluster_set>}}},
    {"--cluster-etcd", "<addrs>",
     "answer \"config get cluster\", ElastiCache's auto discovery, with the nodes that are announced "
     "in this etcd v3, and announce this server there: host:port, several with commas between them; "
     "needs --cluster-announce. LARDER_ETCD_USER and LARDER_ETCD_PASSWORD are of the environment",
     [](Settings& s, const Given& g) {
       check_etcd_addresses(g);
       s.cluster_etcd = g.value;
     },
     {{"cluster_etcd", text<&Settings::cluster_etcd>}}},
    {"--cluster-name", "<name>",
     "the fleet's name in etcd, whose keys begin with /larder/<name>/ (default: default)",
     [](Settings& s, const Given& g) {
       check_cluster_name(g);
       s.cluster_name = g.value;
     },
     {{"cluster_name", text<&Settings::cluster_name>}}},
    {"--cluster-announce", "<node>",
     "where clients of the fleet find this server: host:port, or host|ip:port for clients that look "
     "up no names",
     [](Settings& s, const Given& g) {
       if (const std::string error = parse_announced(g.value).error; !error.empty()) {
         throw SettingsError(ExitCode::Usage, "option --cluster-announce: " + error);
       }
       s.cluster_announce = g.value;
     },
     {{"cluster_announce", text<&Settings::cluster_announce>}}},
    {"--cluster-lease", "<seconds>",
     "how long a server that fell silent stays in etcd's list, 3 to 600 (default: 10)",
     [](Settings& s, const Given& g) {
       s.cluster_lease_seconds = number<int>(g, kMinLeaseSeconds, kMaxLeaseSeconds);
     },
     {{"cluster_lease", count<&Settings::cluster_lease_seconds>}}},
    {"--cluster-drain", "<seconds>",
     "with --cluster-etcd, SIGTERM and SIGUSR1 take this server off the list at once, and it serves "
     "clients for so long before it ends gracefully; a second signal ends it at once; 0 to 3600, 0 "
     "turns this off (default: 65)",
     [](Settings& s, const Given& g) {
       s.cluster_drain_seconds = number<int>(g, 0, kMaxDrainSeconds);
     },
     {{"cluster_drain", count<&Settings::cluster_drain_seconds>}}},
    {"--config", "<file>",
     "read options from the file first, one a line, # begins a comment, as in Debian's "
     "/etc/memcached.conf; -d and what is no option is left out, and root stays root without -u",
     [](Settings& s, const Given& g) { s.config_file = g.value; }},
    {"-o,--extended", "<list>", "further options with commas between them, see below",
     nullptr},  // sub_options()
});

constexpr auto kPrintOptions = std::to_array<PrintOption>({
    {"-h,--help", "print this and exit"},
    {"-i,--license", "print the licence and exit"},
    {"-V,--version", "print the version and exit"},
});

constexpr auto kSubOptions = std::to_array<SubOption>({
    {"maxconns_fast", Takes::Nothing,
     "at the limit of -c answer new connections with an error (default)",
     [](Settings& s, const Given&) { s.maxconns_fast = true; },
     {{"maxconns_fast", flag<&Settings::maxconns_fast>}}},
    {"no_maxconns_fast", Takes::Nothing, "at the limit of -c let new connections wait",
     [](Settings& s, const Given&) { s.maxconns_fast = false; }},
    {"idle_timeout", Takes::Value, "seconds after which a silent client is let go (default: 0, off)",
     [](Settings& s, const Given& g) { s.idle_timeout_seconds = number<int>(g, 0, kAnyInt); },
     {{"idle_timeout", count<&Settings::idle_timeout_seconds>}}},
    {"stalled_timeout", Takes::Value,
     "seconds after which a client is let go that takes nothing of its replies (default: 0, off)",
     [](Settings& s, const Given& g) {
       s.stalled_timeout_seconds = number<uint32_t>(g, 0, kAnyInt);
     },
     {{"stalled_timeout", count<&Settings::stalled_timeout_seconds>}}},
    {"read_buf_mem_limit", Takes::Value,
     "MiB for replies that slow clients have not taken yet, of all connections (default: 64)",
     [](Settings& s, const Given& g) {
       const uint64_t mib = number<uint32_t>(g, 0, kAnyU32);
       if (mib != 0) s.buffer_limit_bytes = mib << 20;
     },
     {{"read_buf_mem_limit", count<&Settings::buffer_limit_bytes>}}},
    {"lru", Takes::Value,
     "what goes when room is needed: density (default: what is used least for its size) or plain "
     "(what was not used longest)",
     [](Settings& s, const Given& g) {
       if (g.value != "density" && g.value != "plain") refuse(g, "density or plain");
       s.eviction_order =
           g.value == "plain" ? core::EvictionOrder::Lru : core::EvictionOrder::Density;
     },
     {{"lru", [](const Settings& s) { return order_name(s.eviction_order); }}}},
    {"ssl_chain_cert", Takes::Value, "with -Z: file of the certificate and its chain, PEM",
     [](Settings& s, const Given& g) { s.tls.chain_cert = g.value; },
     {{"ssl_chain_cert", [](const Settings& s) { return s.tls.chain_cert; }}}},
    {"ssl_key", Takes::Value, "with -Z: file of the private key, without a passphrase",
     [](Settings& s, const Given& g) { s.tls.key = g.value; },
     {{"ssl_key", [](const Settings& s) { return s.tls.key; }}}},
    {"ssl_keyformat", Takes::Value, "format of ssl_key: 1 or PEM, 2 or DER (default: 1)",
     [](Settings& s, const Given& g) {
       if (g.value == "PEM" || g.value == "1") {
         s.tls.key_format = 1;
       } else if (g.value == "DER" || g.value == "2") {
         s.tls.key_format = 2;
       } else {
         // memcached finds out about other numbers when it reads the key.
         const bool number = g.value.find_first_not_of("0123456789") == std::string::npos;
         refuse(g, "PEM, DER, 1 or 2", number ? ExitCode::Usage : ExitCode::Failure);
       }
     },
     {{"ssl_keyformat", count<&Settings::Tls::key_format>}}},
    {"ssl_verify_mode", Takes::Value,
     "certificates of clients: 0 none (default), 1 asked for, 2 required, 3 likewise, once",
     [](Settings& s, const Given& g) { s.tls.verify_mode = number<int>(g, 0, 3); },
     {{"ssl_verify_mode", [](const Settings& s) { return std::to_string(s.tls.verify_flags()); }}}},
    {"ssl_ciphers", Takes::Value, "with -Z: ciphers for TLS up to 1.2, as OpenSSL writes lists of them",
     [](Settings& s, const Given& g) { s.tls.ciphers = g.value; },
     {{"ssl_ciphers", text<&Settings::Tls::ciphers>}}},
    {"ssl_ca_cert", Takes::Value, "with -Z: file of those who sign certificates of clients, PEM",
     [](Settings& s, const Given& g) { s.tls.ca_cert = g.value; },
     {{"ssl_ca_cert", text<&Settings::Tls::ca_cert>}}},
    {"ssl_wbuf_size", Takes::Value,
     "KiB of short replies that are gathered to be encrypted together; above 16, what TLS takes "
     "at most, as 16 (default: 16)",
     [](Settings& s, const Given& g) {
       s.tls.write_buffer_bytes = number<uint32_t>(g, 1, kAnyU32 >> 10) << 10;
     },
     {{"ssl_wbuf_size", count<&Settings::Tls::write_buffer_bytes>}}},
    {"ssl_session_cache", Takes::Nothing, "keep sessions, so that clients can resume them",
     [](Settings& s, const Given&) { s.tls.session_cache = true; },
     {{"ssl_session_cache", flag<&Settings::Tls::session_cache>}}},
    {"ssl_min_version", Takes::Value,
     "oldest TLS that is spoken: 0 for 1.0, 1 for 1.1, 2 for 1.2 (default), 3 for 1.3",
     [](Settings& s, const Given& g) { s.tls.min_version = number<int>(g, 0, 3); },
     {{"ssl_min_version", [](const Settings& s) { return tls_name(s.tls.min_version); }}}},
    {"track_sizes", Takes::Nothing, "let stats sizes walk the cache",
     [](Settings& s, const Given&) { s.track_sizes = true; },
     {{"track_sizes", flag<&Settings::track_sizes>}}},
    {"sampling", Takes::Nothing, "time some requests, look at some keys (default)",
     [](Settings& s, const Given&) { s.sampling = true; },
     {{"sampling", flag<&Settings::sampling>}}},
    {"no_sampling", Takes::Nothing, "no latencies, hot keys and prefixes in stats and metrics",
     [](Settings& s, const Given&) { s.sampling = false; }},
    {"slow_request_us", Takes::Value,
     "note what takes the server longer than so many microseconds (default: 0, off)",
     [](Settings& s, const Given& g) { s.slow_request_us = number<uint32_t>(g, 0, kAnyU32); },
     {{"slow_request_us", count<&Settings::slow_request_us>}}},
    {"relaxed_privileges", Takes::Nothing,
     "for tests: allow what a restricted process may not (nothing is restricted)",
     [](Settings& s, const Given&) { s.relaxed_privileges = true; },
     {{"relaxed_privileges", flag<&Settings::relaxed_privileges>}}},
    {"no_modern", Takes::Nothing, "as no_maxconns_fast and no_lru_crawler",
     [](Settings& s, const Given&) {
       s.maxconns_fast = false;
       if (!s.accepted.slab_chunk_max_given) s.accepted.slab_chunk_max_bytes = kMemcachedPageBytes;
       s.accepted.slab_reassign = false;
       s.accepted.slab_automove = 0;
       s.accepted.lru_segmented = false;
       s.accepted.lru_crawler = false;
       s.accepted.lru_maintainer = false;
     }},
    {"modern", Takes::Nothing, nullptr, [](Settings&, const Given&) {}},
    {"hashpower", Takes::Value, nullptr,
     [](Settings& s, const Given& g) { s.accepted.hashpower_init = number<int>(g, 12, 32); },
     {{"hashpower_init", count<&Settings::Accepted::hashpower_init>}}},
    {"no_hashexpand", Takes::Nothing, nullptr, [](Settings&, const Given&) {}},
    {"hash_algorithm", Takes::Value, nullptr,
     [](Settings&, const Given& g) {
       if (g.value != "jenkins" && g.value != "murmur3" && g.value != "xxh3") {
         refuse(g, "jenkins, murmur3 or xxh3");
       }
     },
     {{"hash_algorithm", [](const Settings&) { return std::string("xxh3"); }}}},
    {"slab_reassign", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) { s.accepted.slab_reassign = true; },
     {{"slab_reassign", flag<&Settings::Accepted::slab_reassign>}}},
    {"no_slab_reassign", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) { s.accepted.slab_reassign = false; }},
    {"slab_automove", Takes::MaybeValue, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.slab_automove = g.value.empty() ? 1 : number<int>(g, 0, 2);
     },
     {{"slab_automove", count<&Settings::Accepted::slab_automove>}}},
    {"no_slab_automove", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) { s.accepted.slab_automove = 0; }},
    {"slab_automove_ratio", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.slab_automove_ratio = fraction(g);
       if (s.accepted.slab_automove_ratio <= 0 || s.accepted.slab_automove_ratio > 1) {
         refuse(g, "above 0 and at most 1");
       }
     },
     {{"slab_automove_ratio", fraction_of<&Settings::Accepted::slab_automove_ratio, 2>}}},
    {"slab_automove_window", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.slab_automove_window = number<unsigned>(g, 3, 1800);
     },
     {{"slab_automove_window", count<&Settings::Accepted::slab_automove_window>}}},
    {"slab_automove_freeratio", Takes::Value, nullptr,
     [](Settings& s, const Given& g) { s.accepted.slab_automove_freeratio = fraction(g); },
     {{"slab_automove_freeratio", fraction_of<&Settings::Accepted::slab_automove_freeratio, 3>}}},
    {"slab_chunk_max", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.slab_chunk_max_bytes = number<unsigned>(g, 1, 1024) << 10;
       s.accepted.slab_chunk_max_given = true;
     },
     {{"slab_chunk_max", count<&Settings::Accepted::slab_chunk_max_bytes>}}},
    {"slab_sizes", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       // Sizes with dashes between them; what they may be hangs on -n and slab_chunk_max, too.
       s.accepted.slab_sizes.clear();
       std::string_view rest = g.value;
       while (true) {
         const size_t dash = rest.find('-');
         s.accepted.slab_sizes.push_back(number<uint32_t>(
             {g.option, std::string(rest.substr(0, dash))}, 1, kMaxItemSizeMax, ExitCode::Usage));
         if (dash == std::string_view::npos) return;
         rest.remove_prefix(dash + 1);
       }
     }},
    {"no_chunked_items", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) { s.accepted.slab_chunk_max_bytes = kMemcachedPageBytes; }},
    {"tail_repair_time", Takes::Value, nullptr,
     [](Settings& s, const Given& g) { s.accepted.tail_repair_time = number<int>(g, 10, kAnyInt); },
     {{"tail_repair_time", count<&Settings::Accepted::tail_repair_time>}}},
    {"lru_crawler", Takes::Nothing, "free what has expired unasked (default)",
     [](Settings& s, const Given&) { s.accepted.lru_crawler = true; },
     {{"lru_crawler", flag<&Settings::Accepted::lru_crawler>}}},
    {"no_lru_crawler", Takes::Nothing,
     "leave what has expired until it is asked for, or its room is needed",
     [](Settings& s, const Given&) { s.accepted.lru_crawler = false; }},
    {"lru_crawler_sleep", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.lru_crawler_sleep_us = number<int>(g, 0, 1000000);
     },
     {{"lru_crawler_sleep", count<&Settings::Accepted::lru_crawler_sleep_us>}}},
    {"lru_crawler_tocrawl", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.lru_crawler_tocrawl = number<uint32_t>(g, 0, kAnyU32);
     },
     {{"lru_crawler_tocrawl", count<&Settings::Accepted::lru_crawler_tocrawl>}}},
    {"lru_maintainer", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) {
       s.accepted.lru_maintainer = true;
       s.accepted.lru_segmented = true;
     },
     {{"lru_maintainer_thread", flag<&Settings::Accepted::lru_maintainer>}, {"lru_segmented", flag<&Settings::Accepted::lru_segmented>}}},
    {"no_lru_maintainer", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) {
       s.accepted.lru_maintainer = false;
       s.accepted.lru_segmented = false;
     }},
    {"hot_lru_pct", Takes::Value, nullptr,
     [](Settings& s, const Given& g) { s.accepted.hot_lru_pct = number<int>(g, 1, 79); },
     {{"hot_lru_pct", count<&Settings::Accepted::hot_lru_pct>}}},
    {"warm_lru_pct", Takes::Value, nullptr,
     [](Settings& s, const Given& g) { s.accepted.warm_lru_pct = number<int>(g, 1, 79); },
     {{"warm_lru_pct", count<&Settings::Accepted::warm_lru_pct>}}},
    {"hot_max_factor", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.hot_max_factor = fraction(g);
       if (s.accepted.hot_max_factor <= 0) refuse(g, "above 0");
     },
     {{"hot_max_factor", fraction_of<&Settings::Accepted::hot_max_factor, 2>}}},
    {"warm_max_factor", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.warm_max_factor = fraction(g);
       if (s.accepted.warm_max_factor <= 0) refuse(g, "above 0");
     },
     {{"warm_max_factor", fraction_of<&Settings::Accepted::warm_max_factor, 2>}}},
    {"temporary_ttl", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.temp_lru = true;
       s.accepted.temporary_ttl = number<uint32_t>(g, 0, kAnyU32);
     },
     {{"temp_lru", flag<&Settings::Accepted::temp_lru>}, {"temporary_ttl", count<&Settings::Accepted::temporary_ttl>}}},
    {"watcher_logbuf_size", Takes::Value,
     "KiB of lines that wait for one client of \"watch\" (default: 256)",
     [](Settings& s, const Given& g) {
       s.watcher_logbuf_bytes = number<unsigned>(g, 0, kAnyU32 >> 10) << 10;
     },
     {{"watcher_logbuf_size", count<&Settings::watcher_logbuf_bytes>}}},
    {"worker_logbuf_size", Takes::Value,
     "KiB of events of one thread that wait to be shown by \"watch\" (default: 64)",
     [](Settings& s, const Given& g) {
       s.worker_logbuf_bytes = number<unsigned>(g, 0, kAnyU32 >> 10) << 10;
     },
     {{"worker_logbuf_size", count<&Settings::worker_logbuf_bytes>}}},
    {"inline_ascii_resp", Takes::Nothing, nullptr, [](Settings&, const Given&) {},
     {{"inline_ascii_response", [](const Settings&) { return yes_no(false); }}}},
    {"no_inline_ascii_resp", Takes::Nothing, nullptr, [](Settings&, const Given&) {}},
    {"resp_obj_mem_limit", Takes::MaybeValue, nullptr, [](Settings&, const Given&) {}},
    {"no_drop_privileges", Takes::Nothing, "", [](Settings&, const Given&) {}},
    {"sock_cookie_id", Takes::Value, nullptr,
     [](Settings&, const Given& g) { number<uint32_t>(g, 0, kAnyU32); }},
});

constexpr auto kNotOffered = std::to_array<NotOffered>({
    {"ext_", "items on disk (extstore) are"},
    {"proxy_", "the proxy is"},
    {"drop_privileges", "a system call filter is"},
    {"ssl_kernel_tls", "TLS in the kernel is"},
});

}  // namespace

std::span<const Option> options() noexcept { return kOptions; }
std::span<const PrintOption> print_options() noexcept { return kPrintOptions; }
std::span<const SubOption> sub_options() noexcept { return kSubOptions; }
std::span<const NotOffered> not_offered() noexcept { return kNotOffered; }

}  // namespace larder::daemon
