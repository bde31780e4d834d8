<?php
// Where the server is, as `run` says, and how to check and to wait for what takes its time.

[$host, $port] = explode(':', getenv('KV_NODE'));
$port = (int) $port;

function check(bool $holds, string $what): void
{
    $holds or throw new Exception($what);
}

function eventually(callable $condition): void
{
    $end = microtime(true) + 10;
    while (!$condition()) {
        check(microtime(true) < $end, 'not within 10 s');
        usleep(20_000);
    }
}
