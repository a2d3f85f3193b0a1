<?php
// Reports checks as TAP (`ok 1 - ...`), which support.py reads.

$checks = 0;
$failed = 0;

function ok(bool $passed, string $sentence): void
{
    global $checks, $failed;
    $checks++;
    $failed += $passed ? 0 : 1;
    echo ($passed ? '' : 'not ') . "ok $checks - $sentence\n";
}

function is($got, $wanted, string $sentence): void
{
    ok($got === $wanted, $sentence);
    if ($got !== $wanted) {
        echo '# got ' . substr(var_export($got, true), 0, 200) .
            ', wanted ' . substr(var_export($wanted, true), 0, 200) . "\n";
    }
}

function done(): void
{
    global $checks, $failed;
    echo "1..$checks\n";
    exit($failed === 0 ? 0 : 1);
}
