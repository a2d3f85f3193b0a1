# See ../make_golden.py. Each server answers with its own address.
use strict;
use warnings;
use Cache::Memcached::Fast;

sub next_line { my $line = <STDIN>; chomp $line; return $line }

my @keys = map { next_line() } 1 .. next_line();
for (1 .. next_line()) {
    my (@servers, %index);
    for my $node (0 .. next_line() - 1) {
        my ($host, $port, $weight) = split / /, next_line();
        my $address = $host =~ m{^/} ? $host : $host =~ /:/ ? "[$host]:$port" : "$host:$port";
        push @servers, {address => $address, weight => $weight};
        $index{$address} = $node;
    }
    my $client = Cache::Memcached::Fast->new(
        {servers => \@servers, ketama_points => 160, io_timeout => 20});
    my $found = $client->get_multi(@keys);
    print join(' ', map { $index{$found->{$_}} } @keys), "\n";
}
