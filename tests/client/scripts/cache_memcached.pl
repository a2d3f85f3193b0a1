# Cache::Memcached against the server whose address is the argument (host:port or a socket path).
use strict;
use warnings;
use Test::More;
use Cache::Memcached;

my $address = shift or die "usage: $0 address\n";
my $cache = Cache::Memcached->new({servers => [$address], compress_threshold => 10_000});
my $all_bytes = join('', map { chr } 0 .. 255) . "\r\nEND\r\n\0";

ok($cache->set('k', 'value'), 'a value is stored');
is($cache->get('k'), 'value', 'and comes back');
ok($cache->set('bytes', $all_bytes), 'any byte is stored');
is($cache->get('bytes'), $all_bytes, 'and comes back');
ok($cache->set('empty', ''), 'an empty value is stored');
is($cache->get('empty'), '', 'and comes back');
ok($cache->set('hash', {a => [1, 2], b => {c => 3}}), 'a structure is stored');
is_deeply($cache->get('hash'), {a => [1, 2], b => {c => 3}}, 'and comes back');

my $squeezable = 'squeeze me ' x 90_000;
ok($cache->set('packed', $squeezable), 'a compressed value is stored');
is($cache->get('packed'), $squeezable, 'and comes back');
$cache->enable_compress(0);
my $large = join('', map { chr(int(rand(256))) } 1 .. 1024 * 1024 - 2048);
ok($cache->set('large', $large), 'nearly one megabyte is stored');
ok($cache->get('large') eq $large, 'and comes back whole');
$cache->set('refused', 'old');
ok(!$cache->set('refused', 'x' x (2 * 1024 * 1024)), 'two megabytes are refused');
is($cache->get('refused'), undef, 'and the old value is gone');
is($cache->get('k'), 'value', 'the connection goes on');

is($cache->get('missing'), undef, 'a missing key is undef');
ok(!$cache->delete('missing'), 'a missing key is not deleted');
ok(!$cache->replace('fresh', 'x'), 'replace needs a value');
ok(!$cache->append('fresh', 'x'), 'append needs a value');
ok($cache->add('fresh', 'b'), 'add stores where nothing is');
ok(!$cache->add('fresh', 'y'), 'and refuses where something is');
ok($cache->append('fresh', 'c') && $cache->prepend('fresh', 'a'), 'append and prepend');
is($cache->get('fresh'), 'abc', 'have put the pieces together');

ok(!$cache->incr('n'), 'a missing counter is not incremented');
$cache->set('n', 10);
is($cache->incr('n', 32), 42, 'a counter goes up');
is($cache->decr('n', 2), 40, 'and down');
is($cache->decr('n', 1000) + 0, 0, 'but not below 0');

my %values = map { ("key-$_" => "value $_") } 1 .. 500;
$cache->set($_, $values{$_}) for keys %values;
is_deeply($cache->get_multi(keys %values, 'missing'), \%values, '500 keys come back at once');
ok($cache->delete('key-1'), 'a key is deleted');
is($cache->get('key-1'), undef, 'and gone');

$cache->set('short', 1, 1);
$cache->set('long', 2, 100);
sleep 2;
select(undef, undef, undef, 0.1);
is_deeply($cache->get_multi('short', 'long'), {long => 2}, 'an expired key is a miss');

my $stats = $cache->stats(['misc', 'malloc', 'self']);
ok($stats->{hosts}{$address}{misc}{curr_items} > 400, 'statistics are understood');

my $spaced = Cache::Memcached->new({servers => [$address], namespace => 'space:'});
$spaced->set('k', 'other');
is($spaced->get('k'), 'other', 'a namespace has its own keys');
is($cache->get('k'), 'value', 'and leaves the others alone');
is($cache->get('space:k'), 'other', 'it is a prefix of the key');

ok($cache->flush_all, 'everything is flushed');
is($cache->get('k'), undef, 'and gone');

done_testing();
