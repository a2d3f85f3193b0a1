<?php
// client.php [EXPECTED]: what a PHP program does with memcached. With EXPECTED, that is there under
// "kept" before.
$m = new Memcached;
$m->addServer("127.0.0.1", 11211);
for ($tries = 0; $m->getVersion() === false && $tries < 200; ++$tries) usleep(50000);
$wrong = [];
$same = function ($what, $got, $expected) use (&$wrong) {
  if ($got !== $expected) $wrong[] = "$what: " . var_export($got, true);
};
if (isset($argv[1])) $same("kept", $m->get("kept"), $argv[1]);
$same("set", $m->set("user", ["name" => "Ada", "n" => 3], 300), true);
$same("get", $m->get("user"), ["name" => "Ada", "n" => 3]);
$same("counter", $m->set("counter", 5) && $m->increment("counter", 2) === 7, true);
$same("add", $m->add("user", 1), false);
$same("delete", $m->delete("user") && $m->get("user") === false, true);
$same("kept", $m->set("kept", "here"), true);
foreach ($wrong as $line) fprintf(STDERR, "%s\n", $line);
echo implode(",", $m->getVersion() ?: []), "\n";
exit($wrong ? 1 : 0);
