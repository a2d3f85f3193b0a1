# Dalli (binary protocol) against the server whose address is the argument.
require "dalli"
require "securerandom"
require "logger"

Dalli.logger = Logger.new($stderr, level: Logger::ERROR)

ADDRESS = ARGV.fetch(0)
$checks = 0
$failed = 0

def ok(passed, sentence)
  $checks += 1
  $failed += 1 unless passed
  puts "#{'not ' unless passed}ok #{$checks} - #{sentence}"
end

def is(got, wanted, sentence)
  ok(got == wanted, sentence)
  puts "# got #{got.inspect[0, 200]}, wanted #{wanted.inspect[0, 200]}" if got != wanted
end

def raises?(kind)
  yield
  false
rescue kind
  true
end

# A write answers the new CAS value, or what its status becomes: false, nil or 0.
def stored?(answer)
  answer && answer != 0
end

cache = Dalli::Client.new(ADDRESS, socket_timeout: 20, value_max_bytes: 8 * 1024 * 1024)
all_bytes = (0..255).map(&:chr).join.b + "\r\nEND\r\n\0".b

["text", all_bytes, "", 17, 1.5, nil, true, { "a" => [1, 2] }, :symbol].each do |value|
  cache.set("k", value)
  is(cache.get("k"), value, "#{value.class} comes back")
end
cache.set("raw", all_bytes, 0, raw: true)
is(cache.get("raw", raw: true).b, all_bytes, "raw bytes come back")

large = SecureRandom.random_bytes(1024 * 1024 - 2048)
ok(cache.set("large", large, 0, raw: true), "nearly one megabyte is stored")
ok(cache.get("large", raw: true).b == large, "and comes back whole")
packing = Dalli::Client.new(ADDRESS, compress: true, namespace: "packed")
packing.set("k", "squeeze me " * 100_000)
is(packing.get("k"), "squeeze me " * 100_000, "a compressed value comes back")
cache.set("refused", "old")
ok(!(cache.set("refused", SecureRandom.random_bytes(2 * 1024 * 1024), 0, raw: true) rescue false),
   "two megabytes are refused")
is(cache.get("refused"), nil, "and the old value is gone")

is(cache.get("missing"), nil, "a missing key is nil")
ok(!cache.delete("missing"), "and cannot be deleted")
ok(!stored?(cache.replace("fresh", "x")), "replace needs a value")
ok(stored?(cache.add("fresh", "one")), "add stores where nothing is")
ok(!stored?(cache.add("fresh", "two")), "and refuses where something is")
ok(stored?(cache.replace("fresh", "three")), "replace stores where something is")
is(cache.fetch("fresh") { "made" }, "three", "fetch answers what is there")
is(cache.fetch("made") { "made" }, "made", "and makes what is not")
cache.set("pieces", "b", 0, raw: true)
cache.append("pieces", "c")
cache.prepend("pieces", "a")
is(cache.get("pieces", raw: true), "abc", "append and prepend put the pieces together")

is(cache.incr("n", 5), nil, "a missing counter is nil")
is(cache.incr("n", 5, 0, 10), 10, "unless it has a start")
is(cache.incr("n", 5), 15, "a counter goes up")
is(cache.decr("n", 3), 12, "and down")
is(cache.decr("n", 100), 0, "but not below 0")
is(cache.incr("huge", 1, 0, 2**64 - 1), 2**64 - 1, "it holds 64 bits")
is(cache.incr("huge", 1), 0, "and wraps")
cache.set("word", "abc", 0, raw: true)
ok(raises?(Dalli::DalliError) { cache.incr("word") }, "a word is no counter")

cache.set("c", 1)
ok(cache.cas("c") { |value| value + 1 }, "cas stores what nobody has changed")
is(cache.get("c"), 2, "so the value is right")
ok(!cache.cas("c") { |value| cache.set("c", 50); value + 1 }, "and refuses what somebody has")
is(cache.get("c"), 50, "so the other value stays")
is(cache.cas("missing") { |value| value }, nil, "cas needs a value")

values = (1..500).to_h { |number| ["key-#{number}", "v" * number] }
cache.multi { values.each { |key, value| cache.set(key, value) } }
is(cache.get_multi(*values.keys, "missing"), values, "500 keys come back at once")
pairs = 0
cache.get_multi(values.keys) { |key, value| pairs += 1 if values[key] == value }
is(pairs, 500, "also one by one")
cache.multi { values.each_key { |key| cache.delete(key) } }
is(cache.get_multi(*values.keys), {}, "500 keys are deleted quietly")
cache.multi do
  cache.set("inside", 1)
  cache.incr("inside-counter", 1, 0, 5)
end
is(cache.get("inside"), 1, "a quiet block arrives")
is(cache.incr("inside-counter", 1).to_i, 6, "also its counter")

cache.set("short", 1, 1)
cache.set("touched", 2, 1)
cache.set("gat", 3, 1)
ok(cache.touch("touched", 100), "a key is touched")
ok(!cache.touch("missing", 100), "a missing one is not")
is(cache.gat("gat", 100), 3, "gat answers the value")
is(cache.gat("missing", 100), nil, "or nil")
sleep 2.1
is(cache.get_multi("short", "touched", "gat"), { "touched" => 2, "gat" => 3 },
   "what was touched lives on, the other has expired")

is(cache.stats.values.first["curr_items"].to_i.positive?, true, "statistics are understood")
is(cache.stats(:settings).values.first["maxbytes"], (64 * 1024 * 1024).to_s, "also the settings")
ok(cache.version.values.first.start_with?("1."), "the version is understood")
ok(cache.reset_stats, "statistics are reset")
ok(cache.alive!, "the server is alive")

long = "k" * 400 # Dalli shortens it with a hash of its own
cache.set(long, "long")
is(cache.get(long), "long", "an over-long key is shortened by the client")
cache.set("k" * 250, "longest")
is(cache.get("k" * 250), "longest", "the longest key is stored")
cache.set("schl\u00fcssel", "unicode")
is(cache.get("schl\u00fcssel"), "unicode", "a unicode key is stored")

threads = (0...8).map do |thread|
  Thread.new { 50.times { |number| cache.set("t#{thread}-#{number}", thread * number) } }
end
threads.each(&:join)
ok((0...8).all? { |thread| cache.get("t#{thread}-49") == thread * 49 }, "threads share a client")

cache.flush
is(cache.get("k"), nil, "everything is flushed")
cache.close
puts "1..#{$checks}"
exit($failed.zero? ? 0 : 1)
