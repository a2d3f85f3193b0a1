// spymemcached against the servers of the arguments: PROTOCOL ADDRESS..., where PROTOCOL is text or
// binary. Several addresses are one ring (ketama). Properties: `user` and `password` for servers that
// ask for them; `patience`, how many seconds it waits for an answer. Reports TAP.

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

import net.spy.memcached.AddrUtil;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.DefaultHashAlgorithm;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;
import net.spy.memcached.transcoders.SerializingTranscoder;

class Spymemcached {
  static int checks = 0;
  static int failed = 0;

  static final long PATIENCE_SECONDS = Long.getLong("patience", 20);

  static boolean binary;
  static List<InetSocketAddress> addresses;
  static MemcachedClient client;

  static void ok(boolean passed, String sentence) {
    checks += 1;
    failed += passed ? 0 : 1;
    System.out.println((passed ? "" : "not ") + "ok " + checks + " - " + sentence);
  }

  static void is(Object got, Object wanted, String sentence) {
    boolean same = Objects.deepEquals(got, wanted);
    ok(same, sentence);
    if (!same) {
      System.out.println("# got " + shortened(got) + ", wanted " + shortened(wanted));
    }
  }

  static String shortened(Object value) {
    String text = String.valueOf(value);
    return text.substring(0, Math.min(200, text.length()));
  }

  static MemcachedClient connect(List<InetSocketAddress> to) throws Exception {
    SerializingTranscoder plain = new SerializingTranscoder(8 * 1024 * 1024);
    plain.setCompressionThreshold(Integer.MAX_VALUE);
    ConnectionFactoryBuilder builder =
        new ConnectionFactoryBuilder()
            .setProtocol(binary ? ConnectionFactoryBuilder.Protocol.BINARY
                                : ConnectionFactoryBuilder.Protocol.TEXT)
            .setLocatorType(ConnectionFactoryBuilder.Locator.CONSISTENT)
            .setHashAlg(DefaultHashAlgorithm.KETAMA_HASH)
            .setTranscoder(plain)
            .setOpTimeout(PATIENCE_SECONDS * 1000)
            .setDaemon(true);
    String user = System.getProperty("user");
    if (user != null) {
      builder.setAuthDescriptor(new AuthDescriptor(
          new String[] {"PLAIN"}, new PlainCallbackHandler(user, System.getProperty("password"))));
    }
    MemcachedClient client = new MemcachedClient(builder.build(), to);
    // Until a server of the ring is connected its keys go to the next one, without a word.
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (client.getAvailableServers().size() < to.size() && System.nanoTime() < end) {
      Thread.sleep(5);
    }
    return client;
  }

  static <T> T wait(Future<T> answer) throws Exception {
    return answer.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  static boolean set(String key, Object value) throws Exception {
    return wait(client.set(key, 0, value));
  }

  static void values() throws Exception {
    byte[] bytes = new byte[1000];
    new Random(1).nextBytes(bytes);
    for (Object value : new Object[] {
        "text", "two\r\nlines\0END\r\n", "Grüße", "", 17, 17L, 1.5, true, bytes,
        new ArrayList<>(Arrays.asList("a", "list"))}) {
      ok(set("k", value), value.getClass().getSimpleName() + " is stored");
      is(client.get("k"), value, "and comes back");
    }
    byte[] large = new byte[1024 * 1024 - 2048];
    new Random(2).nextBytes(large);
    ok(set("large", large), "nearly one megabyte is stored");
    is(client.get("large"), large, "and comes back whole");

    set("refused", "old");
    // After a SERVER_ERROR spymemcached connects anew, seconds later; another client takes the blow.
    MemcachedClient other = connect(addresses);
    boolean stored = false;
    try {
      stored = wait(other.set("refused", 0, new byte[2 * 1024 * 1024]));
    } catch (ExecutionException refusal) {
      ok(refusal.getMessage().contains("too large"), "with a reason: " + refusal.getMessage());
    }
    other.shutdown();
    ok(!stored, "two megabytes are refused");
    is(client.get("refused"), null, "and the old value is gone");
    String longest = "k".repeat(250);
    ok(set(longest, "longest"), "the longest key is stored");
    is(client.get(longest), "longest", "and comes back");
  }

  static void conditions() throws Exception {
    is(client.get("missing"), null, "a missing key is null");
    ok(!wait(client.delete("missing")), "it cannot be deleted");
    ok(!wait(client.replace("fresh", 0, "x")), "replace needs a value");
    ok(wait(client.add("fresh", 0, "b")), "add stores where nothing is");
    ok(!wait(client.add("fresh", 0, "y")), "and refuses where something is");
    ok(wait(client.append("fresh", "c")), "append");
    ok(wait(client.prepend("fresh", "a")), "and prepend");
    is(client.get("fresh"), "abc", "have put the pieces together");
    ok(!wait(client.append("missing", "c")), "nothing is appended to nothing");
    ok(wait(client.replace("fresh", 0, "z")), "replace stores where something is");

    CASValue<Object> found = client.gets("fresh");
    is(found.getValue(), "z", "gets answers the value");
    is(client.cas("fresh", found.getCas(), "two"), CASResponse.OK, "cas stores what nobody changed");
    is(client.cas("fresh", found.getCas(), "three"), CASResponse.EXISTS,
       "and refuses what somebody has");
    is(client.get("fresh"), "two", "so the value is right");
    is(client.cas("missing", found.getCas(), "x"), CASResponse.NOT_FOUND, "cas of a missing key");
    ok(wait(client.delete("fresh")), "a key is deleted");
    is(client.get("fresh"), null, "and gone");
  }

  static void counters() throws Exception {
    is(client.incr("n", 1), -1L, "a missing counter is not incremented");
    is(client.incr("n", 1, 10), 10L, "but made where a first value is given");
    is(client.incr("n", 32), 42L, "it goes up");
    is(client.decr("n", 2), 40L, "and down");
    is(client.decr("n", 1000), 0L, "but not below 0");
    set("far", "4294967295");
    is(client.incr("far", 5_000_000_000L), 9294967295L, "a counter has 64 bits");
  }

  static void many() throws Exception {
    Map<String, Object> wanted = new HashMap<>();
    List<Future<Boolean>> answers = new ArrayList<>();
    for (int number = 0; number < 1000; number += 1) {
      String key = "key-" + number;
      wanted.put(key, key.repeat(3));
      answers.add(client.set(key, 0, key.repeat(3)));
    }
    boolean stored = true;
    for (Future<Boolean> answer : answers) {
      stored &= wait(answer);
    }
    ok(stored, "1000 keys are stored, one behind the other");
    List<String> keys = new ArrayList<>(wanted.keySet());
    keys.add("missing");
    is(client.getBulk(keys), wanted, "and come back at once");

    int sum = 0;
    boolean owned = true;
    for (InetSocketAddress address : addresses) {
      // Not a new client where there is one server, which may want a password: while it is being
      // told, spymemcached forgets a bulk.
      MemcachedClient one = addresses.size() == 1 ? client : connect(Arrays.asList(address));
      Collection<String> here = one.getBulk(wanted.keySet()).keySet();
      if (one != client) {
        one.shutdown();
      }
      ok(here.size() > 100, here.size() + " of them are on this server");
      sum += here.size();
      for (String key : here) {
        SocketAddress owner = client.getNodeLocator().getPrimary(key).getSocketAddress();
        owned &= address.equals(owner);
      }
    }
    is(sum, 1000, "each is on one server");
    ok(owned, "the one that the ring says");
  }

  static void expiry() throws Exception {
    wait(client.set("short", 1, "1"));
    wait(client.set("touched", 1, "2"));
    wait(client.set("asked", 1, "3"));
    ok(wait(client.touch("touched", 100)), "a key is touched");
    ok(!wait(client.touch("missing", 100)), "a missing one is not");
    if (binary) {  // spymemcached does not know gat in text
      is(client.getAndTouch("asked", 100).getValue(), "3", "another is asked for and touched");
      is(client.getAndTouch("missing", 100), null, "a missing one is null");
    }
    Thread.sleep(2100);
    is(client.get("short"), null, "what was not touched has expired");
    is(client.get("touched"), "2", "what was lives on");
    is(client.get("asked"), binary ? "3" : null, "also if it was asked for at the same time");
  }

  static void server() throws Exception {
    Map<SocketAddress, Map<String, String>> figures = client.getStats();
    is(figures.size(), addresses.size(), "every server answers statistics");
    int items = 0;
    for (Map<String, String> one : figures.values()) {
      items += Integer.parseInt(one.get("curr_items"));
    }
    ok(items >= 1000, "which count the items");
    Map<String, String> settings = client.getStats("settings").get(addresses.get(0));
    is(settings.get("maxbytes"), "67108864", "also the settings");
    for (String version : client.getVersions().values()) {
      ok(version.matches("1\\.\\d+\\.\\d+.*"), "the version is understood");
    }
    ok(wait(client.flush()), "everything is flushed");
    is(client.getBulk("key-1", "key-2", "key-3").size(), 0, "and gone");
  }

  public static void main(String[] arguments) throws Exception {
    System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
    java.util.logging.Logger.getLogger("").setLevel(java.util.logging.Level.OFF);
    binary = arguments[0].equals("binary");
    addresses = AddrUtil.getAddresses(
        Arrays.asList(Arrays.copyOfRange(arguments, 1, arguments.length)));
    client = connect(addresses);
    values();
    conditions();
    counters();
    many();
    expiry();
    server();
    client.shutdown();
    System.out.println("1.." + checks);
    System.exit(failed == 0 ? 0 : 1);
  }
}
