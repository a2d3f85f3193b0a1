<?php
// php-memcached with SASL: arguments are host, port, user and password.
require __DIR__ . '/tap.php';

[, $host, $port, $user, $password] = $argv;

$cache = new Memcached();
$cache->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
$cache->setSaslAuthData($user, $password);
$cache->addServer($host, (int)$port);

ok($cache->set('k', 'value'), 'it is stored');
is($cache->get('k'), 'value', 'and comes back');
is($cache->getMulti(['k', 'missing']), ['k' => 'value'], 'also with others');
ok($cache->increment('n', 1, 5) === 5, 'a counter begins');
ok($cache->delete('k'), 'it is deleted');
done();
