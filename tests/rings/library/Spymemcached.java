// Asks spymemcached's KetamaNodeLocator for the node of every key. Reads and writes what
// make_golden.py says.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import net.spy.memcached.DefaultHashAlgorithm;
import net.spy.memcached.KetamaNodeLocator;
import net.spy.memcached.MemcachedNode;
import net.spy.memcached.util.DefaultKetamaNodeLocatorConfiguration;

class Spymemcached {
  // A node that has an address and nothing else.
  static MemcachedNode node(InetSocketAddress address) {
    return (MemcachedNode)
        Proxy.newProxyInstance(
            Spymemcached.class.getClassLoader(),
            new Class<?>[] {MemcachedNode.class},
            (self, method, arguments) -> {
              switch (method.getName()) {
                case "getSocketAddress":
                  return address;
                case "hashCode":
                  return address.hashCode();
                case "equals":
                  return self == arguments[0];
                default:
                  throw new UnsupportedOperationException(method.getName());
              }
            });
  }

  // host: an address; name: "host/address:port" where there is a host, else "-".
  static InetSocketAddress resolved(String host, int port, String name) throws Exception {
    if (name.equals("-")) return new InetSocketAddress(InetAddress.getByName(host), port);
    String[] parts = name.split("[/:]");
    byte[] address = InetAddress.getByName(parts[1]).getAddress();
    return new InetSocketAddress(InetAddress.getByAddress(parts[0], address), port);
  }

  public static void main(String[] none) throws Exception {
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    List<String> keys = new ArrayList<>();
    for (int left = Integer.parseInt(in.readLine()); left > 0; --left) keys.add(in.readLine());
    for (int sets = Integer.parseInt(in.readLine()); sets > 0; --sets) {
      List<MemcachedNode> nodes = new ArrayList<>();
      Map<MemcachedNode, Integer> index = new IdentityHashMap<>();
      Map<InetSocketAddress, Integer> weights = new HashMap<>();
      for (int left = Integer.parseInt(in.readLine()); left > 0; --left) {
        String[] words = in.readLine().split(" ");
        InetSocketAddress address = resolved(words[0], Integer.parseInt(words[1]), words[3]);
        MemcachedNode node = node(address);
        index.put(node, nodes.size());
        nodes.add(node);
        weights.put(address, Integer.parseInt(words[2]));
      }
      boolean weighted = weights.values().stream().anyMatch(weight -> weight != 1);
      KetamaNodeLocator ring =
          weighted
              ? new KetamaNodeLocator(
                  nodes,
                  DefaultHashAlgorithm.KETAMA_HASH,
                  weights,
                  new DefaultKetamaNodeLocatorConfiguration())
              : new KetamaNodeLocator(nodes, DefaultHashAlgorithm.KETAMA_HASH);
      StringBuilder found = new StringBuilder();
      for (String key : keys) found.append(index.get(ring.getPrimary(key))).append(' ');
      System.out.println(found.toString().trim());
    }
  }
}
