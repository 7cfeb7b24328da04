// wsload: a single-threaded epoll load generator for WebSocket, HTTP and raw TCP servers on the loopback.
//
//   wsload MODE PORT CONNS PAYLOAD PIPELINE SECONDS [WARMUP [PATH [OFFER]]]
//
// MODE  echo       every connection keeps PIPELINE masked messages in flight; the server echoes them
//       raw        as echo, but no handshake and no framing: the bytes come back as they went
//       broadcast  connection 0 sends a batch of PIPELINE messages; the server sends each to all connections, and the next batch
//                  goes out when every connection has all of them
//       storm      connect, handshake, drop, in a loop on CONNS slots; counts handshakes
//       http       every connection keeps PIPELINE requests in flight and sends the next ones when all have their responses; the response
//                  to GET PATH is known, see wsload_http.h
//       post       the same with POST and a body of PAYLOAD bytes, which the server sends back
//       idle       opens CONNS connections, prints its line, holds them for SECONDS (read the server's memory meanwhile)
//
// The first WARMUP seconds are not counted. What comes back is compared byte by byte for the first batch of each connection
// and for one batch in 64 after that, and by its length always, the bodies of HTTP always too; anything else than the expected
// response ends the run with 1.
//
// OFFER is what the client offers as Sec-WebSocket-Extensions. With it, the messages are JSON, all different and the same in every
// run, and travel compressed both ways (RFC 7692); `idle` sends one on each connection and waits until it is back. What the client
// sends has been compressed before. What comes back is inflated as often as it is compared, and always if it may refer to earlier
// messages. A server that agrees to less or more than what was offered ends the run with 1. Without zlib: compile with -DNO_ZLIB.
//
// Prints one line of JSON: `rate` per second (messages or requests; deliveries for broadcast; handshakes for storm), `p50_us` and `p99_us`
// of the round trip of a batch, `load_cpu` the share of its core that this program used: near 1 the server was not the limit;
// `wire` how many bytes a compressed payload that came back had on average; of HTTP the whole response.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_LIMIT = 8192, VERIFY_EVERY = 64, PORTS_PER_ADDRESS = 20000 };

typedef struct {
  int fd;
  int sending;      // the socket did not take all of the batch: EPOLLOUT is on
  size_t want;      // bytes still expected of this batch; with compression: messages; of HTTP: responses
  size_t out_off;   // bytes of the batch already written
  uint64_t t0;      // when the batch, or the connection attempt, began
  uint64_t batches; // how many came back whole
  char *head;       // the response to the handshake, while it is incomplete
  size_t headlen;
  const char *out;     // the batch
  size_t outlen;
  struct incoming *in; // with compression only
  struct response *response; // with HTTP only
} conn;

static char *batch, *expected;
static size_t batchlen, backlen;
static conn *cs;
static int ep, nconn, port, pipeline, http;
static char mode;
static const char *path = "/", *offer;
static uint64_t count;
static uint32_t *lat;
static size_t nlat, caplat = 1 << 22;
static char sink[1 << 18];

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static double cpu_seconds(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "%s%s%.200s\n", what, detail ? ": " : "", detail ? detail : "");
  exit(1);
}

static void watch(conn *c, uint32_t events, int op) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  if (epoll_ctl(ep, op, c->fd, &e)) die("epoll_ctl");
}

static void dial(conn *c) {
  // The source is spread over 127/8, so that many connections do not run out of ports.
  static uint32_t dialled = 0;
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
  from.sin_addr.s_addr = htonl(0x7f000001 + (dialled++ / PORTS_PER_ADDRESS) % 200);
  to.sin_addr.s_addr = htonl(0x7f000001);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0) die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (bind(c->fd, (void *)&from, sizeof from)) die("bind");
  if (connect(c->fd, (void *)&to, sizeof to)) die("connect");
}

static void hello(conn *c) {
  char b[1024];
  int length = snprintf(b, sizeof b,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                        path, port, offer ? "Sec-WebSocket-Extensions: " : "", offer ? offer : "", offer ? "\r\n" : "");
  if (write(c->fd, b, length) != length) die("write of the handshake");
  c->t0 = now_us();
  c->headlen = 0;
}

// Did the server agree to what was offered, without further restrictions?
static void check_agreement(const char *head) {
  static const char *restrictions[] = {"server_no_context_takeover", "client_no_context_takeover", "max_window_bits"};
  if (!offer) return;
  if (!strcasestr(head, "permessage-deflate")) fail("the server does not compress", head);
  for (int i = 0; i < 3; i++) {
    if (strcasestr(head, restrictions[i]) && !strstr(offer, restrictions[i])) fail("the server asks for more", head);
  }
  if (strstr(offer, restrictions[0]) && !strcasestr(head, restrictions[0])) fail("the server keeps its context", head);
}

// Reads the response to the handshake. Returns -1 while it is incomplete, else how many bytes came behind it (left in `sink`).
static ssize_t read_head(conn *c) {
  if (!c->head) c->head = malloc(HEAD_LIMIT + 1);
  ssize_t r = read(c->fd, c->head + c->headlen, HEAD_LIMIT - c->headlen);
  if (r < 0 && errno == EAGAIN) return -1;
  if (r <= 0) fail("the server closed during the handshake", r < 0 ? strerror(errno) : NULL);
  c->headlen += r;
  c->head[c->headlen] = 0;
  char *end = strstr(c->head, "\r\n\r\n");
  if (!end) {
    if (c->headlen == HEAD_LIMIT) fail("the response to the handshake has no end", NULL);
    return -1;
  }
  if (strncmp(c->head, "HTTP/1.1 101", 12)) fail("the handshake was refused", c->head);
  if (!strstr(c->head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) fail("Sec-WebSocket-Accept is wrong", c->head);
  check_agreement(c->head);
  size_t rest = c->headlen - (end + 4 - c->head);
  memcpy(sink, end + 4, rest);
  free(c->head);
  c->head = NULL;
  return rest;
}

static void pump(conn *c) {
  while (c->out_off < c->outlen) {
    ssize_t w = write(c->fd, c->out + c->out_off, c->outlen - c->out_off);
    if (w < 0) {
      if (errno != EAGAIN) die("write");
      if (!c->sending) watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
      c->sending = 1;
      return;
    }
    c->out_off += w;
  }
  if (c->sending) watch(c, EPOLLIN, EPOLL_CTL_MOD);
  c->sending = 0;
}

#include "wsload_deflate.h"
#include "wsload_http.h"

static void fire(conn *c) {
  if (offer) next_batch(c);
  c->out_off = 0;
  c->t0 = now_us();
  pump(c);
}

static void note(uint64_t since) {
  if (nlat < caplat) lat[nlat++] = now_us() - since;
}

// Bytes that came back on a connection: the expected ones?
static void take(conn *c, size_t r) {
  if (http) return take_responses(c, r);
  if (offer) return take_compressed(c, r);
  if (r > c->want) fail("more came back than was sent", NULL);
  if (c->batches % VERIFY_EVERY == 0 && memcmp(sink, expected + backlen - c->want, r)) {
    fail("what came back is not the response", NULL);
  }
  c->want -= r;
  if (c->want == 0) c->batches++;
}

static void build_batch(size_t pay) {
  int sh = pay < 126 ? 2 : pay < 65536 ? 4 : 10; // server header; a client's is 4 longer
  int raw = mode == 'r';
  size_t one_out = raw ? pay : sh + 4 + pay, one_back = raw ? pay : sh + pay;
  batchlen = one_out * pipeline;
  backlen = one_back * pipeline;
  batch = malloc(batchlen + 1);
  expected = malloc(backlen + 1);
  for (int i = 0; i < pipeline; i++) {
    unsigned char *out = (unsigned char *)batch + i * one_out, *back = (unsigned char *)expected + i * one_back;
    unsigned char key[4] = {0x12, 0x34, 0x56, 0x78};
    if (!raw) {
      unsigned char h[10] = {0x81};
      if (sh == 2) h[1] = pay;
      else if (sh == 4) h[1] = 126, h[2] = pay >> 8, h[3] = pay;
      else {
        h[1] = 127;
        for (int b = 0; b < 8; b++) h[9 - b] = (uint64_t)pay >> (8 * b);
      }
      memcpy(back, h, sh);
      h[1] |= 0x80;
      memcpy(out, h, sh);
      memcpy(out + sh, key, 4);
      out += sh + 4;
      back += sh;
    } else {
      memset(key, 0, 4);
    }
    for (size_t j = 0; j < pay; j++) {
      back[j] = 'a' + (j + i) % 26;
      out[j] = back[j] ^ key[j & 3];
    }
  }
}

int main(int ac, char **av) {
  if (ac < 7) {
    fprintf(stderr, "usage: wsload echo|raw|broadcast|storm|http|post|idle PORT CONNS PAYLOAD PIPELINE SECONDS [WARMUP [PATH [OFFER]]]\n");
    return 2;
  }
  mode = av[1][0];
  http = mode == 'h' || mode == 'p';
  port = atoi(av[2]);
  nconn = atoi(av[3]);
  size_t pay = atol(av[4]);
  pipeline = atoi(av[5]);
  double secs = atof(av[6]), warmup = ac > 7 ? atof(av[7]) : 0;
  if (ac > 8) path = av[8];
  if (ac > 9) offer = av[9];
  if (offer && (mode == 'r' || mode == 's' || http)) fail("this mode has no messages to compress", NULL);
  struct rlimit rl;
  getrlimit(RLIMIT_NOFILE, &rl);
  rl.rlim_cur = rl.rlim_max;
  setrlimit(RLIMIT_NOFILE, &rl);
  if (rl.rlim_cur < (rlim_t)nconn + 16) fail("too few file descriptors for so many connections", NULL);

  if (offer) build_streams(pay);
  else if (http) build_requests(pay);
  else build_batch(pay);
  cs = calloc(nconn, sizeof *cs);
  ep = epoll_create1(0);
  lat = malloc(caplat * sizeof *lat);

  uint64_t t_open = now_us();
  for (int i = 0; i < nconn; i++) {
    conn *c = &cs[i];
    dial(c);
    if (mode != 'r' && !http) hello(c);
    if (mode != 'r' && mode != 's' && !http) {
      ssize_t rest;
      do rest = read_head(c); while (rest < 0);
      if (rest > 0) fail("the server sends without being asked", NULL);
    }
    c->want = http ? (size_t)pipeline : backlen;
    if (http) c->response = calloc(1, sizeof *c->response);
    c->out = batch;
    c->outlen = batchlen;
    if (offer) prepare(c);
    if (offer && mode == 'i') {
      fire(c);
      while (c->want > 0) {
        ssize_t r = read(c->fd, sink, sizeof sink);
        if (r <= 0) fail("the server closed a connection", NULL);
        take(c, r);
      }
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    watch(c, EPOLLIN, EPOLL_CTL_ADD);
  }
  if (mode == 'i') {
    printf("{\"mode\":\"idle\",\"conns\":%d,\"open_us\":%llu}\n", nconn, (unsigned long long)(now_us() - t_open));
    fflush(stdout);
    usleep(secs * 1e6);
    return 0;
  }

  if (mode == 'b') fire(&cs[0]);
  else if (mode != 's') for (int i = 0; i < nconn; i++) fire(&cs[i]);

  uint64_t start = now_us(), counting = start + warmup * 1e6, end = counting + secs * 1e6, now;
  double cpu = cpu_seconds();
  size_t back = offer || http ? (size_t)pipeline : backlen, wire_before = 0;
  int counted = warmup <= 0, missing = nconn; // connections that lack something of this round of a broadcast
  struct epoll_event ev[512];
  while ((now = now_us()) < end) {
    if (!counted && now >= counting) {
      counted = 1;
      count = nlat = 0;
      wire_before = wire;
      response_bytes = 0;
      start = now;
      cpu = cpu_seconds();
      // One line when counting begins, for whoever measures the server at the same time.
      fprintf(stderr, "counting\n");
    }
    int n = epoll_wait(ep, ev, 512, 100);
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr;
      if (mode == 's') {
        if (read_head(c) < 0) continue;
        note(c->t0);
        count++;
        struct linger reset = {1, 0}; // no TIME_WAIT: there are only so many ports
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(c->fd);
        dial(c);
        hello(c);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        watch(c, EPOLLIN, EPOLL_CTL_ADD);
        continue;
      }
      if (ev[i].events & EPOLLOUT) pump(c);
      if (!(ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
      ssize_t r = read(c->fd, sink, sizeof sink);
      if (r == 0) fail("the server closed a connection", NULL);
      if (r < 0) {
        if (errno == EAGAIN) continue;
        die("read");
      }
      take(c, r);
      if (c->want > 0) continue;
      if (mode != 'b') {
        count += pipeline;
        note(c->t0);
        c->want = back;
        fire(c);
      } else if (--missing == 0) {
        count += (uint64_t)pipeline * nconn;
        note(cs[0].t0);
        missing = nconn;
        for (int j = 0; j < nconn; j++) cs[j].want = back;
        fire(&cs[0]);
      }
    }
  }
  double s = (now - start) / 1e6;
  qsort(lat, nlat, sizeof *lat, compare);
  printf("{\"mode\":\"%s\",\"conns\":%d,\"payload\":%zu,\"pipeline\":%d,\"rate\":%.0f,\"mib_s\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"load_cpu\":%.2f",
         av[1], nconn, pay, pipeline, count / s, count * (double)pay / s / 1048576, nlat ? lat[nlat / 2] : 0,
         nlat ? lat[(size_t)(nlat * 0.99)] : 0, (cpu_seconds() - cpu) / s);
  if (offer) printf(",\"wire\":%.0f", count ? (wire - wire_before) / (double)count : 0);
  if (http) printf(",\"wire\":%.0f", count ? response_bytes / (double)count : 0);
  printf("}\n");
  return 0;
}
