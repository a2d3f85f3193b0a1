<?php
// php-memcache: arguments are host (or unix:///path), port (0 for a socket).
// The protocol comes from -d memcache.protocol=ascii|binary.
require __DIR__ . '/tap.php';

[, $host, $port] = $argv;
$binary = ini_get('memcache.protocol') === 'binary';
$cache = new Memcache();
ok($cache->connect($host, (int)$port), 'the server is there');
$allBytes = implode('', array_map('chr', range(0, 255))) . "\r\nEND\r\n\0";

foreach (['text', $allBytes, '', 17, 1.5, true, ['a' => [1, 2]]] as $value) {
    ok($cache->set('k', $value), gettype($value) . ' is stored');
    is($cache->get('k'), $value, 'and comes back');
}
$large = random_bytes(1024 * 1024 - 2048);
ok($cache->set('large', $large), 'nearly one megabyte is stored');
ok($cache->get('large') === $large, 'and comes back whole');
ok($cache->set('packed', str_repeat('squeeze me ', 200000), MEMCACHE_COMPRESSED), 'two megabytes are squeezed');
ok($cache->get('packed') === str_repeat('squeeze me ', 200000), 'and come back whole');

is($cache->get('missing'), false, 'a missing key is false');
is($cache->delete('missing'), false, 'it cannot be deleted');
if (!$binary) {  // over binary this client takes "not found" for a broken server and leaves it
    is($cache->replace('fresh', 'x'), false, 'replace needs a value');
}
is($cache->add('fresh', 'b'), true, 'add stores where nothing is');
is($cache->add('fresh', 'y'), false, 'and refuses where something is');
is($cache->append('fresh', 'c') && $cache->prepend('fresh', 'a'), true, 'append and prepend');
is($cache->get('fresh'), 'abc', 'have put the pieces together');

$flags = $cas = null;
$cache->set('c', 'one');
is($cache->get('c', $flags, $cas), 'one', 'get answers the value');
ok($cas > 0, 'and its CAS value');
is($cache->cas('c', 'two', 0, 0, $cas), true, 'cas stores what nobody has changed');
is($cache->cas('c', 'three', 0, 0, $cas), false, 'and refuses what somebody has');
is($cache->get('c'), 'two', 'so the value is right');

$cache->set('n', 10);
is($cache->increment('n', 32), 42, 'a counter goes up');
is($cache->decrement('n', 2), 40, 'and down');
is($cache->decrement('n', 1000), 0, 'but not below 0');
is($cache->increment('no-counter'), false, 'a missing counter is not incremented');

$values = [];
for ($number = 0; $number < 200; $number++) {
    $values["key-$number"] = str_repeat('v', $number);
    $cache->set("key-$number", $values["key-$number"]);
}
$found = $cache->get(array_merge(array_keys($values), ['missing']));
ksort($found);
ksort($values);
is($found, $values, '200 keys come back at once');

$cache->set('short', 1, 0, 1);
$cache->set('long', 2, 0, 100);
usleep(2100000);
is($cache->get(['short', 'long']), ['long' => 2], 'an expired key is a miss');
$pool = new MemcachePool();
$pool->addServer($host, (int)$port, 0, true, 1, 5, 15, true);
is($pool->get('long'), 2, 'a pool reads it too');
is(memcache_get($cache, 'long'), 2, 'so do the functions');

if (!$binary) {
    ok($cache->getStats()['curr_items'] > 100, 'statistics are understood');
    ok(str_starts_with($cache->getVersion(), '1.'), 'the version is understood');
}
is($cache->flush(), true, 'everything is flushed');
is($cache->get('k'), false, 'and gone');
done();
