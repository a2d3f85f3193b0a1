<?php
// Asks php-memcached for the server of every key, with the option that the argument names set to
// true. Reads and writes what make_golden.py says.
$option = $argv[1] === 'none' ? null : constant("Memcached::$argv[1]");
$line = fn() => rtrim(fgets(STDIN), "\n");
$keys = [];
for ($left = (int) $line(); $left > 0; --$left) $keys[] = $line();
for ($sets = (int) $line(); $sets > 0; --$sets) {
  $client = new Memcached();
  if ($option !== null) $client->setOption($option, true);
  $servers = [];
  $index = [];
  for ($left = (int) $line(); $left > 0; --$left) {
    [$host, $port, $weight] = explode(' ', $line());
    $index["$host:$port"] = count($servers);
    $servers[] = [$host, (int) $port, (int) $weight];
  }
  $client->addServers($servers);
  $found = [];
  foreach ($keys as $key) {
    $server = $client->getServerByKey($key);
    $found[] = $index["$server[host]:$server[port]"];
  }
  echo implode(' ', $found), "\n";
}
