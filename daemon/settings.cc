#include "daemon/settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>

#include "core/item.h"

namespace larder::daemon {
namespace {

constexpr int kMaxThreads = 256;
constexpr uint32_t kMinItemSizeMax = 1u << 10;
constexpr uint32_t kMaxItemSizeMax = 1u << 30;
constexpr uint64_t kMaxMemoryMiB = uint64_t{1} << 20;  // 1 TiB, what an item reference can reach
constexpr double kMinGrowthFactor = 1.03;              // below it the classes do not suffice
constexpr int kMaxHotAndWarmPct = 80;
// Of memcached's slab classes, for options that are about them.
constexpr uint32_t kMemcachedPageBytes = 1u << 20;
constexpr uint32_t kMemcachedMinItemBytes = 48;
constexpr uint32_t kMemcachedAlignBytes = 8;
constexpr size_t kMostSlabSizes = 62;

// One option as it stands on the command line.
struct Given {
  std::string option;  // "-t" or "-o idle_timeout"
  std::string value;
};

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

// -- The table: every option once, with its help and what it does. ------------------------------

struct Option {
  const char* names;     // as CLI11 takes them; the first is what errors name
  const char* argument;  // null: a flag
  const char* help;      // null: not offered
  void (*apply)(Settings&, const Given&);
};

constexpr auto kOptions = std::to_array<Option>({
    {"-p,--port", "<num>",
     "TCP port to listen on, 0 for none, -1 for any that is free (default: 11211)",
     [](Settings& s, const Given& g) {
       s.port = number<int>(g, -1, 65535, ExitCode::Usage);
       s.port_given = true;
     }},
    {"-s,--unix-socket", "<file>", "unix socket to listen on; then TCP only if -p is given, too",
     [](Settings& s, const Given& g) { s.unix_socket = g.value; }},
    {"-a,--unix-mask", "<mask>", "access rights of the unix socket, octal (default: 700)",
     [](Settings& s, const Given& g) {
       const char* const end = g.value.data() + g.value.size();
       const auto [stop, error] = std::from_chars(g.value.data(), end, s.unix_mode, 8);
       if (error != std::errc{} || stop != end || s.unix_mode > 0777) {
         refuse(g, "an octal number up to 777", ExitCode::Usage);
       }
     }},
    {"-A,--enable-shutdown", nullptr, "allow the command \"shutdown\"",
     [](Settings& s, const Given&) { s.allow_shutdown = true; }},
    {"-l,--listen", "<addr>",
     "address to listen on, addr, addr:port or [v6]:port; several with commas or several -l "
     "(default: all). Before an address may stand what holds for it alone, in this order: notls:, "
     "btls: or mtls: (with -Z: plain text, no client certificates, none without), proto[ascii]:, proto[binary]: or proto[negotiating]: (instead of -B), tag[name]: or "
     "tag_name_: (of up to 8 characters, shown by -v)",
     add_listen_addresses},
    {"-d,--daemon", nullptr,
     "run in the background; returns once connections are accepted, or fails with the reason",
     [](Settings& s, const Given&) { s.daemonize = true; }},
    {"-r,--enable-coredumps", nullptr, "raise the limit on core files; stay in this directory",
     [](Settings& s, const Given&) { s.core_dumps = true; }},
    {"-u,--user", "<user>", "user to run as; required when started as root",
     [](Settings& s, const Given& g) { s.user = g.value; }},
    {"-m,--memory-limit", "<num>",
     "memory for items, their table and bookkeeping, in MiB (default: 64)",
     [](Settings& s, const Given& g) {
       s.memory_bytes = number<uint64_t>(g, 1, kMaxMemoryMiB, ExitCode::Usage) << 20;
     }},
    {"-M,--disable-evictions", nullptr, "when memory is full answer with an error, evict nothing",
     [](Settings& s, const Given&) { s.evict = false; }},
    {"-c,--conn-limit", "<num>", "most connections at a time (default: 1024)",
     [](Settings& s, const Given& g) { s.max_connections = number<int>(g, 1, kAnyInt); }},
    {"-k,--lock-memory", nullptr, "lock memory as it is used, so that it is never swapped out",
     [](Settings& s, const Given&) { s.lock_memory = true; }},
    {"-v,--verbose", nullptr, "say what happens on stderr; -vv and -vvv say more",
     [](Settings& s, const Given&) { ++s.verbosity; }},
    {"-P,--pidfile", "<file>", "write the process id there; removed at the end",
     [](Settings& s, const Given& g) { s.pid_file = g.value; }},
    {"-f,--slab-growth-factor", "<num>",
     "growth from one chunk size to the next, 1.03 at least (default: from -m, 1.05 for 64 MiB)",
     [](Settings& s, const Given& g) {
       s.growth_factor = fraction(g);
       if (s.growth_factor <= 1.0) refuse(g, "above 1");
       s.growth_factor = std::max(s.growth_factor, kMinGrowthFactor);
     }},
    {"-n,--slab-min-size", "<bytes>",
     "room for key, value and flags in the smallest chunk (default: 12)",
     [](Settings& s, const Given& g) { s.min_item_bytes = number<uint32_t>(g, 1, kAnyU32); }},
    {"-L,--enable-largepages", nullptr,
     "refuse to start if the kernel gives no huge pages (they are used where it does)",
     [](Settings& s, const Given&) { s.large_pages = true; }},
    {"-D", "<char>",
     "count by key prefix, which this ends, for stats detail (default: off, \":\" ends it)",
     [](Settings& s, const Given& g) {
       if (g.value.empty()) refuse(g, "a character");
       s.stats_prefix = g.value.substr(0, 1);
       s.stats_detail = true;
     }},
    {"-t,--threads", "<num>", "worker threads (default: 4)",
     [](Settings& s, const Given& g) { s.threads = number<int>(g, 1, kMaxThreads); }},
    {"-R,--max-reqs-per-event", "<num>",
     "requests of a connection before others get their turn (default: what takes 20 in memcached)",
     [](Settings& s, const Given& g) {
       s.requests_per_event = number<int>(g, 1, kAnyInt);
       s.requests_per_event_given = true;
     }},
    {"-C,--disable-cas", nullptr, "no CAS: every item's reads as 0",
     [](Settings& s, const Given&) { s.cas = false; }},
    {"-b,--listen-backlog", "<num>", "backlog of the listening sockets (default: 1024)",
     [](Settings& s, const Given& g) { s.backlog = number<int>(g, 1, kAnyInt); }},
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
     }},
    {"-I,--max-item-size", "<num>",
     "largest item in bytes, k, m or g may follow; 1k to 1g and at most half of -m (default: 1m)",
     [](Settings& s, const Given& g) { s.item_size_max = item_size(g); }},
    {"-S,--enable-sasl", nullptr,
     "let in whom SASL knows, as memcached.conf in SASL_CONF_PATH says; binary protocol only",
     [](Settings& s, const Given&) { s.sasl = true; }},
    {"-F,--disable-flush-all", nullptr, "refuse the command \"flush_all\"",
     [](Settings& s, const Given&) { s.allow_flush = false; }},
    {"-X,--disable-dumping", nullptr, "refuse \"stats cachedump\" and \"stats detail\"",
     [](Settings& s, const Given&) { s.allow_dumps = false; }},
    {"-W,--disable-watch", nullptr, "refuse the command \"watch\"",
     [](Settings& s, const Given&) { s.allow_watch = false; }},
    {"-Y,--auth-file", "<file>",
     "let in whose user:password is a line of the file, read again on SIGHUP; ascii protocol only",
     [](Settings& s, const Given& g) {
       if (g.value.empty()) refuse(g, "a file");
       s.auth_file = g.value;
     }},
    {"-U,--udp-port", "<num>",
     "UDP port to listen on, -1 for any that is free; TCP uses it, too, if -p is not given "
     "(default: 0, off)",
     [](Settings& s, const Given& g) {
       const bool negative = g.value.starts_with('-');  // as memcached, where binding fails
       s.udp_port = number<int>(g, -1, 65535, negative ? ExitCode::OsError : ExitCode::Usage);
     }},
    {"-N,--napi-ids", "<num>", nullptr,
     [](Settings&, const Given& g) {
       throw SettingsError(ExitCode::Usage, "option -N: choosing workers by NAPI id ('" + g.value +
                                                "') is not offered by larderd");
     }},
    {"-Z,--enable-ssl", nullptr,
     "TLS on all TCP listeners; needs -o ssl_chain_cert and -o ssl_key",
     [](Settings& s, const Given&) { s.tls.enabled = true; }},
    {"-o,--extended", "<list>", "further options with commas between them, see below",
     nullptr},  // kSubOptions
});

// -- What -o takes. -----------------------------------------------------------------------------

enum class Takes { Nothing, Value, MaybeValue };

struct SubOption {
  const char* name;
  Takes takes;
  const char* help;  // null: without effect here; "": as it is in any case, and not to be named
  void (*apply)(Settings&, const Given&);
};

constexpr auto kSubOptions = std::to_array<SubOption>({
    {"maxconns_fast", Takes::Nothing,
     "at the limit of -c answer new connections with an error (default)",
     [](Settings& s, const Given&) { s.maxconns_fast = true; }},
    {"no_maxconns_fast", Takes::Nothing, "at the limit of -c let new connections wait",
     [](Settings& s, const Given&) { s.maxconns_fast = false; }},
    {"idle_timeout", Takes::Value, "seconds after which a silent client is let go (default: 0, off)",
     [](Settings& s, const Given& g) { s.idle_timeout_seconds = number<int>(g, 0, kAnyInt); }},
    {"read_buf_mem_limit", Takes::Value,
     "MiB for replies that slow clients have not taken yet, of all connections (default: 64)",
     [](Settings& s, const Given& g) {
       const uint64_t mib = number<uint32_t>(g, 0, kAnyU32);
       if (mib != 0) s.buffer_limit_bytes = mib << 20;
     }},
    {"lru", Takes::Value,
     "what goes when room is needed: density (default: what is used least for its size) or plain "
     "(what was not used longest)",
     [](Settings& s, const Given& g) {
       if (g.value != "density" && g.value != "plain") refuse(g, "density or plain");
       s.eviction_order =
           g.value == "plain" ? core::EvictionOrder::Lru : core::EvictionOrder::Density;
     }},
    {"ssl_chain_cert", Takes::Value, "with -Z: file of the certificate and its chain, PEM",
     [](Settings& s, const Given& g) { s.tls.chain_cert = g.value; }},
    {"ssl_key", Takes::Value, "with -Z: file of the private key, without a passphrase",
     [](Settings& s, const Given& g) { s.tls.key = g.value; }},
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
     }},
    {"ssl_verify_mode", Takes::Value,
     "certificates of clients: 0 none (default), 1 asked for, 2 required, 3 likewise, once",
     [](Settings& s, const Given& g) { s.tls.verify_mode = number<int>(g, 0, 3); }},
    {"ssl_ciphers", Takes::Value, "with -Z: ciphers for TLS up to 1.2, as OpenSSL writes lists of them",
     [](Settings& s, const Given& g) { s.tls.ciphers = g.value; }},
    {"ssl_ca_cert", Takes::Value, "with -Z: file of those who sign certificates of clients, PEM",
     [](Settings& s, const Given& g) { s.tls.ca_cert = g.value; }},
    {"ssl_wbuf_size", Takes::Value,
     "KiB of short replies that are gathered to be encrypted together; above 16, what TLS takes "
     "at most, as 16 (default: 16)",
     [](Settings& s, const Given& g) {
       s.tls.write_buffer_bytes = number<uint32_t>(g, 1, kAnyU32 >> 10) << 10;
     }},
    {"ssl_session_cache", Takes::Nothing, "keep sessions, so that clients can resume them",
     [](Settings& s, const Given&) { s.tls.session_cache = true; }},
    {"ssl_min_version", Takes::Value,
     "oldest TLS that is spoken: 0 for 1.0, 1 for 1.1, 2 for 1.2 (default), 3 for 1.3",
     [](Settings& s, const Given& g) { s.tls.min_version = number<int>(g, 0, 3); }},
    {"track_sizes", Takes::Nothing, "let stats sizes walk the cache",
     [](Settings& s, const Given&) { s.track_sizes = true; }},
    {"relaxed_privileges", Takes::Nothing,
     "for tests: allow what a restricted process may not (nothing is restricted)",
     [](Settings& s, const Given&) { s.relaxed_privileges = true; }},
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
     [](Settings& s, const Given& g) { s.accepted.hashpower_init = number<int>(g, 12, 32); }},
    {"no_hashexpand", Takes::Nothing, nullptr, [](Settings&, const Given&) {}},
    {"hash_algorithm", Takes::Value, nullptr,
     [](Settings&, const Given& g) {
       if (g.value != "jenkins" && g.value != "murmur3" && g.value != "xxh3") {
         refuse(g, "jenkins, murmur3 or xxh3");
       }
     }},
    {"slab_reassign", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) { s.accepted.slab_reassign = true; }},
    {"no_slab_reassign", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) { s.accepted.slab_reassign = false; }},
    {"slab_automove", Takes::MaybeValue, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.slab_automove = g.value.empty() ? 1 : number<int>(g, 0, 2);
     }},
    {"no_slab_automove", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) { s.accepted.slab_automove = 0; }},
    {"slab_automove_ratio", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.slab_automove_ratio = fraction(g);
       if (s.accepted.slab_automove_ratio <= 0 || s.accepted.slab_automove_ratio > 1) {
         refuse(g, "above 0 and at most 1");
       }
     }},
    {"slab_automove_window", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.slab_automove_window = number<unsigned>(g, 3, 1800);
     }},
    {"slab_automove_freeratio", Takes::Value, nullptr,
     [](Settings& s, const Given& g) { s.accepted.slab_automove_freeratio = fraction(g); }},
    {"slab_chunk_max", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.slab_chunk_max_bytes = number<unsigned>(g, 1, 1024) << 10;
       s.accepted.slab_chunk_max_given = true;
     }},
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
     [](Settings& s, const Given& g) { s.accepted.tail_repair_time = number<int>(g, 10, kAnyInt); }},
    {"lru_crawler", Takes::Nothing, "free what has expired unasked (default)",
     [](Settings& s, const Given&) { s.accepted.lru_crawler = true; }},
    {"no_lru_crawler", Takes::Nothing,
     "leave what has expired until it is asked for, or its room is needed",
     [](Settings& s, const Given&) { s.accepted.lru_crawler = false; }},
    {"lru_crawler_sleep", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.lru_crawler_sleep_us = number<int>(g, 0, 1000000);
     }},
    {"lru_crawler_tocrawl", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.lru_crawler_tocrawl = number<uint32_t>(g, 0, kAnyU32);
     }},
    {"lru_maintainer", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) {
       s.accepted.lru_maintainer = true;
       s.accepted.lru_segmented = true;
     }},
    {"no_lru_maintainer", Takes::Nothing, nullptr,
     [](Settings& s, const Given&) {
       s.accepted.lru_maintainer = false;
       s.accepted.lru_segmented = false;
     }},
    {"hot_lru_pct", Takes::Value, nullptr,
     [](Settings& s, const Given& g) { s.accepted.hot_lru_pct = number<int>(g, 1, 79); }},
    {"warm_lru_pct", Takes::Value, nullptr,
     [](Settings& s, const Given& g) { s.accepted.warm_lru_pct = number<int>(g, 1, 79); }},
    {"hot_max_factor", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.hot_max_factor = fraction(g);
       if (s.accepted.hot_max_factor <= 0) refuse(g, "above 0");
     }},
    {"warm_max_factor", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.warm_max_factor = fraction(g);
       if (s.accepted.warm_max_factor <= 0) refuse(g, "above 0");
     }},
    {"temporary_ttl", Takes::Value, nullptr,
     [](Settings& s, const Given& g) {
       s.accepted.temp_lru = true;
       s.accepted.temporary_ttl = number<uint32_t>(g, 0, kAnyU32);
     }},
    {"watcher_logbuf_size", Takes::Value,
     "KiB of lines that wait for one client of \"watch\" (default: 256)",
     [](Settings& s, const Given& g) {
       s.watcher_logbuf_bytes = number<unsigned>(g, 0, kAnyU32 >> 10) << 10;
     }},
    {"worker_logbuf_size", Takes::Value,
     "KiB of events of one thread that wait to be shown by \"watch\" (default: 64)",
     [](Settings& s, const Given& g) {
       s.worker_logbuf_bytes = number<unsigned>(g, 0, kAnyU32 >> 10) << 10;
     }},
    {"inline_ascii_resp", Takes::Nothing, nullptr, [](Settings&, const Given&) {}},
    {"no_inline_ascii_resp", Takes::Nothing, nullptr, [](Settings&, const Given&) {}},
    {"resp_obj_mem_limit", Takes::MaybeValue, nullptr, [](Settings&, const Given&) {}},
    {"no_drop_privileges", Takes::Nothing, "", [](Settings&, const Given&) {}},
    {"sock_cookie_id", Takes::Value, nullptr,
     [](Settings&, const Given& g) { number<uint32_t>(g, 0, kAnyU32); }},
});

// What a setup cannot do without if it asks for it, and will not get here: it must not start. The
// help does not name them, since scripts look there for what a server can do.
struct NotOffered {
  std::string_view name;  // or how the names begin, with an underscore at the end
  const char* what;
};

constexpr auto kNotOffered = std::to_array<NotOffered>({
    {"ext_", "items on disk (extstore) are"},
    {"proxy_", "the proxy is"},
    {"drop_privileges", "a system call filter is"},
    {"ssl_kernel_tls", "TLS in the kernel is"},
});

void refuse_what_is_not_offered(std::string_view name) {
  for (const NotOffered& feature : kNotOffered) {
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
  for (const SubOption& option : kSubOptions) {
    if (option.name != name) continue;
    if (option.takes == Takes::Value && given.value.empty()) {
      throw SettingsError(ExitCode::Failure, "option " + given.option + ": a value is missing");
    }
    option.apply(settings, given);
    if (option.help == nullptr) settings.without_effect.emplace_back(text);
    return;
  }
  refuse_what_is_not_offered(name);
  throw SettingsError(ExitCode::Failure, "option -o: '" + std::string(text) + "' is not known");
}

void apply_sub_options(Settings& settings, std::string_view list) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    apply_sub_option(settings, list.substr(0, comma));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
}

// -- Help and version. --------------------------------------------------------------------------

void append_wrapped(std::string& out, std::string_view left, std::string_view text) {
  constexpr size_t kIndent = 30;
  constexpr size_t kWidth = 96;
  out += left;
  size_t column = left.size();
  if (column >= kIndent) {
    out += '\n';
    column = 0;
  }
  out.append(kIndent - column, ' ');
  column = kIndent;
  bool first = true;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (!first && column + 1 + word.size() > kWidth) {
      out += '\n';
      out.append(kIndent, ' ');
      column = kIndent;
      first = true;
    }
    if (!first) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    first = false;
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  out += '\n';
}

std::string version_text(std::string_view invoked_as) {
  const std::string_view name = invoked_as.substr(invoked_as.rfind('/') + 1);
  // Scripts and clients' tests ask the program called memcached for its version and parse it.
  if (name == "memcached" || name == "memcached-debug") return "memcached 1.6.45\n";
  return "larderd " LARDER_VERSION " (speaks as memcached 1.6.45)\n";
}

std::string help_text() {
  std::string out = "larderd " LARDER_VERSION "\n";
  for (const Option& option : kOptions) {
    if (option.help == nullptr) continue;
    const std::string_view names = option.names;
    const size_t comma = names.find(',');
    std::string left(names.substr(0, comma));
    if (comma != std::string_view::npos) {
      left += ", ";
      left += names.substr(comma + 1);
    }
    if (option.argument != nullptr) {
      left += comma != std::string_view::npos ? '=' : ' ';
      left += option.argument;
    }
    append_wrapped(out, left, option.help);
  }
  append_wrapped(out, "-h, --help", "print this and exit");
  append_wrapped(out, "-i, --license", "print the licence and exit");
  append_wrapped(out, "-V, --version", "print the version and exit");
  out += "\nWith -o:\n";
  std::string others;
  for (const SubOption& option : kSubOptions) {
    if (option.help == nullptr) {
      others += others.empty() ? "" : " ";
      others += option.name;
      continue;
    }
    if (*option.help == '\0') continue;
    std::string left = std::string("   - ") + option.name;
    if (option.takes == Takes::Value) left += "=<value>";
    append_wrapped(out, left, option.help);
  }
  out += "\nAlso accepted with -o, checked, and without effect, since they are about parts that\n";
  out += "larderd does not have:\n";
  append_wrapped(out, "", others);
  return out;
}

std::string license_text() {
  return "larderd is free software under the BSD 3-Clause License; its text is in the file "
         "LICENSE\n"
         "of the source and beside the program's documentation. It uses libevent (3-Clause BSD),\n"
         "CLI11 (3-Clause BSD), xxHash (2-Clause BSD), OpenSSL (Apache License 2.0) and Cyrus "
         "SASL\n"
         "(BSD with attribution), which is developed by Computing Services at Carnegie Mellon\n"
         "University.\n";
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

void check_together(const Settings& settings, uint64_t machine_memory_bytes) {
  if (settings.memory_bytes > machine_memory_bytes) {
    throw SettingsError(ExitCode::Usage, "option -m: " + mebibytes(settings.memory_bytes) +
                                             " MiB are more than this machine's " +
                                             mebibytes(machine_memory_bytes) + " MiB");
  }
  if (settings.item_size_max > settings.memory_bytes / 2) {
    throw SettingsError(ExitCode::Usage, "option -I: " + std::to_string(settings.item_size_max) +
                                             " bytes are more than half of -m " +
                                             mebibytes(settings.memory_bytes));
  }
  if (settings.sasl && !settings.auth_file.empty()) {
    throw SettingsError(ExitCode::Usage, "option -S: SASL is for the binary protocol and -Y '" +
                                             settings.auth_file + "' for ascii; one of them only");
  }
  if (settings.sasl && settings.protocol != Settings::Protocol::Binary) {
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

// As with getopt_long, a long option may be cut short where that leaves no doubt.
std::string in_full(const std::string& word) {
  if (!word.starts_with("--") || word.size() == 2) return word;
  const size_t equals = std::min(word.find('='), word.size());
  const std::string_view given = std::string_view(word).substr(0, equals);
  std::vector<std::string_view> names = {"--help", "--license", "--version"};
  for (const Option& option : kOptions) {
    const std::string_view both = option.names;
    if (const size_t comma = both.find(','); comma != std::string_view::npos) {
      names.push_back(both.substr(comma + 1));
    }
  }
  std::erase_if(names, [&](std::string_view name) { return !name.starts_with(given); });
  const bool whole = std::find(names.begin(), names.end(), given) != names.end();
  return whole || names.size() != 1 ? word : std::string(names.front()) + word.substr(equals);
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv, uint64_t machine_memory_bytes) {
  CLI::App app;
  app.set_help_flag();  // ours is one of three that print and exit
  app.allow_extras();   // so that what is wrong can be said in our words
  bool help = false;
  bool license = false;
  bool version = false;
  app.add_flag("-h,--help", help);
  app.add_flag("-i,--license", license);
  app.add_flag("-V,--version", version);

  // CLI11 finds the words; their meaning is in the table. As with getopt, an option may be given
  // again, and then the last one counts unless it adds up.
  std::array<std::vector<std::string>, kOptions.size()> values;
  std::array<int, kOptions.size()> flags{};
  for (size_t i = 0; i < kOptions.size(); ++i) {
    if (kOptions[i].argument == nullptr) {
      app.add_flag(kOptions[i].names, flags[i]);
    } else {
      app.add_option(kOptions[i].names, values[i])
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
          ->allow_extra_args(false);
    }
  }
  std::vector<std::string> words;
  for (int i = argc - 1; i > 0; --i) words.push_back(in_full(argv[i]));  // CLI11 takes the last
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    // Only a value can be missing; CLI11 says "--threads: 1 required TEXT missing".
    const std::string what = error.what();
    throw SettingsError(ExitCode::Failure,
                        "option " + what.substr(0, what.find(':')) + ": a value is missing");
  }

  CommandLine line;
  if (help) line.print = help_text();
  if (license) line.print = license_text();
  if (version) line.print = version_text(argc > 0 ? argv[0] : "");
  if (line.print) return line;

  const std::vector<std::string> extras = app.remaining();
  if (!extras.empty()) {
    const bool option = extras.front().starts_with('-');
    throw SettingsError(ExitCode::Failure, (option ? "unknown option '" : "unexpected argument '") +
                                               extras.front() + "'");
  }
  for (size_t i = 0; i < kOptions.size(); ++i) {
    const std::string_view names = kOptions[i].names;
    const std::string name(names.substr(0, names.find(',')));
    for (int n = 0; n < flags[i]; ++n) kOptions[i].apply(line.settings, {name, ""});
    for (std::string value : values[i]) {
      value.erase(0, value.find_first_not_of(" \t"));
      if (kOptions[i].apply == nullptr) {
        apply_sub_options(line.settings, value);
      } else {
        kOptions[i].apply(line.settings, {name, value});
      }
    }
  }
  if (line.settings.udp_port != 0 && !line.settings.port_given) {
    line.settings.port = line.settings.udp_port;
  }
  choose_protocol(line.settings);
  check_together(line.settings, machine_memory_bytes);
  const Settings::Tls& tls = line.settings.tls;
  if (!tls.enabled && !(tls.chain_cert.empty() && tls.key.empty())) {
    line.settings.without_effect.emplace_back("ssl_chain_cert without -Z");
  }
  return line;
}

int workers_per_udp_address(const Settings& settings) noexcept {
  return settings.listen.size() > 1 ? 1 : settings.threads;
}

core::CacheConfig cache_config(const Settings& settings) {
  core::CacheConfig config;
  config.memory_bytes = settings.memory_bytes;
  config.item_size_max = settings.item_size_max;
  config.workers = static_cast<uint32_t>(settings.threads);
  config.growth_factor = settings.growth_factor;
  if (settings.min_item_bytes != 0) {
    config.min_chunk_bytes = core::Item::kHeaderBytes + settings.min_item_bytes;
  }
  config.evict = settings.evict;
  config.order = settings.eviction_order;
  config.background_expiry = settings.accepted.lru_crawler;
  config.cas = settings.cas;
  return config;
}

}  // namespace larder::daemon
