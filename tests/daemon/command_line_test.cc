#include "daemon/command_line.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/item.h"
#include "daemon/options.h"
#include "tests/support/temp_folder.h"

namespace larder::daemon {
namespace {

constexpr uint64_t kMachineBytes = uint64_t{16} << 30;

CommandLine parse_as(const std::string& program, const std::vector<std::string>& words,
                     const MachineMemory& memory = {.bytes = kMachineBytes}) {
  std::vector<const char*> argv = {program.c_str()};
  for (const std::string& word : words) argv.push_back(word.c_str());
  return parse_command_line(static_cast<int>(argv.size()), argv.data(), memory);
}

Settings parse(const std::vector<std::string>& words) {
  const CommandLine line = parse_as("larderd", words);
  REQUIRE_FALSE(line.print);
  return line.settings;
}

struct Refusal {
  int exit_code;
  std::string sentence;
};

Refusal refusal(const std::vector<std::string>& words) {
  try {
    parse_as("larderd", words);
  } catch (const SettingsError& error) {
    return {error.exit_code, error.what()};
  }
  return {0, "accepted"};
}

TEST_CASE("without options everything has memcached's default") {
  const Settings s = parse({});
  CHECK(s.port == 11211);
  CHECK_FALSE(s.port_given);
  CHECK(s.listen.empty());
  CHECK(s.unix_socket.empty());
  CHECK(s.unix_mode == 0700);
  CHECK(s.backlog == 1024);
  CHECK(s.max_connections == 1024);
  CHECK(s.maxconns_fast);
  CHECK(s.idle_timeout_seconds == 0);
  CHECK(s.protocol == Settings::Protocol::Auto);
  CHECK(s.threads == 4);
  CHECK(s.requests_per_event == 20);
  CHECK_FALSE(s.requests_per_event_given);
  CHECK(s.memory_bytes == uint64_t{64} << 20);
  CHECK(s.item_size_max == 1u << 20);
  CHECK(s.evict);
  CHECK(s.cas);
  CHECK(s.allow_flush);
  CHECK_FALSE(s.allow_shutdown);
  CHECK_FALSE(s.daemonize);
  CHECK_FALSE(s.lock_memory);
  CHECK_FALSE(s.large_pages);
  CHECK_FALSE(s.core_dumps);
  CHECK_FALSE(s.track_sizes);
  CHECK(s.verbosity == 0);
  CHECK(s.stats_prefix == ":");
  CHECK(s.accepted.lru_crawler);
  CHECK(s.accepted.lru_maintainer);
  CHECK(s.accepted.slab_reassign);
  CHECK(s.remarks.empty());
}

TEST_CASE("every option is understood by its letter and by its name") {
  struct Row {
    std::vector<std::string> letter;
    std::vector<std::string> name;
    bool (*holds)(const Settings&);
  };
  const std::vector<Row> rows = {
      {{"-p", "5"}, {"--port=5"}, [](const Settings& s) { return s.port == 5 && s.port_given; }},
      {{"-p", "-1"}, {"--port", "-1"}, [](const Settings& s) { return s.port == -1; }},
      {{"-p0"}, {"--port=0"}, [](const Settings& s) { return s.port == 0; }},
      {{"-s", "/tmp/x"},
       {"--unix-socket=/tmp/x"},
       [](const Settings& s) { return s.unix_socket == "/tmp/x"; }},
      {{"-a", "0770"}, {"--unix-mask=770"}, [](const Settings& s) { return s.unix_mode == 0770; }},
      {{"-S"},
       {"--enable-sasl"},
       [](const Settings& s) { return s.sasl && s.protocol == Settings::Protocol::Binary; }},
      {{"-Y", "users"},
       {"--auth-file=users"},
       [](const Settings& s) {
         return s.auth_file == "users" && s.protocol == Settings::Protocol::Ascii;
       }},
      {{"-A"}, {"--enable-shutdown"}, [](const Settings& s) { return s.allow_shutdown; }},
      {{"-l", "127.0.0.1"},
       {"--listen=127.0.0.1"},
       [](const Settings& s) { return s.listen == std::vector<std::string>{"127.0.0.1"}; }},
      {{"-d"}, {"--daemon"}, [](const Settings& s) { return s.daemonize; }},
      {{"-r"}, {"--enable-coredumps"}, [](const Settings& s) { return s.core_dumps; }},
      {{"-u", "nobody"}, {"--user=nobody"}, [](const Settings& s) { return s.user == "nobody"; }},
      {{"-m", "128"},
       {"--memory-limit=128"},
       [](const Settings& s) { return s.memory_bytes == uint64_t{128} << 20; }},
      {{"-M"}, {"--disable-evictions"}, [](const Settings& s) { return !s.evict; }},
      {{"-c", "9"}, {"--conn-limit=9"}, [](const Settings& s) { return s.max_connections == 9; }},
      {{"-k"}, {"--lock-memory"}, [](const Settings& s) { return s.lock_memory; }},
      {{"-v"}, {"--verbose"}, [](const Settings& s) { return s.verbosity == 1; }},
      {{"-vv"}, {"-v", "--verbose"}, [](const Settings& s) { return s.verbosity == 2; }},
      {{"-vvv"}, {"-vv", "-v"}, [](const Settings& s) { return s.verbosity == 3; }},
      {{"-P", "/x/pid"},
       {"--pidfile=/x/pid"},
       [](const Settings& s) { return s.pid_file == "/x/pid"; }},
      {{"-f", "1.25"},
       {"--slab-growth-factor=1.25"},
       [](const Settings& s) { return s.growth_factor == 1.25; }},
      {{"-f", "1.001"},
       {"--slab-growth-factor=1.03"},
       [](const Settings& s) { return s.growth_factor == 1.03; }},
      {{"-n", "48"},
       {"--slab-min-size=48"},
       [](const Settings& s) { return s.min_item_bytes == 48; }},
      {{"-e", "/dev/shm/x"},
       {"--memory-file=/dev/shm/x"},
       [](const Settings& s) { return s.memory_file == "/dev/shm/x"; }},
      {{"-L"}, {"--enable-largepages"}, [](const Settings& s) { return s.large_pages; }},
      {{"-D", "."}, {"-D", ".:"}, [](const Settings& s) { return s.stats_prefix == "."; }},
      {{"-t", "2"}, {"--threads=2"}, [](const Settings& s) { return s.threads == 2; }},
      {{"-R", "7"},
       {"--max-reqs-per-event=7"},
       [](const Settings& s) { return s.requests_per_event == 7 && s.requests_per_event_given; }},
      {{"-C"}, {"--disable-cas"}, [](const Settings& s) { return !s.cas; }},
      {{"-b", "8675"},
       {"--listen-backlog=8675"},
       [](const Settings& s) { return s.backlog == 8675; }},
      {{"-B", "auto"},
       {"--protocol=auto"},
       [](const Settings& s) { return s.protocol == Settings::Protocol::Auto; }},
      {{"-B", "ascii"},
       {"--protocol=ascii"},
       [](const Settings& s) { return s.protocol == Settings::Protocol::Ascii; }},
      {{"-B", "binary"},
       {"--protocol=binary"},
       [](const Settings& s) { return s.protocol == Settings::Protocol::Binary; }},
      {{"-I", "2048"},
       {"--max-item-size=2k"},
       [](const Settings& s) { return s.item_size_max == 2048; }},
      {{"-I", "2M"}, {"-I", "2m"}, [](const Settings& s) { return s.item_size_max == 2u << 20; }},
      {{"-m", "2048", "-I", "1g"},
       {"-m", "2048", "-I", "1024m"},
       [](const Settings& s) { return s.item_size_max == 1u << 30; }},
      {{"-F"}, {"--disable-flush-all"}, [](const Settings& s) { return !s.allow_flush; }},
      {{"-U", "0"},
       {"--udp-port=0"},
       [](const Settings& s) { return s.port == 11211 && s.udp_port == 0; }},
      {{"-U", "5"},
       {"--udp-port=5"},
       [](const Settings& s) { return s.port == 5 && !s.port_given && s.udp_port == 5; }},
      {{"-U", "-1", "-p", "0"},
       {"-p", "0", "--udp-port=-1"},
       [](const Settings& s) { return s.port == 0 && s.udp_port == -1; }},
      {{"-o", "lru=plain"},
       {"--extended=lru=plain"},
       [](const Settings& s) { return s.eviction_order == larder::core::EvictionOrder::Lru; }},
      {{"-o", "idle_timeout=5"},
       {"--extended=idle_timeout=5"},
       [](const Settings& s) { return s.idle_timeout_seconds == 5; }},
  };
  for (const Row& row : rows) {
    INFO(row.letter[0] << " and " << row.name[0]);
    CHECK(row.holds(parse(row.letter)));
    CHECK(row.holds(parse(row.name)));
    CHECK_FALSE((row.holds(parse({})) && row.letter[0] != "-B" && row.letter[0] != "-U"));
  }
}

TEST_CASE("addresses may be many, in one -l or in several, each once") {
  CHECK(parse({"-l", "127.0.0.1,[::1]:22", "-l", "[::1]", "-l", "127.0.0.1"}).listen ==
        std::vector<std::string>{"127.0.0.1", "[::1]:22", "[::1]"});
  CHECK(parse({"-l", ";127.0.0.1,,[::1];"}).listen ==
        std::vector<std::string>{"127.0.0.1", "[::1]"});
}

TEST_CASE("TLS is off; with -Z its options have memcached's defaults and meanings") {
  CHECK(!parse({}).tls.enabled);
  const Settings::Tls plain = parse({"-Z", "-o", "ssl_chain_cert=c,ssl_key=k"}).tls;
  CHECK(plain.enabled);
  CHECK(plain.chain_cert == "c");
  CHECK(plain.key == "k");
  CHECK(plain.key_format == 1);
  CHECK(plain.verify_flags() == 0);
  CHECK(plain.ciphers.empty());
  CHECK(plain.ca_cert.empty());
  CHECK(plain.write_buffer_bytes == 16384);
  CHECK(!plain.session_cache);
  CHECK(plain.min_version == 2);

  const Settings::Tls all =
      parse({"--enable-ssl", "-o", "ssl_chain_cert=/c.pem", "-o", "ssl_key=/k.der", "-o",
             "ssl_keyformat=2,ssl_verify_mode=3,ssl_ciphers=AES256-SHA:!MD5,ssl_ca_cert=/ca.pem,"
             "ssl_wbuf_size=64,ssl_session_cache,ssl_min_version=3"})
          .tls;
  CHECK(all.key_format == 2);
  CHECK(all.verify_flags() == 7);
  CHECK(all.ciphers == "AES256-SHA:!MD5");
  CHECK(all.ca_cert == "/ca.pem");
  CHECK(all.write_buffer_bytes == 65536);
  CHECK(all.session_cache);
  CHECK(all.min_version == 3);
  CHECK(parse({"-o", "ssl_chain_cert=c", "-o", "idle_timeout=3,ssl_session_cache"}).remarks ==
        std::vector<std::string>{"option -o ssl_chain_cert=c has no effect without -Z",
                                 "option -o ssl_session_cache has no effect without -Z"});
  CHECK(parse({"-o", "ssl_keyformat=DER"}).tls.key_format == 2);
  CHECK(parse({"-o", "ssl_keyformat=PEM"}).tls.key_format == 1);
  CHECK(parse({"-o", "ssl_verify_mode=1"}).tls.verify_flags() == 1);
  CHECK(parse({"-o", "ssl_verify_mode=2"}).tls.verify_flags() == 3);
}

TEST_CASE("an option given again counts as given last") {
  CHECK(parse({"-t", "2", "-t", "3"}).threads == 3);
  CHECK(parse({"-B", "binary", "-B", "ascii"}).protocol == Settings::Protocol::Ascii);
}

TEST_CASE("flags may stand together and values directly behind their letter") {
  const Settings s = parse({"-vMk", "-m128", "-t2"});
  CHECK(s.verbosity == 1);
  CHECK_FALSE(s.evict);
  CHECK(s.lock_memory);
  CHECK(s.memory_bytes == uint64_t{128} << 20);
  CHECK(s.threads == 2);
}

TEST_CASE("-o takes a list, also with an empty end, also several times") {
  const Settings s = parse({"-o", "no_maxconns_fast,idle_timeout=9,", "-o", "track_sizes", "-o",
                            "relaxed_privileges,read_buf_mem_limit=3"});
  CHECK_FALSE(s.maxconns_fast);
  CHECK(s.idle_timeout_seconds == 9);
  CHECK(s.track_sizes);
  CHECK(s.relaxed_privileges);
  CHECK(s.buffer_limit_bytes == 3u << 20);
  CHECK(s.remarks.empty());
  CHECK(parse({"-o", "no_maxconns_fast,maxconns_fast"}).maxconns_fast);
  CHECK(parse({"-o", "read_buf_mem_limit=0"}).buffer_limit_bytes == Settings{}.buffer_limit_bytes);
}

TEST_CASE(
    "options for memcached's engine are checked, kept for stats, and noted as without effect") {
  const Settings s = parse(
      {"-o",
       "modern,hashpower=20,no_hashexpand,hash_algorithm=murmur3,slab_reassign,slab_automove=2,"
       "slab_automove_ratio=0.5,slab_automove_window=30,slab_automove_freeratio=0.02,"
       "no_chunked_items,slab_chunk_max=16,slab_sizes=100-200-300,tail_repair_time=11,"
       "no_lru_crawler,lru_crawler_sleep=5,lru_crawler_tocrawl=6,hot_lru_pct=10,warm_lru_pct=70,"
       "hot_max_factor=0.3,warm_max_factor=3,temporary_ttl=9,watcher_logbuf_size=8,"
       "worker_logbuf_size=16,inline_ascii_resp,no_inline_ascii_resp,resp_obj_mem_limit=5"});
  CHECK(s.remarks.size() == 23);
  CHECK(s.remarks.front() == "option -o modern has no effect here");
  CHECK(s.remarks[1] == "option -o hashpower=20 has no effect here");
  const Settings::Accepted& a = s.accepted;
  CHECK(a.hashpower_init == 20);
  CHECK(a.slab_automove == 2);
  CHECK(a.slab_automove_ratio == 0.5);
  CHECK(a.slab_automove_window == 30);
  CHECK(a.slab_chunk_max_bytes == 16384);
  CHECK_FALSE(a.lru_crawler);
  CHECK(a.lru_crawler_sleep_us == 5);
  CHECK(a.lru_crawler_tocrawl == 6);
  CHECK(a.hot_lru_pct == 10);
  CHECK(a.warm_lru_pct == 70);
  CHECK(a.temp_lru);
  CHECK(a.temporary_ttl == 9);
  CHECK(a.tail_repair_time == 11);
  CHECK(s.watcher_logbuf_bytes == 8192);
  CHECK(s.worker_logbuf_bytes == 16384);

  CHECK(parse({"-o", "slab_automove"}).accepted.slab_automove == 1);
  CHECK(parse({"-o", "no_slab_automove"}).accepted.slab_automove == 0);
  CHECK_FALSE(parse({"-o", "no_slab_reassign"}).accepted.slab_reassign);
  const Settings flat = parse({"-o", "no_lru_maintainer"});
  CHECK_FALSE(flat.accepted.lru_maintainer);
  CHECK_FALSE(flat.accepted.lru_segmented);
  CHECK(parse({"-o", "no_lru_maintainer,lru_maintainer"}).accepted.lru_segmented);

  const Settings old = parse({"-o", "no_modern"});
  CHECK_FALSE(old.maxconns_fast);
  CHECK_FALSE(old.accepted.lru_maintainer);
  CHECK_FALSE(old.accepted.slab_reassign);
  CHECK(old.remarks.empty());
}

TEST_CASE("what is wrong is said in one sentence that names option and value") {
  struct Row {
    std::vector<std::string> words;
    int exit_code;
    std::string sentence;
  };
  const auto kNoMemory = [](const std::string& value) {
    return "option -m: '" + value +
           "' is not a number from 1 to 1048576, a share from 1% to 100%, or auto";
  };
  const std::vector<Row> rows = {
      {{"-q"}, 1, "unknown option '-q'"},
      {{"--foo"}, 1, "unknown option '--foo'"},
      {{"--foo=3"}, 1, "unknown option '--foo=3'"},
      {{"-t"}, 1, "option --threads: a value is missing"},
      {{"-t", "0"}, 1, "option -t: '0' is not a number from 1 to 256"},
      {{"-t", "-1"}, 1, "option -t: '-1' is not a number from 1 to 256"},
      {{"-t", "4x"}, 1, "option -t: '4x' is not a number from 1 to 256"},
      {{"-t", ""}, 1, "option -t: '' is not a number from 1 to 256"},
      {{"-c", "0"}, 1, "option -c: '0' is not a number of 1 or more"},
      {{"-c", "-1"}, 1, "option -c: '-1' is not a number of 1 or more"},
      {{"-c", "99999999999"}, 1, "option -c: '99999999999' is not a number of 1 or more"},
      {{"-R", "0"}, 1, "option -R: '0' is not a number of 1 or more"},
      {{"-b", "many"}, 1, "option -b: 'many' is not a number of 0 or more"},
      {{"-n", "0"}, 1, "option -n: '0' is not a number of 1 or more"},
      {{"-f", "1"}, 1, "option -f: '1' is not above 1"},
      {{"-f", "x"}, 1, "option -f: 'x' is not a number"},
      {{"-f", "nan"}, 1, "option -f: 'nan' is not a number"},
      {{"-f", "inf"}, 1, "option -f: 'inf' is not a number"},
      {{"-p", "65536"}, 64, "option -p: '65536' is not a number from -1 to 65535"},
      {{"-p", "http"}, 64, "option -p: 'http' is not a number from -1 to 65535"},
      {{"-a", "888"}, 64, "option -a: '888' is not an octal number up to 777"},
      {{"-a", "1777"}, 64, "option -a: '1777' is not an octal number up to 777"},
      {{"-B", "http"}, 64, "option -B: 'http' is not auto, ascii or binary"},
      {{"-U", "65536"}, 64, "option -U: '65536' is not a number from -1 to 65535"},
      {{"-U", "udp"}, 64, "option -U: 'udp' is not a number from -1 to 65535"},
      {{"-U", "-2"}, 71, "option -U: '-2' is not a number from -1 to 65535"},
      {{"-D", ""}, 1, "option -D: '' is not a character"},
      {{"-l", ""}, 1, "option -l: '' is not a list of addresses"},
      {{"-l", ",;"}, 1, "option -l: ',;' is not a list of addresses"},
      {{"-m", "0"}, 64, kNoMemory("0")},
      {{"-m", "lots"}, 64, kNoMemory("lots")},
      {{"-m", "0%"}, 64, kNoMemory("0%")},
      {{"-m", "101%"}, 64, kNoMemory("101%")},
      {{"-m", "%"}, 64, kNoMemory("%")},
      {{"-m", "5 %"}, 64, kNoMemory("5 %")},
      {{"--config=/no/such/file"},
       64,
       "option --config: cannot read '/no/such/file': No such file or directory"},
      {{"-m", "20000"}, 64, "option -m: 20000 MiB are more than this machine's 16384 MiB"},
      {{"-I", "1000"},
       64,
       "option -I: '1000' is not a size from 1k to 1g (bytes, or with k, m or g behind)"},
      {{"-I", "m"},
       64,
       "option -I: 'm' is not a size from 1k to 1g (bytes, or with k, m or g behind)"},
      {{"-I", ""},
       64,
       "option -I: '' is not a size from 1k to 1g (bytes, or with k, m or g behind)"},
      {{"-I", "2g"},
       64,
       "option -I: '2g' is not a size from 1k to 1g (bytes, or with k, m or g behind)"},
      {{"-I", "99999999999999999999g"},
       64,
       "option -I: '99999999999999999999g' is not a size from 1k to 1g (bytes, or with k, m or g "
       "behind)"},
      {{"-I", "33m"}, 64, "option -I: 34603008 bytes are more than half of -m 64"},
      {{"-o", "foo"}, 1, "option -o: 'foo' is not known"},
      {{"-o", "foo=bar"}, 1, "option -o: 'foo=bar' is not known"},
      {{"-o", "modern,,modern"}, 1, "option -o: '' is not known"},
      {{"-o", "ext_path=/x:1g"},
       64,
       "option -o ext_path: items on disk (extstore) are not offered by larderd"},
      {{"-o", "proxy_config=x"}, 64, "option -o proxy_config: the proxy is not offered by larderd"},
      {{"-o", "drop_privileges"},
       64,
       "option -o drop_privileges: a system call filter is not offered by larderd"},
      {{"-o", "ssl_kernel_tls"},
       64,
       "option -o ssl_kernel_tls: TLS in the kernel is not offered by larderd"},
      {{"-N", "2"}, 64, "option -N: choosing workers by NAPI id ('2') is not offered by larderd"},
      {{"-o", "idle_timeout"}, 1, "option -o idle_timeout: a value is missing"},
      {{"-o", "idle_timeout=soon"},
       1,
       "option -o idle_timeout: 'soon' is not a number of 0 or more"},
      {{"-o", "hashpower"}, 1, "option -o hashpower: a value is missing"},
      {{"-o", "hashpower=11"}, 1, "option -o hashpower: '11' is not a number from 12 to 32"},
      {{"-o", "hash_algorithm=md5"},
       1,
       "option -o hash_algorithm: 'md5' is not jenkins, murmur3 or xxh3"},
      {{"-o", "slab_automove=3"}, 1, "option -o slab_automove: '3' is not a number from 0 to 2"},
      {{"-o", "slab_automove_ratio=1.5"},
       1,
       "option -o slab_automove_ratio: '1.5' is not above 0 and at most 1"},
      {{"-o", "slab_automove_window=2"},
       1,
       "option -o slab_automove_window: '2' is not a number from 3 to 1800"},
      {{"-o", "slab_chunk_max=1025"},
       1,
       "option -o slab_chunk_max: '1025' is not a number from 1 to 1024"},
      {{"-o", "slab_chunk_max=3"},
       64,
       "option -o slab_chunk_max: 3072 bytes do not divide -I, 1048576 bytes, and a slab page of "
       "1m "
       "evenly"},
      {{"-o", "slab_sizes=200-100"}, 64, "option -o slab_sizes: 100 is not more than 8 above 200"},
      {{"-o", "slab_sizes=200-208"}, 64, "option -o slab_sizes: 208 is not more than 8 above 200"},
      {{"-o", "slab_sizes=10-200"},
       64,
       "option -o slab_sizes: 10 is not from 48 (-n) to 524288 (slab_chunk_max)"},
      {{"-o", "slab_sizes=a-b"},
       64,
       "option -o slab_sizes: 'a' is not a number from 1 to 1073741824"},
      {{"-o", "tail_repair_time=9"},
       1,
       "option -o tail_repair_time: '9' is not a number of 10 or more"},
      {{"-o", "lru_crawler_sleep=1000001"},
       1,
       "option -o lru_crawler_sleep: '1000001' is not a number from 0 to 1000000"},
      {{"-o", "hot_lru_pct=80"}, 1, "option -o hot_lru_pct: '80' is not a number from 1 to 79"},
      {{"-o", "hot_max_factor=0"}, 1, "option -o hot_max_factor: '0' is not above 0"},
      {{"-o", "warm_max_factor=-1"}, 1, "option -o warm_max_factor: '-1' is not above 0"},
      {{"-Z"}, 64, "option -Z: no certificate was given (-o ssl_chain_cert)"},
      {{"-Z", "-o", "ssl_chain_cert=c"}, 64, "option -Z: no private key was given (-o ssl_key)"},
      {{"-Z", "-p", "0", "-o", "ssl_chain_cert=c,ssl_key=k"},
       64,
       "option -Z: TLS needs a TCP port, and -p is 0"},
      {{"-o", "ssl_chain_cert"}, 1, "option -o ssl_chain_cert: a value is missing"},
      {{"-o", "ssl_verify_mode=4"},
       1,
       "option -o ssl_verify_mode: '4' is not a number from 0 to 3"},
      {{"-o", "ssl_min_version=x"},
       1,
       "option -o ssl_min_version: 'x' is not a number from 0 to 3"},
      {{"-o", "ssl_keyformat=ENGINE"},
       1,
       "option -o ssl_keyformat: 'ENGINE' is not PEM, DER, 1 or 2"},
      {{"-o", "ssl_keyformat=3"}, 64, "option -o ssl_keyformat: '3' is not PEM, DER, 1 or 2"},
      {{"-o", "ssl_wbuf_size=0"},
       1,
       "option -o ssl_wbuf_size: '0' is not a number from 1 to 4194303"},
      {{"-o", "hot_lru_pct=41"},
       64,
       "option -o: hot_lru_pct and warm_lru_pct are more than 80 together"},
      {{"-S", "-B", "ascii"},
       64,
       "option -S: SASL needs the binary protocol, and -B says otherwise"},
      {{"-S", "-B", "binary", "-B", "auto"},
       64,
       "option -S: SASL needs the binary protocol, and -B says otherwise"},
      {{"-Y", "users", "-B", "binary"},
       64,
       "option -Y: 'users' needs the ascii protocol, and -B says otherwise"},
      {{"-Y", "users", "-B", "auto"},
       64,
       "option -Y: 'users' needs the ascii protocol, and -B says otherwise"},
      {{"-S", "-Y", "users", "-B", "ascii"},
       64,
       "option -S: SASL needs the binary protocol, and -B says otherwise"},
      {{"-S", "-U", "11211"}, 64, "option -S: nobody can authenticate over UDP, and -U is 11211"},
      {{"-Y", "users", "-U", "-1"},
       64,
       "option -Y: nobody can authenticate over UDP, and -U is -1"},
      {{"-Y", ""}, 1, "option -Y: '' is not a file"},
      {{"-Y"}, 1, "option --auth-file: a value is missing"},
      {{"-o", "temporary_ttl=9,no_lru_maintainer"},
       64,
       "option -o: temporary_ttl needs lru_maintainer"},
  };
  for (const Row& row : rows) {
    const Refusal got = refusal(row.words);
    INFO("words: " << row.words[0] << " " << (row.words.size() > 1 ? row.words[1] : ""));
    CHECK(got.sentence == row.sentence);
    CHECK(got.exit_code == row.exit_code);
  }
}

TEST_CASE("-V names memcached's version to whoever calls the program memcached") {
  CHECK(parse_as("memcached", {"-V"}).print == "memcached 1.6.45\n");
  CHECK(parse_as("/usr/bin/memcached", {"--version"}).print == "memcached 1.6.45\n");
  CHECK(parse_as("./memcached-debug", {"-V"}).print == "memcached 1.6.45\n");
  const std::string ours = *parse_as("/usr/sbin/larderd", {"-V"}).print;
  CHECK(ours == "larderd " LARDER_VERSION " (speaks as memcached 1.6.45)\n");
}

TEST_CASE("-h and -i win over what else is on the line, as far as it can be read") {
  CHECK(parse_as("larderd", {"-h", "-t", "0"}).print);
  CHECK(parse_as("larderd", {"-i"}).print->find("BSD 3-Clause") != std::string::npos);
}

TEST_CASE("the help names every option, its default, and nothing that is not there") {
  const std::string help = *parse_as("larderd", {"-h"}).print;
  for (const char* option :
       {"-p,", "-s,", "-a,", "-A,", "-l,", "-d,", "-r,", "-u,", "-m,", "-M,", "-c,", "-k,",
        "-v,", "-P,", "-f,", "-n,", "-L,", "-D ", "-t,", "-R,", "-C,", "-b,", "-B,", "-I,",
        "-F,", "-X,", "-W,", "-U,", "-S,", "-Y,", "-e,", "-Z,", "-o,", "-h,", "-i,", "-V,"}) {
    INFO(option);
    CHECK(help.find(std::string("\n") + option) != std::string::npos);
  }
  // Upstream's tests ask the help what there is.
  for (const char* word : {"ext_path", "proxy_config", "kernel_tls", "no_drop_privileges"}) {
    INFO(word);
    CHECK(help.find(word) == std::string::npos);
  }
  CHECK(help.find("unix-socket") != std::string::npos);
  CHECK(help.find("enable-ssl") != std::string::npos);

  const Settings s;
  std::string flat;  // as one line, so that it does not matter where it is broken
  std::istringstream words(help);
  for (std::string word; words >> word;) flat += word + " ";
  const auto has = [&](const std::string& text) { return flat.find(text) != std::string::npos; };
  CHECK(has("any that is free (default: " + std::to_string(s.port) + ")"));
  CHECK(has("in MiB (default: " + std::to_string(s.memory_bytes >> 20) + ")"));
  CHECK(has("connections at a time (default: " + std::to_string(s.max_connections) + ")"));
  CHECK(has("worker threads (default: " + std::to_string(s.threads) + ")"));
  CHECK(has("others get their turn (default: what takes " + std::to_string(s.requests_per_event) +
            " in memcached)"));
  CHECK(has("listening sockets (default: " + std::to_string(s.backlog) + ")"));
  CHECK(has("of all connections (default: " + std::to_string(s.buffer_limit_bytes >> 20) + ")"));
  CHECK(has("1.03 at least (default: from -m, 1.05 for 64 MiB)"));
  CHECK(core::Cache(cache_config(s)).config().growth_factor == Approx(1.05).margin(0.005));
  CHECK(has("in the smallest chunk (default: " +
            std::to_string(cache_config(s).min_chunk_bytes - core::Item::kHeaderBytes) + ")"));
}

TEST_CASE("the engine is set up as the settings say") {
  const core::CacheConfig plain = cache_config(Settings{});
  CHECK(plain.memory_bytes == size_t{64} << 20);
  CHECK(plain.workers == 4);
  CHECK(plain.growth_factor == 0);
  CHECK(plain.min_chunk_bytes == core::CacheConfig{}.min_chunk_bytes);
  CHECK(plain.evict);
  CHECK(plain.cas);
  const core::CacheConfig other = cache_config(
      parse({"-m", "128", "-I", "2m", "-t", "2", "-f", "1.25", "-n", "48", "-M", "-C"}));
  CHECK(other.memory_bytes == size_t{128} << 20);
  CHECK(other.item_size_max == 2u << 20);
  CHECK(other.workers == 2);
  CHECK(other.growth_factor == 1.25);
  CHECK(other.min_chunk_bytes == 48 + core::Item::kHeaderBytes);
  CHECK_FALSE(other.evict);
  CHECK_FALSE(other.cas);
}

TEST_CASE("a long option may be cut short, and a value have blanks before it") {
  CHECK(parse({"--thr=3"}).threads == 3);
  CHECK(parse({"--thr", "3"}).threads == 3);
  CHECK(parse({"--con", "77"}).max_connections == 77);  // --config is not memcached's
  CHECK(parse({"--verb", "-v"}).verbosity == 2);
  CHECK(parse({"-m", " 80"}).memory_bytes == uint64_t{80} << 20);
  CHECK(refusal({"--disable=3"}).exit_code == 1);  // one of several
}

TEST_CASE("words that belong to no option are left alone, as memcached leaves them, and noted") {
  const Settings s = parse({"here", "-t", "2", "there"});
  CHECK(s.threads == 2);
  CHECK(s.remarks == std::vector<std::string>{"the word 'here' belongs to no option",
                                              "the word 'there' belongs to no option"});
}

TEST_CASE("-S beside -Y is noted: only ascii is spoken then") {
  const Settings s = parse({"-S", "-Y", "users"});
  CHECK(s.protocol == Settings::Protocol::Ascii);
  CHECK(s.remarks ==
        std::vector<std::string>{"option -S has no effect beside -Y, which is for ascii only"});
}

TEST_CASE("metrics are served where --http says, and sampled unless told otherwise") {
  CHECK(parse({}).http.empty());
  CHECK(parse({}).sampling);
  CHECK(parse({}).slow_request_us == 0);
  const Settings s = parse({"--http", "127.0.0.1:9150", "-o", "no_sampling,slow_request_us=2500"});
  CHECK(s.http == "127.0.0.1:9150");
  CHECK_FALSE(s.sampling);
  CHECK(s.slow_request_us == 2500);
  CHECK(parse({"--htt=9150"}).http == "9150");
  for (const char* bad : {"", "localhost", "127.0.0.1", "[::1]", "9x", ":70000", "notls:[::1]:1"}) {
    INFO(bad);
    const Refusal refused = refusal({"--http", bad});
    CHECK(refused.exit_code == 64);
    CHECK(refused.sentence.starts_with("cannot listen on --http " + std::string(bad) + ": "));
  }
  CHECK(refusal({"-o", "slow_request_us=x"}).exit_code == 1);
}

TEST_CASE("the list of a fleet comes from a file, or from those who may set it") {
  CHECK(parse({}).cluster_file.empty());
  CHECK_FALSE(parse({}).allow_cluster_set);
  const Settings s = parse({"--cluster-file", "/etc/nodes", "--enable-cluster-set"});
  CHECK(s.cluster_file == "/etc/nodes");
  CHECK(s.allow_cluster_set);
  CHECK(refusal({"--cluster-file", ""}).sentence == "option --cluster-file: '' is not a file");
}

TEST_CASE("the list of a fleet comes from etcd alone, where this server is announced") {
  CHECK(parse({}).cluster_etcd.empty());
  CHECK(parse({}).cluster_name == "default");
  CHECK(parse({}).cluster_lease_seconds == 10);
  CHECK(parse({}).cluster_drain_seconds == 65);
  CHECK(parse({"--cluster-drain", "0"}).cluster_drain_seconds == 0);
  const Settings s =
      parse({"--cluster-etcd", "a:1,[::1]", "--cluster-announce", "me|10.0.0.1:11211",
             "--cluster-name", "shop.1_a-B", "--cluster-lease", "30"});
  CHECK(s.cluster_etcd == "a:1,[::1]");
  CHECK(s.cluster_announce == "me|10.0.0.1:11211");
  CHECK(s.cluster_name == "shop.1_a-B");
  CHECK(s.cluster_lease_seconds == 30);

  const auto refused = [](std::vector<std::string> words) {
    words.insert(words.end(), {"--cluster-etcd", "a", "--cluster-announce", "me:1"});
    const Refusal refusal_of_all = refusal(words);
    return refusal_of_all.sentence;
  };
  CHECK(refused({"--cluster-file", "f"}) ==
        "option --cluster-etcd: the list of nodes comes from etcd or from --cluster-file, not from "
        "both");
  CHECK(
      refused({"--enable-cluster-set"}) ==
      "option --cluster-etcd: a list that clients set (--enable-cluster-set) would not agree with "
      "the one in etcd");
  for (const char* name : {"", "a/b", "a b", "\xc3\xa4"}) {
    CHECK(refused({"--cluster-name", name}) ==
          "option --cluster-name: '" + std::string(name) +
              "' is not a name of up to 64 letters, digits, dots, dashes and underscores");
  }
  CHECK(refused({"--cluster-name", std::string(65, 'x')}) != "");
  for (const char* lease : {"2", "601", "x", "-5"}) {
    CHECK(refused({"--cluster-lease", lease}) ==
          "option --cluster-lease: '" + std::string(lease) + "' is not a number from 3 to 600");
  }
  for (const char* drain : {"-1", "3601", "x"}) {
    CHECK(refused({"--cluster-drain", drain}) ==
          "option --cluster-drain: '" + std::string(drain) + "' is not a number from 0 to 3600");
  }
  CHECK(refusal({"--cluster-etcd", "a"}).sentence ==
        "option --cluster-etcd: --cluster-announce must say what this server is announced as");
  CHECK(refusal({"--cluster-announce", "me:1"}).sentence ==
        "option --cluster-announce: 'me:1' is announced in etcd, and --cluster-etcd names none");
  CHECK(refusal({"--cluster-announce", "me"}).sentence ==
        "option --cluster-announce: 'me' is not HOST:PORT or HOST|IP:PORT");
  CHECK(refusal({"--cluster-etcd", "https://a"}).exit_code == 64);
}

TEST_CASE("every setting has its row in stats settings") {
  // Those have none that turn off what another turns on, or are kept nowhere.
  const auto needs_none = [](const std::string_view name) {
    if (name.starts_with("no_") || name == "modern") return true;
    return name == "--config" || name == "-N,--napi-ids" || name == "-o,--extended" ||
           name == "resp_obj_mem_limit" || name == "sock_cookie_id" || name == "slab_sizes";
  };
  std::set<std::string_view> keys;
  const auto check = [&](std::string_view name, const SettingsRow(&rows)[2]) {
    INFO(name);
    CHECK((rows[0].key == nullptr) == needs_none(name));
    for (const SettingsRow& row : rows) {
      if (row.key == nullptr) continue;
      CHECK(keys.insert(row.key).second);
      CHECK(row.value != nullptr);
    }
  };
  for (const Option& option : options()) check(option.names, option.rows);
  for (const SubOption& option : sub_options()) check(option.name, option.rows);
}

TEST_CASE("-m may be a share of what there is, or be left to larderd") {
  const auto mebibytes = [](const char* m, MachineMemory memory) {
    return parse_as("larderd", {"-m", m}, memory).settings.memory_bytes >> 20;
  };
  const MachineMemory free{.bytes = uint64_t{16384} << 20};
  const MachineMemory limited{.bytes = uint64_t{16384} << 20, .limit_bytes = uint64_t{1000} << 20};
  CHECK(mebibytes("50%", free) == 8191);  // the last MiB is not whole
  CHECK(mebibytes("100%", limited) == 1000);
  CHECK(mebibytes("10%", limited) == 100);
  CHECK(mebibytes("auto", free) == 4096);
  CHECK(mebibytes("auto", limited) == 750);
  CHECK(mebibytes("auto", {.bytes = free.bytes, .limit_bytes = free.bytes - 1}) == 4096);
  CHECK(mebibytes("100%", {.bytes = uint64_t{4} << 40}) == 1 << 20);
  CHECK(parse({"-m", "auto", "-m", "80"}).memory_bytes == uint64_t{80} << 20);
  CHECK(parse({"-m", "80", "-m", "1%"}).memory_bytes == uint64_t{163} << 20);
  const Settings beyond = parse_as("larderd", {"-m", "1001"}, limited).settings;
  CHECK(beyond.remarks == std::vector<std::string>{"option -m: 1001 MiB are more than the 1000 MiB "
                                                   "that the cgroup allows"});
}

TEST_CASE("options of a file come before those of the command line") {
  const test::TempFolder folder;
  const std::string path = folder.file("larder.conf");
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  write("-d\n-t 3 # workers\n-m auto\n-l 127.0.0.1\n-v\n-o idle_timeout=4,ssl_key=k\nlogfile /x\n");
  const Settings s = parse({"-t", "5", "--config", path, "-l", "::1", "-v", "-o", "track_sizes"});
  CHECK(s.config_file == path);
  CHECK_FALSE(s.daemonize);
  CHECK(s.threads == 5);
  CHECK(s.memory_bytes == kMachineBytes / 4);
  CHECK(s.listen == std::vector<std::string>{"127.0.0.1", "::1"});
  CHECK(s.verbosity == 2);
  CHECK(s.idle_timeout_seconds == 4);
  CHECK(s.track_sizes);
  CHECK(s.remarks ==
        std::vector<std::string>{path + ", line 7: 'logfile' is no option and has no effect",
                                 "option -o ssl_key=k has no effect without -Z"});

  const auto refused = [&](const std::string& text) {
    write(text);
    return refusal({"--config=" + path}).sentence;
  };
  CHECK(refused("-t many\n") == path + ": option -t: 'many' is not a number from 1 to 256");
  CHECK(refused("-q\n") == path + ": unknown option '-q'");
  CHECK(refused("-c\n") == path + ": option --conn-limit: a value is missing");
  const std::string misplaced =
      path + ": --help, --license, --version and --config belong on the command line";
  CHECK(refused("-V\n") == misplaced);
  CHECK(refused("--config " + path + "\n") == misplaced);
  CHECK(refusal({"--config=" + folder.file("")}).sentence ==
        "option --config: cannot read '" + folder.file("") + "': Is a directory");
}

TEST_CASE("no help names what is not offered") {
  const std::optional<std::string> help = parse_as("larderd", {"-h"}).print;
  REQUIRE(help);
  for (const char* const name : {"ext_", "proxy_", "napi", " drop_privileges", "ssl_kernel_tls"}) {
    CHECK(help->find(name) == std::string::npos);
  }
}

}  // namespace
}  // namespace larder::daemon
