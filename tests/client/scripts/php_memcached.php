<?php
// php-memcached: arguments are host (or socket path), port (0 for a socket) and text|binary.
require __DIR__ . '/tap.php';

[, $host, $port, $protocol] = $argv;
$binary = $protocol === 'binary';

function client(array $options = []): Memcached
{
    global $host, $port, $binary;
    $cache = new Memcached();
    $cache->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
    $cache->setOption(Memcached::OPT_TCP_NODELAY, true);
    foreach ($options as $option => $value) {
        ok($cache->setOption($option, $value), "option $option is taken");
    }
    $cache->addServer($host, (int)$port);
    return $cache;
}

$cache = client();
$allBytes = implode('', array_map('chr', range(0, 255))) . "\r\nEND\r\n\0";

foreach (['text', $allBytes, '', 17, 1.5, true, false, ['a' => [1, 2]], null] as $value) {
    ok($cache->set('k', $value), gettype($value) . ' is stored');
    is($cache->get('k'), $value, 'and comes back');
    is($cache->getResultCode(), Memcached::RES_SUCCESS, 'as a hit');
}
foreach ([Memcached::SERIALIZER_PHP, Memcached::SERIALIZER_IGBINARY, Memcached::SERIALIZER_JSON_ARRAY,
          Memcached::SERIALIZER_MSGPACK] as $serializer) {
    $serializing = client([Memcached::OPT_SERIALIZER => $serializer]);
    ok($serializing->set('structure', ['a' => [1, 2], 'b' => 'c']), 'a structure is stored');
    is($serializing->get('structure'), ['a' => [1, 2], 'b' => 'c'], 'and comes back');
}

$large = random_bytes(1024 * 1024 - 2048);
ok($cache->set('large', $large), 'nearly one megabyte is stored');
ok($cache->get('large') === $large, 'and comes back whole');
foreach ([Memcached::COMPRESSION_FASTLZ, Memcached::COMPRESSION_ZLIB] as $type) {
    $packing = client([Memcached::OPT_COMPRESSION => true, Memcached::OPT_COMPRESSION_TYPE => $type]);
    ok($packing->set('packed', str_repeat('squeeze me ', 200000)), 'two megabytes are squeezed');
    ok($packing->get('packed') === str_repeat('squeeze me ', 200000), 'and come back whole');
}
$plain = client([Memcached::OPT_COMPRESSION => false]);
$plain->set('refused', 'old');
ok(!$plain->set('refused', str_repeat('x', 2 * 1024 * 1024)), 'two plain megabytes are refused');
ok($plain->get('refused') === false, 'and the old value is gone');
is($plain->set('refused', 'new'), true, 'the client goes on');

is($cache->get('missing'), false, 'a missing key is false');
is($cache->getResultCode(), Memcached::RES_NOTFOUND, 'because it was not found');
is($cache->delete('missing'), false, 'it cannot be deleted');
is($cache->get('made', function ($memcached, $key, &$value) { $value = "made $key"; return true; }),
    'made made', 'a callback makes what is missing');
is($cache->get('made'), 'made made', 'and it stays');

is($plain->replace('fresh', 'x'), false, 'replace needs a value');
is($plain->append('fresh', 'x'), false, 'append needs a value');
is($plain->add('fresh', 'b'), true, 'add stores where nothing is');
is($plain->add('fresh', 'y'), false, 'and refuses where something is');
is($plain->append('fresh', 'c') && $plain->prepend('fresh', 'a'), true, 'append and prepend');
is($plain->get('fresh'), 'abc', 'have put the pieces together');

$cache->set('c', 'one');
$extended = $cache->get('c', null, Memcached::GET_EXTENDED);
is($extended['value'], 'one', 'an extended get answers the value');
is($cache->cas($extended['cas'], 'c', 'two'), true, 'cas stores what nobody has changed');
is($cache->cas($extended['cas'], 'c', 'three'), false, 'and refuses what somebody has');
is($cache->getResultCode(), Memcached::RES_DATA_EXISTS, 'because another value exists');
is($cache->get('c'), 'two', 'so the value is right');
$cache->delete('c');
is($cache->cas($extended['cas'], 'c', 'four'), false, 'cas needs a value');

$cache->set('n', 10);
is($cache->increment('n', 32), 42, 'a counter goes up');
is($cache->decrement('n', 2), 40, 'and down');
is($cache->decrement('n', 1000), 0, 'but not below 0');
is($cache->increment('no-counter'), false, 'a missing counter is not incremented');
if ($binary) {
    is($cache->increment('started', 5, 100, 60), 100, 'a missing counter starts where it is told');
    is($cache->increment('started', 5, 100, 60), 105, 'and goes on');
}
$cache->set('word', 'abc');
is($cache->increment('word'), false, 'a word is no counter');

$values = [];
for ($number = 0; $number < 500; $number++) {
    $values["key-$number"] = str_repeat('v', $number);
}
is($cache->setMulti($values, 100), true, '500 keys are stored');
is($cache->getMulti(array_merge(array_keys($values), ['missing'])), $values, 'and come back at once');
is(array_keys($cache->getMulti(['key-3', 'key-1', 'key-2'], Memcached::GET_PRESERVE_ORDER)),
    ['key-3', 'key-1', 'key-2'], 'in the order asked');
$extended = $cache->getMulti(['key-1', 'key-2'], Memcached::GET_EXTENDED);
ok($extended['key-1']['cas'] > 0 && $extended['key-2']['cas'] > $extended['key-1']['cas'],
    'with their CAS values');
ok($cache->getDelayed(['key-1', 'key-2', 'missing'], true), 'a delayed get is sent');
$fetched = $cache->fetchAll();
sort($fetched);
is(array_column($fetched, 'value'), ['v', 'vv'], 'and fetched later');
is($cache->deleteMulti(['key-1', 'missing']), ['key-1' => true, 'missing' => Memcached::RES_NOTFOUND],
    'many keys are deleted');

$cache->set('short', 1, 1);
$cache->set('touched', 2, 1);
$cache->set('absolute', 3, time() + 100);
$cache->set('past', 4, time() - 100);
is($cache->touch('touched', 100), true, 'a key is touched');
is($cache->touch('missing', 100), false, 'a missing one is not');
is($cache->get('past'), false, 'what expired before it was stored is a miss');
usleep(2100000);
is($cache->getMulti(['short', 'touched', 'absolute']), ['touched' => 2, 'absolute' => 3],
    'what was touched lives on, the other has expired');

$quiet = client([Memcached::OPT_NOREPLY => true]);
$buffered = client([Memcached::OPT_BUFFER_WRITES => true]);
for ($number = 0; $number < 500; $number++) {
    $quiet->set("quiet-$number", $number);
    $buffered->set("buffered-$number", $number);
}
is($quiet->get('quiet-499'), 499, 'writes without reply arrive');
is($buffered->get('buffered-499'), 499, 'so do buffered ones');
is($cache->get('buffered-0'), 0, 'for everybody');

$prefixed = client([Memcached::OPT_PREFIX_KEY => 'prefix:']);
$prefixed->set('k', 'other');
is($cache->get('prefix:k'), 'other', 'a prefix is part of the key');
$persistent = new Memcached('pool');
$persistent->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
$persistent->addServer($host, (int)$port);
is($persistent->get('prefix:k'), 'other', 'a persistent client reads it too');

$stats = current($cache->getStats());
ok($stats['curr_items'] > 400 && $stats['pid'] > 0, 'statistics are understood');
ok(str_starts_with(current($cache->getVersion()), '1.'), 'the version is understood');
is($cache->set(str_repeat('k', 250), 'longest'), true, 'the longest key is stored');
is($cache->get(str_repeat('k', 250)), 'longest', 'and comes back');
is($cache->set(str_repeat('k', 251), 'x'), false, 'a longer one is refused');
is($cache->flush(), true, 'everything is flushed');
is($cache->get('k'), false, 'and gone');
$cache->quit();
is($cache->set('k', 'again'), true, 'after quit the client connects again');
done();
