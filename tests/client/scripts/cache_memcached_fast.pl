# Cache::Memcached::Fast against the server whose address is the argument.
use strict;
use warnings;
use Test::More;
use Cache::Memcached::Fast;

my $address = shift or die "usage: $0 address\n";
my $cache = Cache::Memcached::Fast->new({
    servers => [{address => $address}], io_timeout => 20, utf8 => 0,
    max_size => 4 * 1024 * 1024, compress_threshold => -1});
my $all_bytes = join('', map { chr } 0 .. 255) . "\r\nEND\r\n\0";

ok($cache->set('k', 'value'), 'a value is stored');
is($cache->get('k'), 'value', 'and comes back');
ok($cache->set('bytes', $all_bytes), 'any byte is stored');
is($cache->get('bytes'), $all_bytes, 'and comes back');
ok($cache->set('empty', ''), 'an empty value is stored');
is($cache->get('empty'), '', 'and comes back');
ok($cache->set('hash', {a => [1, 2]}), 'a structure is stored');
is_deeply($cache->get('hash'), {a => [1, 2]}, 'and comes back');
my $large = join('', map { chr(int(rand(256))) } 1 .. 1024 * 1024 - 2048);
ok($cache->set('large', $large), 'nearly one megabyte is stored');
ok($cache->get('large') eq $large, 'and comes back whole');
$cache->set('refused', 'old');
ok(!$cache->set('refused', 'x' x (2 * 1024 * 1024)), 'two megabytes are refused');
is($cache->get('refused'), undef, 'and the old value is gone');

my $packing = Cache::Memcached::Fast->new({
    servers => [$address], compress_threshold => 1000, namespace => 'packed:'});
ok($packing->set('k', 'squeeze me ' x 100_000), 'a compressed value is stored');
is($packing->get('k'), 'squeeze me ' x 100_000, 'and comes back');

is($cache->get('missing'), undef, 'a missing key is undef');
is($cache->delete('missing'), '', 'a missing key is not deleted');
is($cache->replace('fresh', 'x'), '', 'replace needs a value');
ok($cache->add('fresh', 'b'), 'add stores where nothing is');
is($cache->add('fresh', 'y'), '', 'and refuses where something is');
ok($cache->append('fresh', 'c') && $cache->prepend('fresh', 'a'), 'append and prepend');
is($cache->get('fresh'), 'abc', 'have put the pieces together');

$cache->set('c', 'one');
my $pair = $cache->gets('c');
is($pair->[1], 'one', 'gets answers the value');
ok($cache->cas('c', $pair->[0], 'two'), 'cas stores what nobody has changed');
is($cache->cas('c', $pair->[0], 'three'), '', 'and refuses what somebody has');
is($cache->get('c'), 'two', 'so the value is right');
ok(!$cache->cas('missing', 1, 'x'), 'cas needs a value');

is($cache->incr('n'), '', 'a missing counter is not incremented');
$cache->set('n', 10);
is($cache->incr('n', 32), 42, 'a counter goes up');
is($cache->decr('n', 2), 40, 'and down');
cmp_ok($cache->decr('n', 1000), '==', 0, 'but not below 0');
$cache->set('word', 'abc');
ok(!$cache->incr('word'), 'a word is no counter');

my @sets = map { ["key-$_", "value $_"] } 1 .. 500;
my %values = map { @$_ } @sets;
is(scalar(grep { $_ } $cache->set_multi(@sets)), 500, '500 keys are stored at once');
is_deeply($cache->get_multi(keys %values, 'missing'), \%values, 'and come back at once');
my $many = $cache->gets_multi('key-1', 'key-2');
my $swapped = $cache->cas_multi(['key-1', $many->{'key-1'}[0], 'new'],
                                ['key-2', $many->{'key-2'}[0] + 1_000_000, 'new']);
ok($swapped->{'key-1'} && !$swapped->{'key-2'}, 'cas over many keys tells them apart');
$cache->set_multi(['a', 1], ['b', 5]);
is_deeply(scalar $cache->incr_multi(['a', 2], 'b'), {a => 3, b => 6}, 'many counters go up');
is_deeply(scalar $cache->delete_multi('a', 'missing'), {a => 1, missing => ''}, 'many keys are deleted');

my $quiet = Cache::Memcached::Fast->new({servers => [$address], nowait => 1});
$quiet->set("quiet-$_", $_) for 1 .. 1000;  # void context: nobody waits for the answer
$quiet->delete("quiet-5");
$quiet->nowait_push;
is($cache->get('quiet-1000'), 1000, 'writes that nobody waits for arrive');
is($cache->get('quiet-5'), undef, 'in their order');

$cache->set('short', 1, 1);
$cache->set('touched', 2, 1);
ok($cache->touch('touched', 100), 'a key is touched');
ok(!$cache->touch('missing', 100), 'a missing one is not');
$cache->set('gat', 3, 1);
is($cache->gat(100, 'gat'), 3, 'gat answers the value');
is($cache->gats(100, 'gat')->[1], 3, 'gats answers the value');
is_deeply($cache->gat_multi(100, 'gat', 'touched', 'missing'), {gat => 3, touched => 2},
          'gat over many keys');
sleep 2;
select(undef, undef, undef, 0.1);
is_deeply($cache->get_multi('short', 'touched', 'gat'), {touched => 2, gat => 3},
          'what was touched lives on, the other has expired');

my $versions = $cache->server_versions;
like($versions->{$address}, qr/^1\.\d+\.\d+/, 'the version is understood');
$cache->namespace('space:');
$cache->set('k', 'other');
$cache->namespace('');
is($cache->get('space:k'), 'other', 'a namespace is a prefix of the key');
is_deeply([values %{scalar $cache->flush_all}], [1], 'everything is flushed');
is($cache->get('k'), undef, 'and gone');

done_testing();
