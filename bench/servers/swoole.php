<?php
// Swoole itself, with one process: echo, a broadcast on /broadcast, and HTTP.

declare(strict_types=1);

use Swoole\WebSocket\Server;

$deflates = (string) getenv('BENCH_DEFLATE') !== '';
$echoes = getenv('BENCH_ECHO') === '1';
$length = (int) (getenv('BENCH_BODY') ?: 13);
$body = substr(str_repeat('Hello, World!', intdiv($length, 13) + 1), 0, $length);
$flags = SWOOLE_WEBSOCKET_FLAG_FIN | ($deflates ? SWOOLE_WEBSOCKET_FLAG_COMPRESS : 0);
$room = [];

$server = new Server('127.0.0.1', 0, SWOOLE_BASE);
$server->set([
    'worker_num' => 1,
    'http_compression' => false,
    'websocket_compression' => $deflates,
    'open_tcp_nodelay' => true,
    'log_level' => SWOOLE_LOG_ERROR,
]);
$server->on('workerStart', function (Server $server) {
    echo "PORT {$server->port}\n";
});
$server->on('open', function (Server $server, $request) use (&$room) {
    if ($request->server['request_uri'] === '/broadcast') {
        $room[$request->fd] = true;
    }
});
$server->on('close', function (Server $server, int $fd) use (&$room) {
    unset($room[$fd]);
});
$server->on('message', function (Server $server, $frame) use (&$room, $flags) {
    if ($room === []) {
        $server->push($frame->fd, $frame->data, $frame->opcode, $flags);
        return;
    }
    foreach ($room as $fd => $_) {
        $server->push($fd, $frame->data, $frame->opcode, $flags);
    }
});
$server->on('request', function ($request, $response) use ($echoes, $body) {
    $response->header('Content-Type', 'text/plain');
    $response->end($echoes ? $request->getContent() : $body);
});
$server->start();
